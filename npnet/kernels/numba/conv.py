"""Convolution as a product of weights (O, taps) and patches (taps, pixels), the patches being read where they lie.

Tap (c, k, l) of all patches, side by side, is channel c of the image moved k up and l to the left. So a channel is
copied KW times, moved by each l, its rows close together; in such a copy the pixels moved k up are the same numbers
from another place on. An image of which every pixel stands in KH · KW patches is copied KW times, and not packed again
as a library's product would pack it, except where caches are slow (`tile.PACKED`). The sums are `tile`s.

1 × 1 convolutions go another way, `pointwise`, and 3 × 3 to 5 × 5, or of as many strides, with enough channels too:
`winograd`.

The gradient of the input is a convolution too: of dy, by the weights turned round, with zeros between dy's pixels where
the stride was more than 1. That of the weights is the product of patches and dy.
"""
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import pointwise, winograd
from .arrays import Shapes, aligned, images_apart, lowest, lying, maps, planning, reshaped, scratch, zeros
from .compile import serial
from .panels import move_columns, move_columns_plus
from .pointwise import conv1x1_backward_data, conv1x1_backward_weight, conv1x1_forward
from .prepared import Loops, Unless, loop, prepared, run
from .rows import add, set_all, total
from .team import alone, claim, parallel, share, threads
from .tile import FIRST_ROWS, PACKED, ROWS, STEPS, VECTORS, even_steps, tile, whole, widest
from .tile import lanes as lanes_of
from .turned import turn_few
from .vectors import move, move_plus, pick, transpose, will_write

__all__ = [
    "conv1x1_backward_data", "conv1x1_backward_weight", "conv1x1_forward", "conv2d_backward_data",
    "conv2d_backward_weight", "conv2d_forward",
]

Floats = NDArray[Any]
Numbers = NDArray[np.int64]

COPIES = 900_000  # bytes of a thread's copies: they stay in the second-level cache (1 MB)
PIXELS = 1600  # in a band


