"""The fully connected layer: y = x wᵀ + b, made of `dots`, and its two gradients, made of `tile`s.

Weights are by far the largest array, and each is read once: forward, a thread takes some outputs, for all images; back,
a panel at a time, 48 columns of what is written (VECTORS · lanes: with AVX2 24), and what is summed over goes through
the first-level cache in STEPS: a panel of the second operand, close together, while the rows of the first pass by.
Meanwhile what comes next is asked for from memory. With a library's product, divided among threads by images, weights
were read once a thread, and it took a third longer.
"""
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import LINE, flat, lowest, planning, reshaped, scratch
from .compile import serial
from .dots import dots
from .panels import ask_for_panels, fill_panels, move_columns
from .prepared import Loops, loop, prepared
from .rows import add, set_all
from .team import parallel, share, threads
from .tile import FIRST_ROWS, PACKED, ROWS, STEPS, VECTORS, in_line, tile, whole, widest
from .tile import lanes as lanes_of
from .vectors import move, will_write

Floats = NDArray[Any]
Numbers = NDArray[np.int64]

FEW_PACKED = 2**14  # gradients: so few are for the thread that calls
TOGETHER = 4 if PACKED else 1
"""Panels of w that are filled at a time: 384 bytes of a row are read in place of 96, 1.3 to 1.6 times as fast. With
AVX-512, where a panel's row is 192, eight panels took 1.0 to 1.4 times as long."""
PANELS = 8  # that the gradient of the weights writes of a row before it goes on to the next

NEAR, MOST, FEW = 4096, 128, 12
"""Forward, NEAR bytes of each row are taken at a time: of ROWS rows of weights they stay in the first-level cache then,
of MOST images in the second. Of FEW images or fewer MOST // FEW times as many, which together are no more: weights come
from memory once, and best in long rows (of one image, 2.8 ms in place of 4.1)."""


