"""Pooling. AlexNet §3.4.

The largest of a window is the largest of its rows' largest, its sum that of its rows' sums: `sweeps`, over maps as they
lie, some rows at a time. Average pooling at a stride of 3 and more, for which the sweeps are plain loops, goes by
`windows`: turned over, so that a vector of windows sees vectors of pixels.
"""
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npnet.kernels.numpy.pool import pixels_counted

from .compile import flat, parallel, scratch, serial, share, threads, total
from .sweeps import STRIDES, Sum, across, down, down_maps, down_pair, passed_back, passed_back_pair
from .tile import in_vector
from .tile import lanes as lanes_of
from .windows import (
    Spread,
    Windows,
    gather,
    portion,
    release,
    see,
    set_all,
    spread,
    spread_windows,
    sum_windows,
    windows,
)

Floats = NDArray[Any]
Numbers = NDArray[np.int64]
Places = NDArray[Any]
Mask = NDArray[np.bool_]

MAPS = 1024  # one after another, as one: their pixels are counted in 32 bits
NUMBERS = 2048  # that are kept between the two sweeps: they stay in the first-level cache


class Plan(NamedTuple):
    """How maps are pooled."""

    size: int
    stride: int
    pad: int
    height: int  # of the input's maps
    width: int
    tall: int  # of the output's
    wide: int
    joined: bool  # is row after row one long row, for windows as for pixels?
    pairs: bool  # or else, is half a vector enough for a row of windows?
    pitch: int  # from one row's largest to those of the next
    band: int  # rows of windows at a time
    together: int  # maps at a time, if a band is all of a map
    room: int  # numbers that a band of a map needs
    inside: Mask  # for each of a window's groups of `stride` pixels: which of all windows' are in their row?
    apart: int  # groups in that
    before: Places  # how many of each window's first pixels are not
    rows: Places  # and which row that is, of maps one after another
    seen: Numbers  # of each row of pixels, the last row of windows that sees it, and how many do