def _copy_row(x: Floats, first: int, stride: int, spread: int, row: Floats) -> None:
    """row[j] = the pixel `first` + j · stride of x, which has `spread` − 1 zeros between its pixels; zero outside."""
    set_all(row, 0)
    if spread > 1:  # stride is 1
        for i in range(max(0, -(-first // spread)), min(x.size, (first + row.size - 1) // spread + 1)):
            row[i * spread - first] = x[i]
    else:
        start = max(0, -(first // stride))
        stop = max(start, min(row.size, (x.size - 1 - first) // stride + 1))
        if stride == 1:
            move(x, first + start, row, start, stop - start)
        else:
            pick(x, first + start * stride, stride, row, start, stop - start)


def _copy_plane(x: Floats, width: int, above: int, left: int, plane: Floats) -> None:
    """The image x, its rows one after another, moved down by `above` rows and to the right by `left`; zero outside."""
    shift = above * width + left
    start = min(plane.size, max(0, shift))  # all of it, where a filter is larger than the padded image
    stop = max(start, min(plane.size, x.size + shift))
    set_all(plane[:start], 0)
    set_all(plane[stop:], 0)
    move(x, start - shift, plane, start, stop - start)
    for i in range(0, plane.size, width):  # what went over an edge
        for j in range(left):
            plane[i + j] = 0
        for j in range(width + left, width):
            plane[i + j] = 0


def _copy(x: Floats, first: int, pad: Any, stride: int, spread: int, copies: Floats) -> None:
    """copies[c, l, q, r, j] = x[c, (first + r) · stride + q − pad, j · stride + l − pad], `x` spread and padded."""
    _, moves, phases, rows, width = copies.shape
    for c in range(x.shape[0]):
        flat, step = copies[c].reshape(-1), phases * rows * width
        for m in range(moves):
            if stride == 1 and spread == 1 and width == x.shape[2]:  # long runs: three times as fast
                copy_plane(x[c].reshape(-1), width, pad[0] - first, pad[1] - m, copies[c, m].reshape(-1))
            elif m < stride:
                for q in range(phases):
                    for r in range(rows):
                        i = (first + r) * stride + q - pad[0]
                        if 0 <= i <= (x.shape[1] - 1) * spread and i % spread == 0:
                            copy_row(x[c, i // spread], m - pad[1], stride, spread, copies[c, m, q, r])
                        else:
                            set_all(copies[c, m, q, r], 0)
            else:  # the copy for l is that for l − stride, moved by a pixel, in one long run
                move(flat, (m - stride) * step + 1, flat, m * step, step - 1)
                last = (width - 1) * stride + m - pad[1]
                for q in range(phases):
                    for r in range(rows):
                        i = (first + r) * stride + q - pad[0]
                        inside = 0 <= i <= (x.shape[1] - 1) * spread and i % spread == 0
                        if inside and 0 <= last <= (x.shape[2] - 1) * spread and last % spread == 0:
                            flat[m * step + (q * rows + r + 1) * width - 1] = x[c, i // spread, last // spread]
                        else:
                            flat[m * step + (q * rows + r + 1) * width - 1] = 0


def _pack(w: Floats, blocks: Floats) -> None:
    """blocks[g, o // ROWS, t, o % ROWS] = w[g, o, t], and zero where there is no such o."""
    groups, width, taps = w.shape
    per_group = blocks.shape[1]
    for block in range(groups * per_group):
        g, first = block // per_group, block % per_group * ROWS
        for r in range(ROWS):
            for t in range(taps):
                blocks[g, first // ROWS, t, r] = w[g, first + r, t] if first + r < width else 0


def _pack_turned(w: Floats, blocks: Floats) -> None:
    """blocks[g, c // ROWS, (o, k, l), c % ROWS] = w[g, o, c, KH − 1 − k, KW − 1 − l]."""
    groups, width, channels, height, length = w.shape
    per_group = blocks.shape[1]
    for block in range(groups * per_group):
        g, first = block // per_group, block % per_group * ROWS
        t = 0
        for o in range(width):
            for k in range(height):
                for m in range(length):
                    for r in range(ROWS):
                        inside = first + r < channels
                        blocks[g, first // ROWS, t, r] = (
                            w[g, o, first + r, height - 1 - k, length - 1 - m] if inside else 0)
                    t += 1


def _correlate_band(
    copies: Floats, blocks: Floats, b: Floats, least: Any, some: Any, offsets: Numbers, rows: Numbers, lanes: int,
    sums: Floats, there: Any, y: Floats
) -> None:
    """y[o, p] (+)= b[o] + Σ_t w[o, t] · copies[offsets[t] + p], for the pixels of a band and some of the taps; `least`
    if that is less.

    some : the taps, from one to another of those in `blocks`.  there : where the first pixel of the first output is in
    y, of one dimension; how far the next output is; pixels; outputs.
    """
    start, apart, pixels, outputs = there
    for p in range(0, pixels, VECTORS * lanes):
        columns, across = min(VECTORS * lanes, pixels - p), whole(pixels - p, lanes)
        for o in range(0, outputs, ROWS):
            few, there_o = min(ROWS, outputs - o), start + o * apart + p
            weights = blocks[o // ROWS, some[0] :].reshape(-1)
            if some[0] == 0:
                for r in range(few):
                    will_write(y, there_o + r * apart, columns)
            else:
                for r in range(few):
                    move(y, there_o + r * apart, sums, r * across, columns)
            tile(weights, rows, ROWS, copies[p:], offsets[: some[1] - some[0]], some[0] == 0, sums, across)
            for r in range(few):
                value = b[o + r] if some[0] == 0 else b.dtype.type(0)
                move_plus(sums, r * across, value, least, y, there_o + r * apart, columns)


def _correlate_packed(
    copies: Floats, blocks: Floats, b: Floats, least: Any, some: Any, offsets: Numbers, steps: Numbers, rows: Numbers,
    lanes: int, panel: Floats, sums: Floats, there: Any, y: Floats
) -> None:
    """The same, with the pixels of a panel brought close together, and a tile for every output.

    steps : where the taps are in a panel.
    """
    start, apart, pixels, outputs = there
    taps, wide = some[1] - some[0], VECTORS * lanes
    each = even_steps(taps)
    for p in range(0, pixels, wide):
        columns, across = min(wide, pixels - p), whole(pixels - p, lanes)
        if some[0] > 0:
            for o in range(outputs):
                move(y, start + o * apart + p, sums, o // ROWS * ROWS * wide + o % ROWS * across, columns)
        for tap in range(0, taps, each):
            count = min(each, taps - tap)
            for t in range(count):
                move_columns(copies, p + offsets[tap + t], panel, t * wide, across)
            for o in range(0, outputs, ROWS):
                if tap == 0:
                    for r in range(o, min(outputs, o + ROWS)):
                        will_write(y, start + r * apart + p, columns)
                tile(blocks[o // ROWS, some[0] + tap :].reshape(-1), rows, ROWS, panel, steps[:count],
                     some[0] + tap == 0, sums[o * wide :], across)
        for o in range(outputs):
            value = b[o] if some[0] == 0 else b.dtype.type(0)
            source = o // ROWS * ROWS * wide + o % ROWS * across
            move_columns_plus(sums, source, value, least, y, start + o * apart + p, columns)


def _correlate(
    x: Floats, blocks: Floats, b: Floats, least: Any, way: Any, shape: Any, offsets: Numbers, steps: Numbers,
    rows: Numbers, lanes: int, copies: Floats, panels: Floats, sums: Floats, out: Any, y: Floats, apart: int,
    begun: Numbers, thread: int, team: int
) -> None:
    """y[n, o, p] = b[o] + Σ_t w[o, t] · patch[t, p], for a band of the image and some channels at a time.

    x (N, C, H, W), blocks as `_pack` makes them, y of one dimension, the next image `apart`, copies (team, numbers),
    panels (team, numbers; none, if tiles read the copies where they are), sums (team, tiles).
    """
    above, left, stride, spread, bands = way
    groups, width, channels = blocks.shape[0], b.size // blocks.shape[0], x.shape[1] // blocks.shape[0]
    moved = copies[thread, : shape[0] * shape[1] * shape[2] * shape[3] * shape[4]].reshape(shape)
    taps = blocks.shape[2] // channels
    job, done = claim(begun, x.shape[0] * bands, 1, thread, team)
    while job < done:
        n, band = job // bands, job % bands
        first, last = out[0] * band // bands, out[0] * (band + 1) // bands
        for g in range(groups):
            for channel in range(0, channels, shape[0]):
                begin, end = g * channels + channel, g * channels + min(channel + shape[0], channels)
                copy(x[n, begin:end], first, (above, left), stride, spread, moved)
                floor = least if end == (g + 1) * channels else b.dtype.type(-np.inf)  # when all taps are summed
                there = n * apart + (g * width * out[0] + first) * out[1]
                some = channel * taps, (end - g * channels) * taps
                where = there, out[0] * out[1], (last - first) * out[1], width
                if panels.size > 0:
                    correlate_packed(copies[thread], blocks[g], b[g * width :], floor, some, offsets, steps, rows,
                                     lanes, panels[thread], sums[thread], where, y)
                else:
                    correlate_band(copies[thread], blocks[g], b[g * width :], floor, some, offsets, rows, lanes,
                                   sums[thread], where, y)
        job, done = claim(begun, x.shape[0] * bands, 1, thread, team)


def _turn(dy: Floats, first: int, last: int, lanes: int, panels: Floats) -> None:
    """panels[o // wide, (p − first) · wide + o % wide] = dy[o, p]; `wide` is VECTORS · lanes."""
    flat, wide = dy.reshape(-1), VECTORS * lanes
    for o in range(0, dy.shape[0], lanes):
        panel = panels[o // wide]
        for p in range(first, last, lanes):
            start, there = o * dy.shape[1] + p, (p - first) * wide + o % wide
            if o + lanes <= dy.shape[0] and p + lanes <= last:
                transpose(flat[start:], dy.shape[1], panel[there:], wide, lanes)
            else:
                turn_few(flat[start:], dy.shape[1], panel[there:], wide, min(lanes, dy.shape[0] - o),
                         min(lanes, last - p))


def _backward_weight(
    dy: Floats, x: Floats, way: Any, shape: Any, offsets: Numbers, steps: Numbers, some: int, lanes: int,
    copies: Floats, panels: Floats, small: Floats, partial: Floats, out: Any, db: Floats, thread: int, team: int
) -> None:
    """partial[thread, g, o // wide, part, t // ROWS] = the tile of Σ_p patch[t, p] · dy[o, p]; db = Σ_p dy[o, p].

    dy (N, O, pixels).  panels (team, blocks of o, pixels of a band · wide): dy turned, so that the channels of a pixel
    are neighbours, `wide` of them (VECTORS · lanes).  some : pixels that are summed over at a time.  A part is as many
    channels as are copied at a time.
    """
    above, left, stride, spread, bands = way
    _, groups, blocks, parts, tiles, _ = partial.shape
    width, channels, c = dy.shape[1] // groups, x.shape[1] // groups, small[thread]
    moved = copies[thread, : shape[0] * shape[1] * shape[2] * shape[3] * shape[4]].reshape(shape)
    set_all(partial[thread].reshape(-1), 0)
    set_all(db[thread], 0)
    start, stop = share(x.shape[0] * bands, thread, team)
    for job in range(start, stop):
        n, band = job // bands, job % bands
        first, last = out[0] * band // bands * out[1], out[0] * (band + 1) // bands * out[1]
        for g in range(groups):
            for o in range(width):
                db[thread, g * width + o] += total(dy[n, g * width + o, first:last])
            turn(dy[n, g * width : (g + 1) * width], first, last, lanes, panels[thread])
            for part in range(parts):
                begin = g * channels + part * shape[0]
                end = min((g + 1) * channels, begin + shape[0])
                copy(x[n, begin:end], first // out[1], (above, left), stride, spread, moved)
                for block in range(blocks):
                    across = whole(width - block * VECTORS * lanes, lanes)
                    for p in range(0, last - first, some):
                        here = steps[p : min(last - first, p + some)]
                        for k in range(tiles):
                            tile(copies[thread, p:], offsets[k * ROWS :], 1, panels[thread, block], here, True, c,
                                 across)
                            add(c[: ROWS * across], partial[thread, g, block, part, k, : ROWS * across])


def _collect(partial: Floats, some: int, lanes: int, dbs: Floats, dw: Floats, db: Floats) -> None:
    """dw[g, o, t] and db[o] = Σ over the threads, always in the same order. There are `some` taps in a part."""
    set_all(db, 0)
    for thread in range(dbs.shape[0]):
        add(dbs[thread], db)
    groups, width, taps = dw.shape
    for o in range(groups * width):
        g, block, v = o // width, o % width // (VECTORS * lanes), o % width % (VECTORS * lanes)
        across = whole(width - block * VECTORS * lanes, lanes)
        for t in range(taps):
            part, k, place = t // some, t % some // ROWS, t % some % ROWS * across + v
            value = partial[0, g, block, part, k, place]
            for thread in range(1, partial.shape[0]):
                value += partial[thread, g, block, part, k, place]
            dw[g, o % width, t] = value


copy_row, copy_plane, copy = serial(_copy_row), serial(_copy_plane), serial(_copy)
pack, pack_turned, collect, turn = alone(_pack), alone(_pack_turned), alone(_collect), serial(_turn)
correlate_band, correlate_packed = serial(_correlate_band), serial(_correlate_packed)
correlate, backward_weight = parallel(_correlate, claims=True), parallel(_backward_weight)


class _Way(NamedTuple):
    """How a convolution is cut up."""

    bands: int  # in an image
    shape: tuple[int, ...]  # of the copies that are made at a time: some channels of a band
    offsets: Numbers  # of tap t in the copies; some more, so that whole tiles of taps can be made
    steps: Numbers  # of the pixels of a band, or of taps, in a panel


@planning
def _plan(
    x: Any, w: Any, out: Any, stride: int, itemsize: int, team: int
) -> tuple[_Way, Shapes, Shapes]:
    """How to cut up the convolution of x (N, C, H, W) by w (O, C/groups, KH, KW) to pixels `out`, and the shapes of
    what it, and the gradient of its weights, need of scratch memory."""
    (images, _, *_), (outputs, channels, kh, kw), (oh, ow) = x, w, out
    phases, more = min(stride, kh), (kh - 1) // stride
    bands = min(oh, max(-(-oh * ow // PIXELS), -(-team // images)))
    height = -(-oh // bands)
    some = min(channels, max(1, COPIES // (kw * phases * (height + more) * ow * itemsize)))
    some = -(-channels // -(-channels // some))
    shape = (some, kw, phases, height + more, ow)
    c, k, m = np.indices((some, kh, kw), np.int64).reshape(3, -1)
    offsets = (((c * kw + m) * phases + k % stride) * shape[3] + k // stride) * ow
    offsets = np.pad(offsets, (0, -len(offsets) % ROWS), "edge")
    groups, wide = x[1] // channels, widest(itemsize)
    width, pixels = outputs // groups, height * ow
    parts = {
        "copies": (team, math.prod(shape) + wide),  # a tile may read past the end of what it needs
        "sums": (team, -(-width // ROWS) * ROWS * wide),
        "packed": (team, (STEPS if PACKED else 0) * wide),
        "blocks": (groups, -(-width // ROWS), channels * kh * kw, ROWS),
        "panels": (team, -(-width // wide), pixels * wide),
        "partial": (team, groups, -(-width // wide), -(-channels // some), offsets.size // ROWS, ROWS * wide),
        "small": (team, ROWS * wide),
        "db": (team, outputs),
    }
    way = _Way(bands, shape, offsets, np.arange(max(pixels, STEPS), dtype=np.int64) * wide)
    return way, tuple(parts[name] for name in CORRELATE), tuple(parts[name] for name in WEIGHT)


def _turned(w: Any, groups: int) -> tuple[int, ...]:
    """The shape of the weights of the convolution that `conv2d_backward_data` is."""
    return (w[1] * groups, w[0] // groups, *w[2:])


CORRELATE = ("copies", "packed", "sums", "blocks")
WEIGHT = ("copies", "panels", "small", "partial", "db")


def _unless_finite(way: tuple[Loops, Floats], kernel: Callable[..., Loops], *arguments: Any) -> Loops:
    """`way`, and if its result is not finite, as well what `kernel` says then."""
    loops, finite = way
    return [*loops, loop(Unless(finite, lambda: run(kernel(*arguments))))]


@prepared
def conv2d_forward(
    x: Floats, w: Floats, b: Floats, stride: int, pad: int, groups: int, rectify: bool, y: Floats
) -> Loops:
    if pointwise.suits(w.shape, stride, pad):
        return pointwise.forward(x, w, b, groups, rectify, y)
    if winograd.suits(x.shape, w.shape, y.shape, stride, x.itemsize):
        way = winograd.forward(x, _taps(w, groups), b, stride, pad, False, rectify, y)
        return _unless_finite(way, _forward, x, w, b, stride, pad, groups, rectify, y)
    return _forward(x, w, b, stride, pad, groups, rectify, y)


def _forward(
    x: Floats, w: Floats, b: Floats, stride: int, pad: int, groups: int, rectify: bool, y: Floats
) -> Loops:
    way, room, _ = _plan(x.shape, w.shape, y.shape[2:], stride, x.itemsize, threads())
    copies, packed, sums, blocks = scratch(x.dtype, *room)
    return [
        loop(pack, _rows(w, groups), blocks),
        loop(correlate, x, blocks, b, lowest(rectify, x.dtype), (pad, pad, stride, 1, way.bands), way.shape,
             way.offsets, way.steps, FIRST_ROWS, lanes_of(x.itemsize), copies, packed, sums, y.shape[2:], lying(y),
             images_apart(y))]


@prepared
def conv2d_backward_weight(
    dy: Floats, x: Floats, stride: int, pad: int, groups: int, dw: Floats, db: Floats
) -> Loops:
    if pointwise.suits(dw.shape, stride, pad):
        return pointwise.weight(dy, x, groups, dw, db)
    if winograd.suits(x.shape, dw.shape, dy.shape, stride, x.itemsize):
        way = winograd.weight(dy, x, stride, pad, _taps(dw, groups), db)
        return _unless_finite(way, _weight, dy, x, stride, pad, groups, dw, db)
    return _weight(dy, x, stride, pad, groups, dw, db)


def _weight(dy: Floats, x: Floats, stride: int, pad: int, groups: int, dw: Floats, db: Floats) -> Loops:
    copied, dy = _whole(dy)
    way, _, room = _plan(x.shape, dw.shape, dy.shape[2:], stride, x.itemsize, threads())
    copies, panels, small, sums, dbs = scratch(x.dtype, *room)
    lanes = lanes_of(x.itemsize)
    return [
        *copied,
        loop(backward_weight, maps(dy), x, (pad, pad, stride, 1, way.bands), way.shape, way.offsets, way.steps,
             STEPS if PACKED else way.steps.size, lanes, copies, panels, small, sums, dy.shape[2:], dbs),
        loop(collect, sums, way.shape[0] * dw.shape[2] * dw.shape[3], lanes, dbs, _rows(dw, groups), db)]


@prepared
def conv2d_backward_data(dy: Floats, w: Floats, stride: int, pad: int, groups: int, dx: Floats) -> Loops:
    if pointwise.suits(w.shape, stride, pad):
        return pointwise.data(dy, w, groups, dx)
    if stride == 1 and winograd.suits(dy.shape, _turned(w.shape, groups), dx.shape, 1, dy.itemsize):
        bias = zeros(dx.shape[1], dx.dtype)
        way = winograd.forward(dy, _taps(w, groups), bias, 1, w.shape[2] - 1 - pad, True, False, dx)
        return _unless_finite(way, _data, dy, w, stride, pad, groups, dx)
    return _data(dy, w, stride, pad, groups, dx)


def _data(dy: Floats, w: Floats, stride: int, pad: int, groups: int, dx: Floats) -> Loops:
    copied, dy = _whole(dy)
    way, room, _ = _plan(dy.shape, _turned(w.shape, groups), dx.shape[2:], 1, dy.itemsize, threads())
    copies, packed, sums, blocks = scratch(dy.dtype, *room)
    above, left = w.shape[2] - 1 - pad, w.shape[3] - 1 - pad
    return [
        *copied,
        loop(pack_turned, reshaped(w, (groups, -1, *w.shape[1:])), blocks),
        loop(correlate, dy, blocks, zeros(dx.shape[1], dx.dtype), lowest(False, dy.dtype),
             (above, left, 1, stride, way.bands), way.shape, way.offsets, way.steps, FIRST_ROWS,
             lanes_of(dy.itemsize), copies, packed, sums, dx.shape[2:], lying(dx), images_apart(dx))]


def _whole(x: Floats) -> tuple[Loops, Floats]:
    """`channels` of a larger array as an array of their own, and what copies them into it."""
    if x.flags.c_contiguous:
        return [], x
    y = aligned(x.size, x.dtype).reshape(x.shape)
    return [loop(np.copyto, y, x)], y


def _taps(w: Floats, groups: int) -> Floats:
    """(O, C/groups, KH, KW) as (groups, O/groups, C/groups, KH · KW)."""
    return reshaped(w, (groups, w.shape[0] // groups, w.shape[1], -1))


def _rows(w: Floats, groups: int) -> Floats:
    """(O, C/groups, KH, KW) as (groups, O/groups, taps)."""
    return reshaped(w, (groups, w.shape[0] // groups, -1))
