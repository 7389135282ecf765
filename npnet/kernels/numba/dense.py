"""The fully connected layer: y = x wᵀ + b, and its two gradients, made of `tile`s.

A thread takes 48 columns of what is written at a time, a panel. What is summed over goes through the first-level cache
in steps of so many: 48 columns of the second operand, close together, while the rows of the first pass by, and the next
ones are asked for from memory. So weights, the largest array by far, are read once; with a library's product, divided
among threads by images, they were read once a thread, and it took a third longer.
"""
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import flat, lowest, scratch, zeros
from .compile import serial
from .rows import add, set_all
from .team import parallel, share, threads
from .tile import FIRST_ROWS, ROWS, STEPS, VECTORS, tile, whole, widest
from .tile import lanes as lanes_of
from .turned import gather
from .vectors import move, will_read, will_write

Floats = NDArray[Any]
Numbers = NDArray[np.int64]

PANELS = 8  # that the gradient of the weights writes of a row before it goes on to the next


def _take(b: Floats, turned: bool, sizes: Any, first: int, some: Any, columns: int, places: Numbers, lanes: int,
          panel: Floats) -> None:
    """panel[s · width + v] = b[some[0] + s, first + v], turned: b[first + v, some[0] + s].  sizes : the shape of b."""
    count, width = some[1] - some[0], sizes[1]
    if turned:
        for v in range(0, columns, lanes):
            gather(b, first + v, min(lanes, columns - v), width, some[0], count, places, 0, lanes, panel[v:])
    else:
        for s in range(count):
            move(b, (some[0] + s) * width + first, panel, places[s], columns)


