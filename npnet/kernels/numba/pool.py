"""Pooling. AlexNet §3.4.

Each of the papers' strides has its way: 1 is swept (`walks`), a window's rows first and then what has come of them; at
2 a vector of windows takes its pixels as vectors (`by_two`); averages of 3 and more are sums of rows (`averages`). Max
pooling at those, which no net here has, is swept by plain loops.
"""
from functools import cache
from typing import Any

import numpy as np

from npnet.kernels.numpy.pool import max_pool_backward as max_pool_backward_of_few
from npnet.kernels.numpy.pool import pixels_counted

from . import by_two
from .arrays import flat, planning, scratch
from .averages import Strided, spread_windows, strided, sum_windows
from .by_two import Halving, halving
from .compile import serial
from .passing import passed_back
from .prepared import Loops, loop, prepared
from .rows import multiply, set_all, times, total
from .sweeps import Floats, Places, Sum, size_of
from .team import parallel, share, threads
from .tile import in_vector
from .tile import lanes as lanes_of
from .walks import Plan, pass_back, planned, sweep, sweep_room

MAPS = 1024  # one after another, as one: their pixels are counted in 32 bits


def _name_none(y: Floats, first: int, last: int, none: Any, argmax: Places | None) -> None:
    """Of windows from one to another, those whose largest is not greater than 0 name no pixel: all bits of `none` are
    set, so there is something to write everywhere, and no branch. If it is 0, nothing changes."""
    if argmax is not None and none:
        for w in range(first, last):
            argmax[w] |= argmax.dtype.type(0) if y[w] > 0 else none


