"""Windows over maps, whose pixels are summed: where these go, so that loops over them are long and simple. For strides
of 3 and more; at 1 and 2 the `sweeps` are faster.

A vector holds one pixel of 16 maps (`lanes` of them), not 16 pixels of a map: where rows of 7, 13 or 55 pixels end does
not matter then. So the pixels of 16 maps are turned over into a room, in which pixel p stands at [p, map].

And of a stride s, pixels that are s apart become neighbours: the room has a grid for each phase (row % s, column % s),

    room[row % s, column % s, row // s, column // s, map],

so the pixels that windows side by side see at their place (k, l) are side by side too: grid (k % s, l % s), from
(k // s, l // s) on. What remains is a few loops over whole grids, and the room stays in the second-level cache,
for maps are taken some rows of windows at a time (a band).

"Fine" are the maps that windows look at, (H, W); "coarse" the windows, (OH, OW).
"""
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compile import inlined, serial
from .reductions import sum_rows
from .rows import set_all
from .team import share
from .tile import lanes as lanes_of
from .vectors import from_lanes, to_lanes

Floats = NDArray[Any]
Numbers = NDArray[np.int64]

PIXELS = 3200  # in a room: with what is made of them, they stay in the second-level cache


class Windows(NamedTuple):
    """Windows of size × size, every `stride` pixels, and the places in a room. All places count numbers, not pixels."""

    size: int
    stride: int
    pad: int
    height: int  # of the fine maps
    width: int
    tall: int  # of the coarse ones
    wide: int
    lanes: int
    phases: int  # grids along an axis
    band: int  # rows of windows that are in a room
    grid: int  # numbers in a grid
    line: int  # in a row of it
    along: Numbers  # from a window's first pixel to the others of its row
    down: Numbers  # from the first row to the others, of what has been made of each phase's rows
    into: Numbers  # of the pixels (row, column) of a band, its first row being the first that a window sees
    out: Numbers  # of the windows
    room: int  # numbers in a room, with some to spare: loops over grids go on where a row has ended


