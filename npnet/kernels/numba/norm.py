"""Local response normalisation, across channels and within a map. AlexNet §3.3.

Innermost loops walk along pixels, which are neighbours in memory, so that they become vector instructions.
"""
import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compile import LINE, flat, inlined, maps, parallel, scratch, serial, share, steps, threads
from .reductions import normalise, sum_rows, sum_squares
from .tile import lanes as lanes_of
from .windows import Windows, portion, release, see, set_all, sum_windows, windows

Floats = NDArray[Any]
Numbers = NDArray[np.int64]


def _inverse_power(d: Any, beta: Any) -> Any:
    """d^−β. β = 3/4 as ⁴√d / d, which becomes vector instructions: a power does not, and is 12 times slower."""
    if beta == 0.75:
        return math.sqrt(math.sqrt(d)) / d
    return d**-beta


def _divide(a: Floats, alpha: Any, beta: Any, k: Any, d: Floats, b: Floats) -> None:
    """b = a / d^β, d = k + α d. Had `d` a second name in this loop, it could not become vector instructions."""
    for p in range(a.size):
        value = k + alpha * d[p]
        d[p] = value
        b[p] = a[p] * inverse_power(value, beta)


def _pass_on(db: Floats, b: Floats, d: Floats, passed: Floats) -> None:
    for p in range(db.size):
        passed[p] = db[p] * b[p] / d[p]


def _combine(db: Floats, a: Floats, d: Floats, alpha: Any, beta: Any, da: Floats) -> None:
    """da holds the sum of the shares before, the gradient afterwards."""
    factor = db.dtype.type(2 * alpha * beta)
    for p in range(db.size):
        da[p] = db[p] * inverse_power(d[p], beta) - factor * a[p] * da[p]