def _max_pool_forward(
    x: Floats, plan: Plan, planes: int, best: Floats, which: Places | None, none: Any, argmax: Places | None, y: Floats,
    thread: int, team: int
) -> None:
    """All of one dimension; best and which : of every thread a part.  none : 0, or what names no pixel, for windows
    that hold nothing greater."""
    first, last = share(planes, thread, team)
    for plane in range(first, last, plan.together):
        some, windows = min(plan.together, last - plane), plan.tall * plan.wide
        sweep(x, plan, plane, some, best, which, thread * (best.size // team), argmax, y, last * windows, None)
        name_none(y, plane * windows, (plane + some) * windows, none, argmax)


def _max_pool_backward(
    dy: Floats, argmax: Places, plan: Plan, planes: int, dx: Floats, thread: int, team: int
) -> None:
    """Every pixel looks which of the windows that see it name it: windows that overlap are no reason to wait."""
    size, stride, pad, height, width = size_of(plan), plan.stride, plan.pad, plan.height, plan.width
    tall, wide, lanes = plan.tall, plan.wide, in_vector(dx)
    begin, end = share(planes, thread, team)
    pixels, before = height * width, pad * (wide + 1)
    alike = (height, width) == (tall, wide) and size <= wide and pixels >= lanes and (size - 1) * (wide + 1) < pixels
    if len(plan.kind) == 1 and alike:  # all rows as one: what does not see a pixel does not name it
        for plane in range(begin, end, MAPS):
            count = min(MAPS, end - plane) * pixels
            for v in range(0, count + before, lanes):
                passed_back(dy, argmax, plane * pixels, size, wide, wide, count, size, stride, v, 0, before, count, dx,
                            plane * pixels - before, end * pixels, lanes, plan.kind)
    else:
        pass_back(dy, argmax, begin * tall * wide, plan, begin, end, dx)


def _max_pool_by_two(
    x: Floats, plan: Halving, planes: int, none: Any, argmax: Places | None, y: Floats, thread: int, team: int
) -> None:
    first, last = share(planes, thread, team)
    for plane in range(first, last, plan.together):
        some, windows = min(plan.together, last - plane), plan.tall * plan.wide
        by_two.pool(x, plan, plane, plane + some, y, argmax, None)
        name_none(y, plane * windows, (plane + some) * windows, none, argmax)


def _max_pool_by_two_back(
    dy: Floats, argmax: Places, plan: Halving, planes: int, dx: Floats, thread: int, team: int
) -> None:
    first, last = share(planes, thread, team)
    by_two.pass_back(dy, argmax, first * plan.tall * plan.wide, plan, first, last, dx)


def _average_pool_forward(
    x: Floats, plan: Plan, shares: Floats, planes: int, sums: Floats, y: Floats, thread: int, team: int
) -> None:
    """shares : one over the pixels that a window counts, for every window of as many maps as are taken together."""
    first, last = share(planes, thread, team)
    for plane in range(first, last, plan.together):
        some, windows = min(plan.together, last - plane), plan.tall * plan.wide
        sweep(x, plan, plane, some, sums, None, thread * (sums.size // team), None, y, last * windows,
              Sum(False))
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


def _average_by_two(
    x: Floats, plan: Halving, shares: Floats, planes: int, y: Floats, thread: int, team: int
) -> None:
    first, last = share(planes, thread, team)
    for plane in range(first, last, plan.together):
        some, windows = min(plan.together, last - plane), plan.tall * plan.wide
        by_two.pool(x, plan, plane, plane + some, y, None, Sum(False))
        times(y[plane * windows : (plane + some) * windows], shares)


def _average_by_two_back(
    dy: Floats, plan: Halving, shares: Floats, planes: int, parts: Floats, dx: Floats, thread: int, team: int
) -> None:
    first, last = share(planes, thread, team)
    for plane in range(first, last, plan.together):
        some, windows = min(plan.together, last - plane), plan.tall * plan.wide
        multiply(dy[plane * windows : (plane + some) * windows], shares, parts[thread])
        by_two.pass_back(parts[thread], None, 0, plan, plane, plane + some, dx)


def _strided_average_forward(
    x: Floats, plan: Strided, shares: Floats, planes: int, columns: Floats, sums: Floats, y: Floats, thread: int,
    team: int
) -> None:
    """columns and sums : (team, plan.room)."""
    first, last = share(planes, thread, team)
    windows = plan.tall * plan.wide
    set_all(columns[thread], 0)
    for plane in range(first, last, plan.together):
        some = min(plan.together, last - plane)
        sum_windows(x, plan, plane, some, columns[thread], sums[thread])
        for w in range(some * windows):
            y[plane * windows + w] = shares[w] * sums[thread, plan.places[w]]


def _strided_average_backward(
    dy: Floats, plan: Strided, shares: Floats, planes: int, parts: Floats, rows: Floats, dx: Floats, thread: int,
    team: int
) -> None:
    """rows : (team, plan.room)."""
    first, last = share(planes, thread, team)
    for plane in range(first, last, plan.together):
        some, windows = min(plan.together, last - plane), plan.tall * plan.wide
        multiply(dy[plane * windows : (plane + some) * windows], shares, parts[thread])
        spread_windows(parts[thread], plan, plane, some, rows[thread], dx, last * plan.height * plan.width)


def _average_maps(x: Floats, share_of_one: Any, pixels: int, y: Floats, thread: int, team: int) -> None:
    """Of maps that are one window each."""
    first, last = share(y.size, thread, team)
    for plane in range(first, last):
        y[plane] = share_of_one * total(x[plane * pixels : (plane + 1) * pixels])


def _average_maps_back(dy: Floats, share_of_one: Any, pixels: int, dx: Floats, thread: int, team: int) -> None:
    first, last = share(dy.size, thread, team)
    for plane in range(first, last):
        set_all(dx[plane * pixels : (plane + 1) * pixels], share_of_one * dy[plane])


name_none = serial(_name_none)
_max_two_forward, _max_two_backward = parallel(_max_pool_by_two), parallel(_max_pool_by_two_back)
_average_two_forward, _average_two_backward = parallel(_average_by_two), parallel(_average_by_two_back)
_max_forward, _max_backward = parallel(_max_pool_forward), parallel(_max_pool_backward)
_average_forward, _average_backward = parallel(_average_pool_forward), parallel(_average_pool_backward)
_strided_forward, _strided_backward = parallel(_strided_average_forward), parallel(_strided_average_backward)
_whole_forward, _whole_backward = parallel(_average_maps), parallel(_average_maps_back)


@planning
def _shares_of_windows(
    fine: Any, coarse: Any, size: int, stride: int, pad: int, count_pad: bool, dtype: Any, maps: int
) -> Floats:
    """One over the pixels that each window counts, for so many maps."""
    return np.tile(np.asarray(1 / pixels_counted(fine, size, stride, pad, count_pad, coarse), dtype).ravel(), maps)


@cache
def _nowhere(rectified: bool, dtype: np.dtype[Any]) -> Any:
    """What names no pixel in an argmax of that type, if windows may name none; else 0."""
    return dtype.type(np.iinfo(dtype).max if rectified else 0)


@prepared
def max_pool_forward(
    x: Floats, size: int, stride: int, pad: int, rectified: bool, argmax: Places | None, y: Floats
) -> Loops:
    none = _nowhere(rectified, np.dtype(np.uint8) if argmax is None else argmax.dtype)
    if stride == 2:
        half = halving(x.shape[2:], y.shape[2:], size, pad, x.itemsize)
        places = None if argmax is None else flat(argmax)
        return [loop(_max_two_forward, flat(x), half, x.shape[0] * x.shape[1], none, places, flat(y))]
    plan = planned(x.shape[2:], y.shape[2:], size, stride, pad, x.itemsize)
    room = (threads() * sweep_room(plan, x.itemsize),)
    [best] = scratch(x.dtype, room)
    which, out = (None, None) if argmax is None else (scratch(np.dtype(np.int32), room)[0], flat(argmax))
    return [loop(_max_forward, flat(x), plan, x.shape[0] * x.shape[1], best, which, none, out, flat(y))]


@prepared
def max_pool_backward(dy: Floats, argmax: Places, size: int, stride: int, pad: int, dx: Floats) -> Loops:
    if dy.size < lanes_of(dy.itemsize):  # whole vectors of argmax are read
        return [loop(max_pool_backward_of_few, dy, argmax, size, stride, pad, dx)]
    if stride == 2:
        half = halving(dx.shape[2:], dy.shape[2:], size, pad, dx.itemsize)
        return [loop(_max_two_backward, flat(dy), flat(argmax), half, dx.shape[0] * dx.shape[1], flat(dx))]
    plan = planned(dx.shape[2:], dy.shape[2:], size, stride, pad, dx.itemsize)
    return [loop(_max_backward, flat(dy), flat(argmax), plan, dx.shape[0] * dx.shape[1], flat(dx))]


@planning
def _share_of_pixels(
    fine: Any, coarse: Any, size: int, stride: int, pad: int, count_pad: bool, dtype: Any
) -> Any:
    """One over the pixels that count, if one window sees all of a map; else None."""
    if coarse != (1, 1) or max(fine) > size - pad:
        return None
    return dtype.type(1 / pixels_counted(fine, size, stride, pad, count_pad, coarse)[0, 0])


@prepared
def average_pool_forward(x: Floats, size: int, stride: int, pad: int, count_pad: bool, y: Floats) -> Loops:
    fine, coarse = x.shape[2:], y.shape[2:]
    planes, team = x.shape[0] * x.shape[1], threads()
    one = _share_of_pixels(fine, coarse, size, stride, pad, count_pad, x.dtype)
    if one is not None:
        return [loop(_whole_forward, flat(x), one, fine[0] * fine[1], flat(y))]
    if stride == 2:
        half = halving(fine, coarse, size, pad, x.itemsize)
        shares = _shares_of_windows(fine, coarse, size, stride, pad, count_pad, x.dtype, half.together)
        return [loop(_average_two_forward, flat(x), half, shares, planes, flat(y))]
    if stride == 1:
        sweeps = planned(fine, coarse, size, stride, pad, x.itemsize)
        shares = _shares_of_windows(fine, coarse, size, stride, pad, count_pad, x.dtype, sweeps.together)
        [sums] = scratch(x.dtype, (team * sweep_room(sweeps, x.itemsize),))
        return [loop(_average_forward, flat(x), sweeps, shares, planes, sums, flat(y))]
    plan = strided(fine, coarse, size, stride, pad, x.itemsize)
    shares = _shares_of_windows(fine, coarse, size, stride, pad, count_pad, x.dtype, plan.together)
    columns, sums = scratch(x.dtype, (team, plan.room), (team, plan.room))
    return [loop(_strided_forward, flat(x), plan, shares, planes, columns, sums, flat(y))]


@prepared
def average_pool_backward(dy: Floats, size: int, stride: int, pad: int, count_pad: bool, dx: Floats) -> Loops:
    fine, coarse = dx.shape[2:], dy.shape[2:]
    planes, team = dx.shape[0] * dx.shape[1], threads()
    one = _share_of_pixels(fine, coarse, size, stride, pad, count_pad, dx.dtype)
    if one is not None:
        return [loop(_whole_backward, flat(dy), one, fine[0] * fine[1], flat(dx))]
    if stride == 2:
        half = halving(fine, coarse, size, pad, dx.itemsize)
        shares = _shares_of_windows(fine, coarse, size, stride, pad, count_pad, dx.dtype, half.together)
        [parts] = scratch(dx.dtype, (team, shares.size))
        return [loop(_average_two_backward, flat(dy), half, shares, planes, parts, flat(dx))]
    if stride == 1:
        sweeps = planned(fine, coarse, size, stride, pad, dx.itemsize)
        shares = _shares_of_windows(fine, coarse, size, stride, pad, count_pad, dx.dtype, sweeps.together)
        [parts] = scratch(dx.dtype, (team, shares.size))
        return [loop(_average_backward, flat(dy), sweeps, shares, planes, parts, flat(dx))]
    plan = strided(fine, coarse, size, stride, pad, dx.itemsize)
    shares = _shares_of_windows(fine, coarse, size, stride, pad, count_pad, dx.dtype, plan.together)
    parts, rows = scratch(dx.dtype, (team, shares.size), (team, plan.room))
    return [loop(_strided_backward, flat(dy), plan, shares, planes, parts, rows, flat(dx))]