@cache
def windows(fine: Any, coarse: Any, size: int, stride: int, pad: int, itemsize: int) -> Windows:
    lanes, phases = lanes_of(itemsize), min(size, stride)
    columns = -(-((coarse[1] - 1) * stride + size) // stride)
    high = -(-size // stride)
    band = min(coarse[0], max(1, PIXELS // (phases**2 * columns) - high + 1))
    tall = band - 1 + high
    grid, line = tall * columns * lanes, columns * lanes
    room = (phases**2 + 1) * grid + (high + 1) * line  # the last grid is where goes what no window sees
    rows, across = np.arange(tall * stride)[:, None], np.arange(fine[1]) + pad
    seen = (rows % stride < phases) & (across % stride < phases) & (across // stride < columns)
    place = (rows % stride * phases + across % stride) * grid + rows // stride * line + across // stride * lanes
    out, taps = np.arange(band)[:, None] * line + np.arange(coarse[1]) * lanes, np.arange(size)
    along = taps % stride * grid + taps // stride * lanes
    return Windows(
        size, stride, pad, fine[0], fine[1], coarse[0], coarse[1], lanes, phases, band, grid, line, along,
        taps % stride * grid + taps // stride * line,
        np.where(seen, place, phases**2 * grid).ravel(), out.ravel(), room,
    )


class Spread(NamedTuple):
    """The way back: what the windows pass on to the pixels that they see. A room holds windows, with zeros around them;
    there is a grid of pixels for each phase, as above."""

    size: int
    stride: int
    pad: int
    height: int  # of the fine maps
    width: int
    tall: int  # of the coarse ones
    wide: int
    lanes: int
    more: int  # rows and columns of windows before the first that begins in the band
    band: int  # rows of a grid
    line: int  # numbers in a row of a grid and of the room
    along: Numbers  # from the place of a pixel, in its grid, to the windows that see it: those in its row
    down: Numbers  # in its column
    into: Numbers  # of the windows (row, column) in the room
    out: Numbers  # of the pixels (row, column) of a band


@cache
def spread(fine: Any, coarse: Any, size: int, stride: int, pad: int, itemsize: int) -> Spread:
    lanes, more = lanes_of(itemsize), (size - 1) // stride
    columns = max(-(-(pad + fine[1]) // stride), coarse[1]) + more
    band = min(-(-(pad + fine[0]) // stride), max(1, PIXELS // (stride**2 * columns)))
    line, before = columns * lanes, more - np.arange(more + 1)
    rows, across = np.arange(band * stride)[:, None], np.arange(fine[1]) + pad
    place = (rows % stride * stride + across % stride) * band * line + rows // stride * line + across // stride * lanes
    into = np.arange(band + more)[:, None] * line + (np.arange(coarse[1]) + more) * lanes
    return Spread(size, stride, pad, fine[0], fine[1], coarse[0], coarse[1], lanes, more, band, line, before * lanes,
                  before * line, into.ravel(), place.ravel())


def _portion(planes: int, lanes: int, part: int, parts: int) -> tuple[int, int]:
    """Of so many maps a part, in whole vectors of maps."""
    first, last = share(-(-planes // lanes), part, parts)
    return first * lanes, min(planes, last * lanes)


def _gather(
    x: Floats, plane: int, planes: int, numbers: int, first: int, count: int, places: Numbers, skip: int, lanes: int,
    room: Floats
) -> None:
    """room[places[skip + p] + v] = x[plane + v, first + p] for p < count and v < planes.  x : planes of `numbers`."""
    start = plane * numbers + first
    if planes == lanes and count >= lanes:
        for p in range(0, count, lanes):
            q = min(p, count - lanes)
            to_lanes(x, start + q, numbers, places, skip + q, None, room, lanes)
    elif planes == lanes:
        to_lanes(x, start, numbers, places, skip, count, room, lanes)
    else:
        for v in range(planes):
            for p in range(count):
                room[places[skip + p] + v] = x[start + v * numbers + p]


def _release(
    room: Floats, places: Numbers, skip: int, count: int, lanes: int, x: Floats, plane: int, planes: int, numbers: int,
    first: int
) -> None:
    """The way back."""
    start = plane * numbers + first
    if planes == lanes and count >= lanes:
        for p in range(0, count, lanes):
            q = min(p, count - lanes)
            from_lanes(room, places, skip + q, x, start + q, numbers, lanes)
    else:
        for v in range(planes):
            for p in range(count):
                x[start + v * numbers + p] = room[places[skip + p] + v]


def _clear(room: Floats, windows: Windows, first: int, last: int) -> None:
    """Sets rows of pixels in the room to zero."""
    for row in range(first, last):
        if row % windows.stride < windows.phases:
            for phase in range(windows.phases):
                start = (row % windows.stride * windows.phases + phase) * windows.grid
                start += row // windows.stride * windows.line
                set_all(room[start : start + windows.line], 0)


def _see(x: Floats, plane: int, planes: int, windows: Windows, i: int, room: Floats) -> int:
    """Puts into the room what windows i, i + 1, … see, a band of rows of them. Returns how many rows."""
    some, top = min(windows.band, windows.tall - i), i * windows.stride - windows.pad
    rows = (some - 1) * windows.stride + windows.size
    first, last, width = max(0, -top), min(rows, windows.height - top), windows.width
    clear(room, windows, 0, first)
    clear(room, windows, last, rows)
    gather(x, plane, planes, windows.height * width, (top + first) * width, (last - first) * width, windows.into,
           first * width, windows.lanes, room)
    return some


def _sum_windows(room: Floats, windows: Windows, rows: int, across: Floats, total: Floats) -> None:
    """total[p] = Σ of window p of so many rows of them: along each row of pixels, then the sums of its rows."""
    phases, grid, n = windows.phases, windows.grid, (rows + (windows.size - 1) // windows.stride) * windows.line
    for phase in range(phases):
        sum_rows(room[phase * phases * grid :], windows.along, across, phase * grid, n)
    sum_rows(across, windows.down, total, 0, rows * windows.line)


def _spread_windows(room: Floats, spread: Spread, rows: int, across: Floats, total: Floats) -> None:
    """total[phase of row, phase of column, p] = Σ of the windows that see that pixel, for so many rows of the grids."""
    n = (rows + spread.more) * spread.line - spread.more * spread.lanes
    for column in range(spread.stride):
        seen = max(0, -(-(spread.size - column) // spread.stride))
        sum_rows(room, spread.along[:seen], across, 0, n)
        for row in range(spread.stride):
            seen = max(0, -(-(spread.size - row) // spread.stride))
            start = (row * spread.stride + column) * spread.band * spread.line
            sum_rows(across, spread.down[:seen], total, start, rows * spread.line)


portion, gather, release, clear, see = (
    inlined(_portion), serial(_gather), serial(_release), serial(_clear), serial(_see))
sum_windows, spread_windows = serial(_sum_windows), serial(_spread_windows)