def _lrn_image(
    a: Floats, size: int, alpha: Any, beta: Any, k: Any, rows: Numbers, lanes: int, d: Floats, b: Floats
) -> None:
    """All (C, pixels).  rows : where the channels begin."""
    channels, pixels = a.shape
    flat_a, flat_d, flat_b = a.reshape(-1), d.reshape(-1), b.reshape(-1)
    before = -d.ctypes.data % LINE // a.itemsize  # numbers, to where a line of the cache begins
    together = (d.ctypes.data - b.ctypes.data) % LINE == 0
    for i in range(channels):
        window = rows[max(0, i - size // 2) : min(channels, i - size // 2 + size)]
        if beta == 0.75:
            head = min(pixels, (before - rows[i]) % (LINE // a.itemsize)) if together else pixels
            whole = head + (pixels - head) // lanes * lanes
            for v in range(0, head, lanes):
                normalise(flat_a, window, v, head - v, alpha, k, rows[i], flat_d, flat_b, lanes)
            for v in range(head, whole, lanes):
                normalise(flat_a, window, v, None, alpha, k, rows[i], flat_d, flat_b, lanes)
            if whole < pixels:
                normalise(flat_a, window, whole, pixels - whole, alpha, k, rows[i], flat_d, flat_b, lanes)
        else:
            sum_squares(flat_a, window, flat_d, rows[i], pixels)
            divide(a[i], alpha, beta, k, d[i], b[i])


def _lrn_image_back(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: Any, beta: Any, taps: Numbers, shares: Floats,
    da: Floats
) -> None:
    """Every channel i passes a share on to those in its window, j: so j gets those of i from j − size + 1 + ⌊size/2⌋ to
    j + ⌊size/2⌋. The last `size` of them are kept, that of i in row i % size.

    taps : where the rows are, twice, so that those after the last are the first.
    """
    channels, row = a.shape
    for i in range(channels + size // 2):
        if i < channels:
            pass_on(db[i], b[i], d[i], shares[i % size])
        j = i - size // 2
        if 0 <= j < channels:
            first, last = max(0, j - size + 1 + size // 2), min(channels - 1, i)
            window = taps[first % size : first % size + last - first + 1]
            sum_rows(shares.reshape(-1), window, da.reshape(-1), j * row, row)
            combine(db[j], a[j], d[j], alpha, beta, da[j])


def _lrn_forward(
    a: Floats, size: int, alpha: Any, beta: Any, k: Any, rows: Numbers, lanes: int, d: Floats, b: Floats, thread: int,
    team: int
) -> None:
    """All (N, C, pixels)."""
    first, last = share(a.shape[0], thread, team)
    for n in range(first, last):
        lrn_image(a[n], size, alpha, beta, k, rows, lanes, d[n], b[n])


def _lrn_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: Any, beta: Any, taps: Numbers, shares: Floats,
    da: Floats, thread: int, team: int
) -> None:
    first, last = share(a.shape[0], thread, team)
    for n in range(first, last):
        lrn_image_back(db[n], a[n], b[n], d[n], size, alpha, beta, taps, shares[thread], da[n])


def _square(x: Floats) -> None:
    for p in range(x.size):
        x[p] *= x[p]


def _lrn_within_forward(
    a: Floats, windows: Windows, alpha: Any, beta: Any, k: Any, planes: int, room: Floats, across: Floats,
    total: Floats, d: Floats, b: Floats, thread: int, team: int
) -> None:
    """a, d and b of one dimension."""
    height, width, lanes = windows.height, windows.width, windows.lanes
    start, stop = portion(planes, lanes, thread, team)
    set_all(room[thread], 0)
    for plane in range(start, stop, lanes):
        some = min(lanes, stop - plane)
        for i in range(0, height, windows.band):
            rows = see(a, plane, some, windows, i, room[thread])
            square(room[thread])
            sum_windows(room[thread], windows, rows, across[thread], total[thread])
            release(total[thread], windows.out, 0, rows * width, lanes, d, plane, some, height * width, i * width)
        here = slice(plane * height * width, (plane + some) * height * width)
        divide(a[here], alpha, beta, k, d[here], b[here])


def _lrn_within_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, windows: Windows, alpha: Any, beta: Any, planes: int, room: Floats,
    across: Floats, total: Floats, shares: Floats, da: Floats, thread: int, team: int
) -> None:
    height, width, lanes = windows.height, windows.width, windows.lanes
    start, stop = portion(planes, lanes, thread, team)
    set_all(room[thread], 0)
    for plane in range(start, stop, lanes):
        some = min(lanes, stop - plane)
        here = slice(plane * height * width, (plane + some) * height * width)
        pass_on(db[here], b[here], d[here], shares[thread])
        for i in range(0, height, windows.band):
            rows = see(shares[thread], 0, some, windows, i, room[thread])
            sum_windows(room[thread], windows, rows, across[thread], total[thread])
            release(total[thread], windows.out, 0, rows * width, lanes, da, plane, some, height * width,
                    i * width)
        combine(db[here], a[here], d[here], alpha, beta, da[here])


inverse_power, square = inlined(_inverse_power), serial(_square)
divide, pass_on, combine = serial(_divide), serial(_pass_on), serial(_combine)
lrn_image, lrn_image_back = serial(_lrn_image), serial(_lrn_image_back)
_forward, _backward = parallel(_lrn_forward), parallel(_lrn_backward)
_within_forward, _within_backward = parallel(_lrn_within_forward), parallel(_lrn_within_backward)


@cache
def _twice(size: int, row: int) -> Numbers:
    return np.tile(steps(size, row), 2)


def lrn_forward(a: Floats, size: int, alpha: float, beta: float, k: float, d: Floats, b: Floats) -> None:
    t = a.dtype.type
    rows = steps(a.shape[1], a.shape[2] * a.shape[3])
    _forward(maps(a), size, t(alpha), t(beta), t(k), rows, lanes_of(a.itemsize), maps(d), maps(b))


def lrn_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: float, beta: float, da: Floats
) -> None:
    t = a.dtype.type
    row = a.shape[2] * a.shape[3]
    taps = _twice(size, row)
    [shares] = scratch(a.dtype, (threads(), size, row))
    _backward(maps(db), maps(a), maps(b), maps(d), size, t(alpha), t(beta), taps, shares, maps(da))


def lrn_within_forward(a: Floats, size: int, alpha: float, beta: float, k: float, d: Floats, b: Floats) -> None:
    t, maps = a.dtype.type, a.shape[2:]
    plan = windows(maps, maps, size, 1, size // 2, a.itemsize)
    planes = a.shape[0] * a.shape[1]
    team, grid = threads(), plan.grid
    rooms = scratch(a.dtype, (team, plan.room), (team, grid), (team, grid))
    _within_forward(flat(a), plan, t(alpha), t(beta), t(k), planes, *rooms, flat(d), flat(b))


def lrn_within_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: float, beta: float, da: Floats
) -> None:
    t, maps = a.dtype.type, a.shape[2:]
    plan = windows(maps, maps, size, 1, size - 1 - size // 2, a.itemsize)
    planes = a.shape[0] * a.shape[1]
    team, grid, maps_together = threads(), plan.grid, plan.lanes * plan.height * plan.width
    rooms = scratch(a.dtype, (team, plan.room), (team, grid), (team, grid), (team, maps_together))
    _within_backward(flat(db), flat(a), flat(b), flat(d), plan, t(alpha), t(beta), planes, *rooms, flat(da))