def _forward(
    x: Floats, w: Floats, bias: Floats, least: Any, nothing: Any, sizes: Any, pixels: Floats, y: Floats, thread: int,
    team: int
) -> None:
    """y[n, o] = bias[o] + Σ_i x[n, i] w[o, i], some outputs on each thread, or if there are few, some images of these;
    or `least`, if that is less.  sizes : N, I.  nothing : −∞.

    pixels : (team, images, numbers of each, and a line): what is read of x again and again, close together. Rows of x
    may lie a power of two apart, and of such a cache keeps only a few. 64 images, 9,216 inputs: 12 ms in place of 18.
    """
    (count, depth), (_, most, line) = sizes, pixels.shape
    some, many, blocks, near = line - in_line(x), -(-bias.size // ROWS), -(-count // most), pixels[thread].reshape(-1)
    for begin in range(0, depth, some):
        here = min(some, depth - begin)
        least_yet = least if begin + here == depth else nothing
        for block in range(blocks):
            start, stop = share(count, block, blocks)
            for n in range(start, stop):
                move(x, n * depth + begin, near, (n - start) * line, here)
            groups = -(-(stop - start) // VECTORS)
            cuts = min(max(1, team // many), groups)
            first_job, last_job = share(many * cuts, thread, team)
            for job in range(first_job, last_job):
                o, (first, last) = job // cuts * ROWS, share(groups, job % cuts, cuts)
                outputs, rows = min(ROWS, bias.size - o), w[o * depth + begin :]
                for group in range(first, last):
                    n, soon = group * VECTORS, min(o + ROWS + (group - first) % ROWS, bias.size - 1)
                    dots(near[n * line :], line, rows, depth, here, min(VECTORS, stop - start - n), outputs,
                         (soon - o) * depth, begin == 0, bias[o:], least_yet, y[(start + n) * bias.size + o :],
                         bias.size)


def _pack_rows(dy: Floats, sizes: Any, near: Floats, thread: int, team: int) -> None:
    """near[o // STEPS, n, o % STEPS] = dy[n, o].  Rows of dy may lie a power of two apart."""
    count, outputs, _ = sizes
    first, last = share(near.shape[0], thread, team)
    for part in range(first, last):
        for n in range(count):
            move(dy, n * outputs + part * STEPS, near[part, n], 0, min(STEPS, outputs - part * STEPS))


def _data(
    near: Floats, w: Floats, sizes: Any, some: int, rows: Numbers, places: Numbers, lanes: int, panels: Floats,
    sums: Floats, dx: Floats, thread: int, team: int
) -> None:
    """dx[n, i] = Σ_o dy[n, o] w[o, i], `some` columns of it at a time.  near : dy as `_pack_rows` makes it.  sizes : N,
    O, I."""
    wide, (count, _, inputs) = VECTORS * lanes, sizes
    first_job, last_job = share(-(-inputs // some), thread, team)
    for job in range(first_job, last_job):
        first = job * some
        columns = min(some, inputs - first)
        multiply_panels(near, w, sizes, first, columns, rows, places, lanes, panels[thread], sums[thread])
        for n in range(count):
            for panel in range(-(-columns // wide)):
                here = min(wide, columns - panel * wide)
                move_columns(sums[thread, panel, n // ROWS], n % ROWS * whole(here, lanes), dx,
                             n * inputs + first + panel * wide, here)


def _multiply_panels(
    near: Floats, w: Floats, sizes: Any, first: int, columns: int, rows: Numbers, places: Numbers, lanes: int,
    panels: Floats, sums: Floats
) -> None:
    """sums[panel, n // ROWS] = the tile of Σ_o dy[n, o] w[o, first + panel · wide + v].  w of one dimension."""
    count, outputs, inputs = sizes
    wide = VECTORS * lanes
    tiles = -(-columns // wide) * -(-count // ROWS)
    for part in range(near.shape[0]):
        o, job = part * STEPS, 0
        last = min(outputs, o + STEPS)
        fill_panels(w, (0, 0), inputs, o, last - o, first, first + columns, wide, panels)
        ahead = min(outputs, last + STEPS) - last
        each = -(-ahead // tiles)
        for panel in range(-(-columns // wide)):
            across = whole(columns - panel * wide, lanes)
            for n in range(0, count, ROWS):  # meanwhile the rows that are taken next come from memory
                ask_for_panels(w, (0, 0), inputs, last + job * each, min(each, ahead - job * each), first,
                               first + columns, False)
                tile(near[part, n:].reshape(-1), rows[min(count - n, ROWS) - 1], 1, panels[panel * STEPS * wide :],
                     places[: last - o], part == 0, sums[panel, n // ROWS], across)
                job += 1


def _weight_panels(
    blocks: Floats, x: Floats, sizes: Any, first: int, columns: int, rows: Numbers, places: Numbers, lanes: int,
    panels: Floats, c: Floats, dw: Floats
) -> None:
    """Columns `first`, … of dw, at most PANELS · width of them, width = VECTORS · lanes.

    panels (PANELS, N · width), c : a tile.
    """
    outputs, inputs = sizes
    images, width = blocks.shape[1], VECTORS * lanes
    for panel in range(-(-columns // width)):
        here = min(width, columns - panel * width)
        for n in range(images):
            move_columns(x, n * inputs + first + panel * width, panels[panel], places[n], here)
    for block in range(blocks.shape[0]):
        for panel in range(-(-columns // width)):
            here = min(width, columns - panel * width)
            across = whole(here, lanes)
            for r in range(ROWS):
                will_write(dw, ((block + 1) * ROWS + r) * inputs + first + panel * width, here)
            tile(blocks[block].reshape(-1), rows, ROWS, panels[panel], places[:images], True, c, across)
            for r in range(min(ROWS, outputs - block * ROWS)):
                move_columns(c, r * across, dw, (block * ROWS + r) * inputs + first + panel * width, here)


def _weight(
    blocks: Floats, x: Floats, sizes: Any, rows: Numbers, places: Numbers, lanes: int, panels: Floats, tiles: Floats,
    dw: Floats, thread: int, team: int
) -> None:
    """dw[o, c] = Σ_n dy[n, o] x[n, c].  blocks : dy as `_pack` makes it."""
    width, inputs = VECTORS * lanes, sizes[1]
    first, last = share(-(-inputs // width), thread, team)
    for panel in range(first, last, PANELS):
        columns = min(min(panel + PANELS, last) * width, inputs) - panel * width
        weight_panels(blocks, x, sizes, panel * width, columns, rows, places, lanes, panels[thread], tiles[thread], dw)


def _pack(dy: Floats, blocks: Floats, db: Floats, thread: int, team: int) -> None:
    """blocks[o // ROWS, n, o % ROWS] = dy[n, o], zero where there is no such output; db[o] = Σ_n dy[n, o]."""
    first, last = share(blocks.shape[0], thread, team)
    begin, end = first * ROWS, min(db.size, last * ROWS)
    if last == blocks.shape[0]:
        set_all(blocks[-1].reshape(-1), 0)
    set_all(db[begin:end], 0)
    for n in range(dy.shape[0]):
        add(dy[n, begin:end], db[begin:end])
        for block in range(first, last):
            move(dy[n], block * ROWS, blocks[block, n], 0, min(ROWS, db.size - block * ROWS))


pack, pack_rows = parallel(_pack, FEW_PACKED), parallel(_pack_rows, FEW_PACKED)
multiply_panels, weight_panels = serial(_multiply_panels), serial(_weight_panels)
forward, data, weight = parallel(_forward), parallel(_data), parallel(_weight)


@planning
def _places(count: int, itemsize: int) -> tuple[Numbers, Numbers]:
    """Where the rows of a tile of dy begin, [k − 1] if there are k of them; where the steps are in a panel."""
    rows = np.minimum(np.arange(ROWS), np.arange(ROWS)[:, None]) * STEPS
    return rows, np.arange(max(STEPS, count), dtype=np.int64) * widest(itemsize)


@prepared
def dense_forward(x: Floats, w: Floats, b: Floats, rectify: bool, y: Floats) -> Loops:
    (count, depth), line = x.shape, LINE // x.itemsize
    near = NEAR * (MOST // FEW if count <= FEW else 1) // x.itemsize
    some = min(near, -(-depth // line) * line) + line
    [pixels] = scratch(x.dtype, (threads(), min(count, MOST), some))
    return [loop(forward, flat(x), flat(w), b, lowest(rectify, x.dtype), lowest(False, x.dtype), x.shape, pixels,
                 flat(y))]


@prepared
def dense_backward_weight(dy: Floats, x: Floats, dw: Floats, db: Floats) -> Loops:
    (images, outputs), team, wide = dy.shape, threads(), widest(dy.itemsize)
    _, places = _places(images, dy.itemsize)
    blocks, panels, tiles = scratch(
        dy.dtype, (-(-outputs // ROWS), images, ROWS), (team, PANELS, images * wide), (team, ROWS * wide))
    return [
        loop(pack, reshaped(dy, dy.shape), blocks, db),
        loop(weight, blocks, flat(x), dw.shape, FIRST_ROWS, places, lanes_of(dy.itemsize), panels, tiles, flat(dw))]


@prepared
def dense_backward_data(dy: Floats, w: Floats, dx: Floats) -> Loops:
    (count, outputs), team, wide = dy.shape, threads(), widest(dy.itemsize)
    rows, places = _places(count, dy.itemsize)
    many = max(1, min(TOGETHER, -(-w.shape[1] // wide) // (4 * team)))
    near, panels, sums = scratch(
        dy.dtype, (-(-outputs // STEPS), count, STEPS), (team, many * STEPS * wide),
        (team, many, -(-count // ROWS), ROWS * wide))
    sizes = *dy.shape, w.shape[1]
    return [
        loop(pack_rows, flat(dy), sizes, near),
        loop(data, near, flat(w), sizes, many * wide, rows, places, lanes_of(dy.itemsize), panels, sums, flat(dx))]
