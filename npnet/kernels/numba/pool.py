"""Pooling. AlexNet §3.4.

The sum of a window is that of its rows' sums; `windows` tells how pixels are laid out for that, and so that a vector
of windows sees vectors of pixels.
"""
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet.kernels.numpy.pool import pixels_counted

from .compile import flat, parallel, reshaped, scratch, serial, threads
from .reductions import TOGETHER, largest
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
Places = NDArray[Any]

AT_ONCE = 4  # maps whose gradients go back at the same time


def _any(y: Floats, value: Any) -> bool:
    found = False
    for p in range(y.size):
        found |= y[p] == value
    return found


def _max_pool_forward(
    x: Floats, windows: Windows, base: Places, names: Floats, planes: int, room: Floats, best: Floats, which: Floats,
    argmax: Places, y: Floats, thread: int, team: int
) -> None:
    """x, argmax and y of one dimension.  base : where windows begin, and names : where their pixels are from there,
    both as row · W + column. The latter are floating-point numbers like the pixels, so that a vector holds as many;
    they are small enough to be exact.
    """
    tall, wide, width, lanes = windows.tall, windows.wide, windows.width, windows.lanes
    start, stop = portion(planes, lanes, thread, team)
    set_all(room[thread], -np.inf)
    for plane in range(start, stop, lanes):
        some = min(lanes, stop - plane)
        for i in range(0, tall, windows.band):
            rows = see(x, plane, some, windows, i, x.dtype.type(-np.inf), room[thread])
            largest(room[thread], windows.taps, names, best[thread], which[thread], rows * windows.line)
            first, count = i * wide, rows * wide
            release(best[thread], windows.out, 0, None, count, lanes, y, plane, some, tall * wide, first)
            release(which[thread], windows.out, 0, base[first:], count, lanes, argmax, plane, some, tall * wide, first)
        if windows.pad > 0:
            begin, end = plane * tall * wide, (plane + some) * tall * wide
            if has(y[begin:end], -np.inf):  # then it may be the margin that is meant
                for p in range(begin, end):
                    if y[p] == -np.inf:
                        i, j = p // wide % tall * windows.stride, p % wide * windows.stride
                        argmax[p] = max(i - windows.pad, 0) * width + max(j - windows.pad, 0)


def _scatter(dy: Floats, argmax: Places, dx: Floats) -> None:
    """Several planes at a time: each must wait until what it added to a pixel before can be read again."""
    dx[:] = 0
    first = 0
    while first + AT_ONCE <= dy.shape[0]:
        for p in range(dy.shape[1]):
            for t in range(AT_ONCE):
                dx[first + t, argmax[first + t, p]] += dy[first + t, p]
        first += AT_ONCE
    for plane in range(first, dy.shape[0]):
        for p in range(dy.shape[1]):
            dx[plane, argmax[plane, p]] += dy[plane, p]


def _max_pool_backward(dy: Floats, argmax: Places, dx: Floats, thread: int, team: int) -> None:
    """dy and argmax (N·C, OH·OW), dx (N·C, H·W)."""
    first, last = portion(dx.shape[0], AT_ONCE, thread, team)
    for plane in range(first, last, AT_ONCE):
        some = slice(plane, min(last, plane + AT_ONCE))
        scatter(dy[some], argmax[some], dx[some])


def _times(x: Floats, factors: Floats) -> None:
    for p in range(x.size):
        x[p] *= factors[p]


def _average_pool_forward(
    x: Floats, windows: Windows, shares: Floats, planes: int, room: Floats, across: Floats, total: Floats, y: Floats,
    thread: int, team: int
) -> None:
    """shares : one over the pixels that a window counts, for every window and lane."""
    tall, wide, lanes = windows.tall, windows.wide, windows.lanes
    start, stop = portion(planes, lanes, thread, team)
    set_all(room[thread], 0)
    for plane in range(start, stop, lanes):
        some = min(lanes, stop - plane)
        for i in range(0, tall, windows.band):
            rows = see(x, plane, some, windows, i, x.dtype.type(0), room[thread])
            sum_windows(room[thread], windows, rows, across[thread], total[thread])
            times(total[thread, : rows * windows.line], shares[i * windows.line :])
            release(total[thread], windows.out, 0, None, rows * wide, lanes, y, plane, some, tall * wide, i * wide)