@cache
def planned(fine: Any, coarse: Any, size: int, stride: int, pad: int, itemsize: int) -> Plan:
    (height, width), (tall, wide), lanes = fine, coarse, lanes_of(itemsize)
    joined, half = width == stride * wide, lanes // 2
    pairs = stride == 2 and wide <= half and not joined
    pitch = half if pairs else wide
    band = min(tall, max(1, (NUMBERS // pitch - size) // stride + 1))
    rows = (band - 1) * stride + size
    swept = np.arange(-(-(rows if joined else 1) * pitch // lanes) * lanes + lanes)
    column = swept % pitch if joined or pairs else swept
    left = column * stride - pad  # in the row
    pixels = left[:, None] + np.arange(stride)
    inside = np.array([(pixels + tap >= 0) & (pixels + tap < width) for tap in range(0, size, stride)])
    together = max(1, NUMBERS // (rows * pitch)) if band == tall else 1
    maps = np.arange(height * width + lanes) % (height * width) // width
    row = np.arange(height) + pad
    last = np.minimum(tall - 1, row // stride)
    seen = np.stack([last, last - np.maximum(0, -(-(row - size + 1) // stride)) + 1], axis=1)
    return Plan(
        size, stride, pad, height, width, tall, wide, joined, pairs, pitch, band, together, rows * pitch,
        inside.ravel(), swept.size * stride, np.asarray(np.maximum(0, -left), np.int32), np.asarray(maps, np.int32),
        seen)


def _sweep_across(
    x: Floats, plan: Plan, plane: int, planes: int, i: int, best: Floats, which: Places | None, base: int,
    what: Sum | None
) -> None:
    """best[row, j] : of window j, counted from `pad` pixels before the row, what is largest in that row; and which. Or
    the sum. Rows are those that windows i, … see; some may lie outside, where everything is −∞, or 0.
    """
    nothing = -np.inf if what is None else 0.0
    size, stride, height, width, lanes, pitch, inside, apart, before = (
        plan.size, plan.stride, plan.height, plan.width, in_vector(best), plan.pitch, plan.inside, plan.apart,
        plan.before)
    top, rows = i * stride - plan.pad, (min(plan.band, plan.tall - i) - 1) * stride + size
    first, last = max(0, top), min(height, top + rows)
    together = last - first if plan.joined else 1
    for m in range(planes):
        if plan.pairs:
            sweep_pairs(x, plan, plane + m, first, last, top, best, which, base + m * plan.room, what)
        for r in range(first, first if plan.pairs else last, together):
            row, place = r * width - plan.pad, base + m * plan.room + (r - top) * pitch
            start, count = (plane + m) * height * width + row, together * pitch
            for v in range(0, count, lanes):
                skip = v * stride
                across(x, start + skip, None, inside, apart, before, v, count - v, size, stride, row + skip, best,
                       which, place + v, lanes, what)
        room = base + m * plan.room
        above, below = room + (first - top) * pitch, room + (last - top) * pitch
        for row in range(room, above, pitch):
            for j in range(pitch):
                best[row + j] = nothing
                if which is not None:
                    which[row + j] = which[above + j]  # the first that counts
        for j in range(below, room + rows * pitch):
            best[j] = nothing


def _sweep_pairs(
    x: Floats, plan: Plan, plane: int, first: int, last: int, top: int, best: Floats, which: Places | None, room: int,
    what: Sum | None
) -> None:
    """Two rows at a time of those from one to another, for half a vector holds one."""
    size, stride, height, width, lanes, pitch, inside, apart, before = (
        plan.size, plan.stride, plan.height, plan.width, in_vector(best), plan.pitch, plan.inside, plan.apart,
        plan.before)
    for r in range(first, last, 2):
        row = r * width - plan.pad
        across(x, plane * height * width + row, width, inside, apart, before, 0, (last - r) * pitch, size, stride,
               row, best, which, room + (r - top) * pitch, lanes, what)


def _sweep_down(
    best: Floats, which: Places | None, base: int, plan: Plan, plane: int, planes: int, i: int,
    argmax: Places | None, y: Floats, what: Sum | None
) -> None:
    """The largest of each window, from those of its rows."""
    size, tall, wide, lanes, rows = plan.size, plan.tall, plan.wide, in_vector(best), min(plan.band, plan.tall - i)
    pitch, below = plan.pitch, plan.stride * plan.pitch
    runs, count = (1, rows * wide) if plan.stride == 1 else (rows, wide)
    for m in range(planes):
        for r in range(runs):
            row, out = base + m * plan.room + r * below, ((plane + m) * tall + i + r) * wide
            for v in range(0, count, lanes):
                down(best, which, row + v, pitch, size, y, argmax, out + v, count - v, lanes, what)


def _sweep_down_pairs(
    best: Floats, which: Places | None, base: int, plan: Plan, plane: int, planes: int, i: int,
    argmax: Places | None, y: Floats, what: Sum | None
) -> None:
    """The same, two rows at a time."""
    size, tall, wide, lanes, rows = plan.size, plan.tall, plan.wide, in_vector(best), min(plan.band, plan.tall - i)
    pitch, below = plan.pitch, plan.stride * plan.pitch
    for m in range(planes):
        for r in range(0, rows, 2):
            row, out = base + m * plan.room + r * below, ((plane + m) * tall + i + r) * wide
            down_pair(best, which, row, pitch, below, size, y, argmax, out, wide, min(2, rows - r), lanes, what)


def _sweep_maps(
    x: Floats, plan: Plan, plane: int, planes: int, best: Floats, which: Places | None, base: int,
    argmax: Places | None, y: Floats, what: Sum | None
) -> None:
    """Both sweeps over all rows of some maps as one row: for small maps, of which a vector sees two."""
    size, pad, height, width, lanes, inside, apart, skipped, rows = (
        plan.size, plan.pad, plan.height, plan.width, in_vector(best), plan.inside, plan.apart, plan.before, plan.rows)
    pixels, q, before = height * width, 0, 0
    first, count = plane * pixels, planes * pixels
    for v in range(0, count, lanes):
        across(x, first + v - pad, None, inside, apart, skipped, q, count - v, size, 1, v - pad, best, which, base + v,
               lanes, what)
        q = q + lanes if q + lanes < pixels else q + lanes - pixels
    q = 0
    for v in range(0, count, lanes):
        down_maps(best, which, base + v, width, size, pad, rows[q:], height, before, pixels - q, pixels, y, argmax,
                  first + v, count - v, lanes, what)
        q += lanes
        if q >= pixels:
            q, before = q - pixels, before + pixels


def _sweep(
    x: Floats, plan: Plan, plane: int, planes: int, best: Floats, which: Places | None, base: int,
    argmax: Places | None, y: Floats, what: Sum | None
) -> None:
    """Of some maps, `plan.together` at most, the largest of each window, or the sum.

    All of one dimension; best and which : from `base` on, what is kept between the sweeps."""
    pixels = plan.height * plan.width
    if plan.stride == 1 and plan.joined and plan.height == plan.band and pixels >= in_vector(best):
        sweep_maps(x, plan, plane, planes, best, which, base, argmax, y, what)
    else:
        for i in range(0, plan.tall, plan.band):
            sweep_across(x, plan, plane, planes, i, best, which, base, what)
            if plan.pairs:
                sweep_down_pairs(best, which, base, plan, plane, planes, i, argmax, y, what)
            else:
                sweep_down(best, which, base, plan, plane, planes, i, argmax, y, what)


def _max_pool_forward(
    x: Floats, plan: Plan, planes: int, best: Floats, which: Places | None, argmax: Places | None, y: Floats,
    thread: int, team: int
) -> None:
    """All of one dimension; best and which : of every thread a part."""
    first, last = share(planes, thread, team)
    for plane in range(first, last, plan.together):
        some = min(plan.together, last - plane)
        sweep(x, plan, plane, some, best, which, thread * (best.size // team), argmax, y, None)


def _max_pool_backward(
    dy: Floats, argmax: Places, plan: Plan, planes: int, dx: Floats, thread: int, team: int
) -> None:
    """Every pixel looks which of the windows that see it name it: windows that overlap are no reason to wait."""
    size, stride, pad, height, width = plan.size, plan.stride, plan.pad, plan.height, plan.width
    tall, wide, lanes = plan.tall, plan.wide, in_vector(dx)
    begin, end = share(planes, thread, team)
    pixels, before = height * width, pad * (wide + 1)
    alike = stride == 1 and (height, width) == (tall, wide) and size <= wide and pixels >= lanes
    if alike and (size - 1) * (wide + 1) < pixels:  # all rows as one: what does not see a pixel does not name it
        for plane in range(begin, end, MAPS):
            count, q = min(MAPS, end - plane) * pixels, -before
            for v in range(0, count + before, lanes):
                passed_back(dy, argmax, plane * pixels, size, wide, wide, count, size, stride, v, q - v, pixels,
                            before, count, dx, plane * pixels - before, lanes)
                q = q + lanes if q + lanes < pixels else q + lanes - pixels
    else:
        pass_back(dy, argmax, begin * tall * wide, plan, begin, end, dx)


def _pass_back(
    dy: Floats, argmax: Places | None, start: int, plan: Plan, begin: int, end: int, dx: Floats
) -> None:
    """To the pixels of maps from one to another, row by row. Their windows are in dy from `start` on."""
    size, stride, pad, height, width = plan.size, plan.stride, plan.pad, plan.height, plan.width
    tall, wide, lanes, seen, swept = plan.tall, plan.wide, in_vector(dx), plan.seen, -(-(width + pad) // stride)
    if stride == 2 and swept <= lanes // 2:  # half a vector is enough for a row
        pass_back_pairs(dy, argmax, start, plan, begin, end, dx)
        return
    for plane in range(begin, end):
        for r in range(height):
            at, rows = start + ((plane - begin) * tall + seen[r, 0]) * wide, seen[r, 1]
            for v in range(0, swept, lanes):
                passed_back(dy, argmax, at, rows, 0, wide, wide, size, stride, v, r * width - pad, height * width, pad,
                            width, dx, (plane * height + r) * width - pad, lanes)


def _pass_back_pairs(
    dy: Floats, argmax: Places | None, start: int, plan: Plan, begin: int, end: int, dx: Floats
) -> None:
    size, stride, pad, height, width = plan.size, plan.stride, plan.pad, plan.height, plan.width
    tall, wide, lanes, seen = plan.tall, plan.wide, in_vector(dx), plan.seen
    for plane in range(begin, end):
        first = start + (plane - begin) * tall * wide
        for r in range(0, height - 1, 2):
            passed_back_pair(dy, argmax, first + seen[r, 0] * wide, seen[r, 1], first + seen[r + 1, 0] * wide,
                             seen[r + 1, 1], wide, size, stride, r * width - pad, pad, width, dx,
                             (plane * height + r) * width - pad, lanes)
        if height % 2:
            r = height - 1
            passed_back(dy, argmax, first + seen[r, 0] * wide, seen[r, 1], 0, wide, wide, size, stride, 0,
                        r * width - pad, height * width, pad, width, dx, (plane * height + r) * width - pad, lanes)


def _multiply(x: Floats, factors: Floats, y: Floats) -> None:
    for p in range(x.size):
        y[p] = x[p] * factors[p]


def _average_pool_forward(
    x: Floats, plan: Plan, shares: Floats, planes: int, sums: Floats, y: Floats, thread: int, team: int
) -> None:
    """shares : one over the pixels that a window counts, for every window of as many maps as are taken together."""
    first, last = share(planes, thread, team)
    for plane in range(first, last, plan.together):
        some, windows = min(plan.together, last - plane), plan.tall * plan.wide
        sweep(x, plan, plane, some, sums, None, thread * (sums.size // team), None, y, Sum(False))
        times(y[plane * windows : (plane + some) * windows], shares)


def _average_pool_backward(
    dy: Floats, plan: Plan, shares: Floats, planes: int, parts: Floats, dx: Floats, thread: int, team: int
) -> None:
    """parts : of some maps what each window passes on, for every thread."""
    first, last = share(planes, thread, team)
    for plane in range(first, last, plan.together):
        some, windows = min(plan.together, last - plane), plan.tall * plan.wide
        multiply(dy[plane * windows : (plane + some) * windows], shares, parts[thread])
        pass_back(parts[thread], None, 0, plan, plane, plane + some, dx)


def _times(x: Floats, factors: Floats) -> None:
    for p in range(x.size):
        x[p] *= factors[p]


def _strided_average_forward(
    x: Floats, windows: Windows, shares: Floats, planes: int, room: Floats, across: Floats, total: Floats, y: Floats,
    thread: int, team: int
) -> None:
    """At a stride of 3 and more, at which the sweeps are plain loops.

    shares : one over the pixels that a window counts, for every window and lane."""
    tall, wide, lanes = windows.tall, windows.wide, in_vector(x)
    start, stop = portion(planes, lanes, thread, team)
    set_all(room[thread], 0)
    for plane in range(start, stop, lanes):
        some = min(lanes, stop - plane)
        for i in range(0, tall, windows.band):
            rows = see(x, plane, some, windows, i, room[thread])
            sum_windows(room[thread], windows, rows, across[thread], total[thread])
            times(total[thread, : rows * windows.line], shares[i * windows.line :])
            release(total[thread], windows.out, 0, rows * wide, lanes, y, plane, some, tall * wide, i * wide)


def _strided_average_backward(
    dy: Floats, spread: Spread, shares: Floats, planes: int, room: Floats, across: Floats, total: Floats, dx: Floats,
    thread: int, team: int
) -> None:
    height, width, lanes, stride, tall, wide = (
        spread.height, spread.width, in_vector(dx), spread.stride, spread.tall, spread.wide)
    windows, grids = room[thread], -(-(spread.pad + height) // stride)
    start, stop = portion(planes, lanes, thread, team)
    set_all(windows, 0)
    for plane in range(start, stop, lanes):
        some = min(lanes, stop - plane)
        for i in range(0, grids, spread.band):
            rows, before = min(spread.band, grids - i), i - spread.more
            first, last = max(0, before), max(0, min(tall, i + rows))
            inside, after = (first - before) * spread.line, max(first, last) - before
            set_all(windows[:inside], 0)
            set_all(windows[after * spread.line :], 0)
            if last > first:
                gather(dy, plane, some, tall * wide, first * wide, (last - first) * wide, spread.into,
                       (first - before) * wide, lanes, windows)
                times(windows[inside : after * spread.line], shares[first * spread.line :])
            spread_windows(windows, spread, rows, across[thread], total[thread])
            top = i * stride - spread.pad
            first, last = max(0, top), min(height, top + rows * stride)
            release(total[thread], spread.out, (first - top) * width, (last - first) * width, lanes, dx, plane,
                    some, height * width, first * width)


def _average_maps(x: Floats, share_of_one: Any, pixels: int, y: Floats, thread: int, team: int) -> None:
    """Of maps that are one window each."""
    first, last = share(y.size, thread, team)
    for plane in range(first, last):
        y[plane] = share_of_one * total(x[plane * pixels : (plane + 1) * pixels])


def _average_maps_back(dy: Floats, share_of_one: Any, pixels: int, dx: Floats, thread: int, team: int) -> None:
    first, last = share(dy.size, thread, team)
    for plane in range(first, last):
        set_all(dx[plane * pixels : (plane + 1) * pixels], share_of_one * dy[plane])


times, multiply, sweep = serial(_times), serial(_multiply), serial(_sweep)
sweep_across, sweep_pairs, sweep_down, sweep_down_pairs, sweep_maps = (
    serial(loop) for loop in (_sweep_across, _sweep_pairs, _sweep_down, _sweep_down_pairs, _sweep_maps))
pass_back, pass_back_pairs = serial(_pass_back), serial(_pass_back_pairs)
_max_forward, _max_backward = parallel(_max_pool_forward), parallel(_max_pool_backward)
_average_forward, _average_backward = parallel(_average_pool_forward), parallel(_average_pool_backward)
_strided_forward, _strided_backward = parallel(_strided_average_forward), parallel(_strided_average_backward)
_whole_forward, _whole_backward = parallel(_average_maps), parallel(_average_maps_back)


@cache
def _shares_of_windows(
    fine: Any, coarse: Any, size: int, stride: int, pad: int, count_pad: bool, dtype: Any, maps: int
) -> Floats:
    """One over the pixels that each window counts, for so many maps."""
    return np.tile(np.asarray(1 / pixels_counted(fine, size, stride, pad, count_pad, coarse), dtype).ravel(), maps)


@cache
def _shares(
    fine: Any, coarse: Any, size: int, stride: int, pad: int, count_pad: bool, dtype: Any, line: int, before: int
) -> Floats:
    """One over the pixels that each window counts, in rows of `line` numbers, for every lane the same."""
    lanes = lanes_of(dtype.itemsize)
    shares = np.zeros((coarse[0], line // lanes, lanes), dtype)
    counts = pixels_counted(fine, size, stride, pad, count_pad, coarse)
    shares[:, before : before + coarse[1]] = 1 / counts[..., None]
    return shares.ravel()


def sweep_room(plan: Plan, itemsize: int) -> int:
    """Numbers that a thread keeps between the sweeps; whole vectors are read and written, so some more."""
    return plan.together * plan.room + 3 * lanes_of(itemsize)


def max_pool_forward(x: Floats, size: int, stride: int, pad: int, argmax: Places | None, y: Floats) -> None:
    plan = planned(x.shape[2:], y.shape[2:], int(size), int(stride), int(pad), x.itemsize)
    room = (threads() * sweep_room(plan, x.itemsize),)
    [best] = scratch(x.dtype, room)
    which, out = (None, None) if argmax is None else (scratch(argmax.dtype, room)[0], flat(argmax))
    _max_forward(flat(x), plan, x.shape[0] * x.shape[1], best, which, out, flat(y))


def max_pool_backward(dy: Floats, argmax: Places, size: int, stride: int, pad: int, dx: Floats) -> None:
    plan = planned(dx.shape[2:], dy.shape[2:], int(size), int(stride), int(pad), dx.itemsize)
    _max_backward(flat(dy), flat(argmax), plan, dx.shape[0] * dx.shape[1], flat(dx))


def _whole(fine: Any, coarse: Any, size: int, pad: int) -> bool:
    """Does one window see all of a map?"""
    return bool(tuple(coarse) == (1, 1) and max(fine) <= size - pad)


def average_pool_forward(x: Floats, size: int, stride: int, pad: int, count_pad: bool, y: Floats) -> None:
    if _whole(x.shape[2:], y.shape[2:], size, pad):
        pixels = x.shape[2] * x.shape[3]
        counted = int(pixels_counted(x.shape[2:], size, stride, pad, count_pad, (1, 1))[0, 0])
        _whole_forward(flat(x), x.dtype.type(1 / counted), pixels, flat(y))
        return
    planes, team = x.shape[0] * x.shape[1], threads()
    if stride in STRIDES:
        sweeps = planned(x.shape[2:], y.shape[2:], int(size), int(stride), int(pad), x.itemsize)
        shares = _shares_of_windows(x.shape[2:], y.shape[2:], size, stride, pad, count_pad, x.dtype, sweeps.together)
        [sums] = scratch(x.dtype, (team * sweep_room(sweeps, x.itemsize),))
        _average_forward(flat(x), sweeps, shares, planes, sums, flat(y))
    else:
        plan = windows(x.shape[2:], y.shape[2:], size, stride, pad, x.itemsize)
        shares = _shares(x.shape[2:], y.shape[2:], size, stride, pad, count_pad, x.dtype, plan.line, 0)
        rooms = scratch(x.dtype, (team, plan.room), (team, plan.phases * plan.grid), (team, plan.grid))
        _strided_forward(flat(x), plan, shares, planes, *rooms, flat(y))


def average_pool_backward(dy: Floats, size: int, stride: int, pad: int, count_pad: bool, dx: Floats) -> None:
    if _whole(dx.shape[2:], dy.shape[2:], size, pad):
        pixels = dx.shape[2] * dx.shape[3]
        counted = int(pixels_counted(dx.shape[2:], size, stride, pad, count_pad, (1, 1))[0, 0])
        _whole_backward(flat(dy), dx.dtype.type(1 / counted), pixels, flat(dx))
        return
    planes, team = dx.shape[0] * dx.shape[1], threads()
    if stride in STRIDES:
        sweeps = planned(dx.shape[2:], dy.shape[2:], int(size), int(stride), int(pad), dx.itemsize)
        shares = _shares_of_windows(dx.shape[2:], dy.shape[2:], size, stride, pad, count_pad, dx.dtype, sweeps.together)
        [parts] = scratch(dx.dtype, (team, shares.size))
        _average_backward(flat(dy), sweeps, shares, planes, parts, flat(dx))
    else:
        plan = spread(dx.shape[2:], dy.shape[2:], size, stride, pad, dx.itemsize)
        shares = _shares(dx.shape[2:], dy.shape[2:], size, stride, pad, count_pad, dx.dtype, plan.line, plan.more)
        room = (plan.band + plan.more) * plan.line
        rooms = scratch(dx.dtype, (team, room), (team, room), (team, plan.stride**2 * plan.band * plan.line))
        _strided_backward(flat(dy), plan, shares, planes, *rooms, flat(dx))