def _multiply_panel(
    a: Floats, b: Floats, turned: bool, sizes: Any, first: int, columns: int, rows: Numbers, places: Numbers,
    lanes: int, panel: Floats, sums: Floats
) -> None:
    """sums[n // ROWS] = the tile of Σ_s a[n, s] b[s, first + v], or b[first + v, s]. a and b of one dimension.

    sizes : rows of a, what is summed over, and the shape of b.
    """
    count, depth = sizes[0], sizes[1]
    across = whole(columns, lanes)
    for s in range(0, depth, STEPS):
        last = min(depth, s + STEPS)
        take(b, turned, (sizes[2], sizes[3]), first, (s, last), columns, places, lanes, panel)
        ahead, some = min(depth, last + STEPS) - last, -(-ROWS * (columns if turned else STEPS) // count)
        for n in range(0, count, ROWS):  # meanwhile the rows that are taken next come from memory
            for row in range(n // ROWS * some, min((n // ROWS + 1) * some, columns if turned else ahead)):
                if turned:
                    will_read(b, (first + row) * sizes[3] + last, ahead)
                else:
                    will_read(b, (last + row) * sizes[3] + first, columns)
            here = rows[min(count - n, ROWS) - 1]
            tile(a[n * depth + s :], here, 1, panel, places[: last - s], s == 0, sums[n // ROWS], across)


def _multiply(
    a: Floats, b: Floats, turned: bool, bias: Floats, least: Any, sizes: Any, rows: Numbers, places: Numbers,
    lanes: int, panels: Floats, sums: Floats, y: Floats, thread: int, team: int
) -> None:
    """y[n, o] = bias[o] + Σ_s a[n, s] b[s, o], or b[o, s], some panels of it on each thread, or if there are fewer than
    threads, some rows of a panel; or `least`, if that is less."""
    (count, depth), width, outputs = sizes[:2], VECTORS * lanes, bias.size
    blocks, many = -(-count // ROWS), -(-outputs // width)
    cuts = min(max(1, team // many), blocks)
    first_job, last_job = share(many * cuts, thread, team)
    for job in range(first_job, last_job):
        first, (begin, end) = job // cuts * width, share(blocks, job % cuts, cuts)
        begin, end = begin * ROWS, min(count, end * ROWS)
        columns = min(width, outputs - first)
        across, here = whole(columns, lanes), (end - begin, depth, sizes[2], sizes[3])
        multiply_panel(
            a[begin * depth :], b, turned, here, first, columns, rows, places, lanes, panels[thread], sums[thread])
        for n in range(end - begin):
            line, place = sums[thread, n // ROWS, n % ROWS * across :], (begin + n) * outputs + first
            for v in range(columns):
                value = line[v] + bias[first + v]
                y[place + v] = least if value <= least else value


def _weight_panels(
    blocks: Floats, x: Floats, sizes: Any, first: int, columns: int, rows: Numbers, places: Numbers, lanes: int,
    panels: Floats, c: Floats, dw: Floats
) -> None:
    """Columns `first`, … of dw, at most PANELS · 48 of them.  panels (PANELS, N · 48), c : a tile."""
    outputs, inputs = sizes
    images, width = blocks.shape[1], VECTORS * lanes
    for panel in range(-(-columns // width)):
        here = min(width, columns - panel * width)
        take(x, False, (images, inputs), first + panel * width, (0, images), here, places, lanes, panels[panel])
    for block in range(blocks.shape[0]):
        for panel in range(-(-columns // width)):
            here = min(width, columns - panel * width)
            across = whole(here, lanes)
            for r in range(ROWS):
                will_write(dw, ((block + 1) * ROWS + r) * inputs + first + panel * width, here)
            tile(blocks[block].reshape(-1), rows, ROWS, panels[panel], places[:images], True,
                 c, across)
            for r in range(min(ROWS, outputs - block * ROWS)):
                move(c, r * across, dw, (block * ROWS + r) * inputs + first + panel * width, here)


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


def _pack(dy: Floats, blocks: Floats, db: Floats) -> None:
    """blocks[o // ROWS, n, o % ROWS] = dy[n, o], zero where there is no such output; db[o] = Σ_n dy[n, o]."""
    set_all(blocks[-1].reshape(-1), 0)
    set_all(db, 0)
    for n in range(dy.shape[0]):
        add(dy[n], db)
        for block in range(blocks.shape[0]):
            move(dy[n], block * ROWS, blocks[block, n], 0, min(ROWS, db.size - block * ROWS))


take, pack = serial(_take), serial(_pack)
multiply_panel, weight_panels = serial(_multiply_panel), serial(_weight_panels)
multiply, weight = parallel(_multiply), parallel(_weight)


@cache
def _places(count: int, depth: int, itemsize: int) -> tuple[Numbers, Numbers]:
    """Where the rows of a tile of a begin, [k − 1] if there are k of them; where the steps are in a panel."""
    rows = np.minimum(np.arange(ROWS), np.arange(ROWS)[:, None]) * depth
    return rows, np.arange(max(STEPS, count), dtype=np.int64) * widest(itemsize)


def _product(a: Floats, b: Floats, turned: bool, bias: Floats, rectify: bool, y: Floats) -> None:
    (count, depth), team, wide = a.shape, threads(), widest(a.itemsize)
    rows, places = _places(count, depth, a.itemsize)
    rooms = scratch(a.dtype, (team, STEPS * wide), (team, -(-count // ROWS), ROWS * wide))
    sizes, lanes = (count, depth, *b.shape), lanes_of(a.itemsize)
    multiply(flat(a), flat(b), turned, bias, lowest(rectify, a.dtype), sizes, rows, places, lanes, *rooms, flat(y))


def dense_forward(x: Floats, w: Floats, b: Floats, rectify: bool, y: Floats) -> None:
    _product(x, w, True, b, rectify, y)


def dense_backward_weight(dy: Floats, x: Floats, dw: Floats, db: Floats) -> None:
    (images, outputs), team, wide = dy.shape, threads(), widest(dy.itemsize)
    _, places = _places(images, images, dy.itemsize)
    blocks, panels, tiles = scratch(
        dy.dtype, (-(-outputs // ROWS), images, ROWS), (team, PANELS, images * wide), (team, ROWS * wide))
    pack(dy, blocks, db)
    weight(blocks, flat(x), dw.shape, FIRST_ROWS, places, lanes_of(dy.itemsize), panels, tiles, flat(dw))


def dense_backward_data(dy: Floats, w: Floats, dx: Floats) -> None:
    _product(dy, w, False, zeros(dx.shape[1], dx.dtype), False, dx)