def _average_pool_backward(
    dy: Floats, spread: Spread, shares: Floats, planes: int, room: Floats, across: Floats, total: Floats, dx: Floats,
    thread: int, team: int
) -> None:
    height, width, lanes, stride, tall, wide = (
        spread.height, spread.width, spread.lanes, spread.stride, spread.tall, spread.wide)
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
            release(total[thread], spread.out, (first - top) * width, None, (last - first) * width, lanes, dx, plane,
                    some, height * width, first * width)


has, scatter, times = serial(_any), serial(_scatter), serial(_times)
_max_forward, _max_backward = parallel(_max_pool_forward), parallel(_max_pool_backward)
_average_forward, _average_backward = parallel(_average_pool_forward), parallel(_average_pool_backward)


@cache
def _first_pixels(width: int, coarse: Any, stride: int, pad: int) -> Places:
    """Of each window, row · W + column."""
    i, j = np.indices(coarse, np.int32) * stride - pad
    return np.asarray(i * width + j, np.int32).ravel()


@cache
def _window_pixels(width: int, size: int, dtype: Any) -> Floats:
    """Of each pixel of a window, row · W + column."""
    i, j = np.indices((size, size))
    return np.asarray(i * width + j, dtype).ravel()


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


def max_pool_forward(x: Floats, size: int, stride: int, pad: int, argmax: Places, y: Floats) -> None:
    plan = windows(x.shape[2:], y.shape[2:], size, stride, pad, x.itemsize)
    base = _first_pixels(x.shape[3], y.shape[2:], stride, pad)
    names, team = _window_pixels(x.shape[3], size, x.dtype), threads()
    spare = plan.grid + TOGETHER * plan.lanes
    rooms = scratch(x.dtype, (team, plan.room), (team, spare), (team, spare))
    _max_forward(flat(x), plan, base, names, x.shape[0] * x.shape[1], *rooms, flat(argmax), flat(y))


def max_pool_backward(dy: Floats, argmax: Places, dx: Floats) -> None:
    count = dx.shape[0] * dx.shape[1]
    _max_backward(*(reshaped(a, (count, -1)) for a in (dy, argmax, dx)))


def average_pool_forward(x: Floats, size: int, stride: int, pad: int, count_pad: bool, y: Floats) -> None:
    plan = windows(x.shape[2:], y.shape[2:], size, stride, pad, x.itemsize)
    shares = _shares(x.shape[2:], y.shape[2:], size, stride, pad, count_pad, x.dtype, plan.line, 0)
    team = threads()
    rooms = scratch(x.dtype, (team, plan.room), (team, plan.phases * plan.grid), (team, plan.grid))
    _average_forward(flat(x), plan, shares, x.shape[0] * x.shape[1], *rooms, flat(y))


def average_pool_backward(dy: Floats, size: int, stride: int, pad: int, count_pad: bool, dx: Floats) -> None:
    plan = spread(dx.shape[2:], dy.shape[2:], size, stride, pad, dx.itemsize)
    shares = _shares(dx.shape[2:], dy.shape[2:], size, stride, pad, count_pad, dx.dtype, plan.line, plan.more)
    team, room = threads(), (plan.band + plan.more) * plan.line
    rooms = scratch(dx.dtype, (team, room), (team, room), (team, plan.stride**2 * plan.band * plan.line))
    _average_backward(flat(dy), plan, shares, dx.shape[0] * dx.shape[1], *rooms, flat(dx))
