"""Local response normalisation, across channels and within a map. AlexNet §3.3.

    b_i = a_i / d_i^β,    d_i = k + α Σ_j a_j²    over the window of i

    da_j = db_j / d_j^β − 2αβ a_j Σ_i db_i b_i / d_i    over the i in whose windows j is

With β = 3/4, both papers', all of it is vector instructions (`reductions`); a power is not, and is 12 times slower.
Windows across channels are sums of rows of pixels; within a map, `walks`.
"""
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import LINE, flat, planning, scratch, steps
from .compile import inlined, serial
from .prepared import Loops, loop, prepared
from .reductions import divide, normalise, share_out, sum_rows, sum_squares, take_shares
from .sweeps import Sum
from .team import parallel, share, threads
from .tile import in_line
from .vectors import before_line
from .walks import Plan, planned, sweep, sweep_room

Floats = NDArray[Any]
Numbers = NDArray[np.int64]


def _divide_by_power(a: Floats, alpha: Any, beta: Any, k: Any, d: Floats, b: Floats) -> None:
    """b = a / d^β, d = k + α d. β = 3/4 has vector instructions of its own (`reductions`): a power does not, and is 12
    times slower."""
    for p in range(a.size):
        value = k + alpha * d[p]
        d[p] = value
        b[p] = a[p] * value**-beta


def _pass_on(db: Floats, b: Floats, d: Floats, passed: Floats) -> None:
    for p in range(db.size):
        passed[p] = db[p] * b[p] / d[p]


def _combine(db: Floats, a: Floats, d: Floats, alpha: Any, beta: Any, rectified: bool, da: Floats) -> None:
    """da holds the sum of the shares before, the gradient afterwards."""
    factor, zero = db.dtype.type(2 * alpha * beta), db.dtype.type(0)
    for p in range(db.size):
        da[p] = db[p] * d[p] ** -beta - factor * a[p] * da[p] if a[p] > 0 or not rectified else zero


def _vectors(row: int, pixels: int, before: int, line: int, lanes: int) -> tuple[int, int]:
    """From which pixel of a row to which are whole vectors, the first of which begins a line of the cache?

    before : how many numbers of the array lie before its first line; −1: no vector is written as a line, so none.
    """
    head = min(pixels, (before - row) % line) if before >= 0 else pixels
    return head, head + (pixels - head) // lanes * lanes


def _lrn_image(
    a: Floats, first: int, last: int, size: int, alpha: Any, beta: Any, k: Any, rows: Numbers, before: int, lanes: int,
    d: Floats | None, b: Floats
) -> None:
    """Channels from one to another, counted through all images; all arrays of one dimension.  rows : where they begin.
    before : `before_line` of d and b; −1, if they do not begin it together."""
    for i in range(first, last):
        window = rows[max(first, i - size // 2) : min(last, i - size // 2 + size)]
        row, pixels = rows[i], rows[1]
        if beta == 0.75:
            head, whole = vectors(row, pixels, before, LINE // a.itemsize, lanes)
            for v in range(0, head, lanes):
                normalise(a, window, v, head - v, alpha, k, row, d, b, lanes)
            for v in range(head, whole, lanes):
                normalise(a, window, v, None, alpha, k, row, d, b, lanes)
            if whole < pixels:
                normalise(a, window, whole, pixels - whole, alpha, k, row, d, b, lanes)
        elif d is not None:
            sum_squares(a, window, d, row, pixels)
            here = slice(row, row + pixels)
            divide_by_power(a[here], alpha, beta, k, d[here], b[here])


def _lrn_image_back(
    db: Floats, a: Floats, b: Floats, d: Floats, first: int, last: int, size: int, alpha: Any, beta: Any, rows: Numbers,
    taps: Numbers, before: int, lanes: int, shares: Floats, rectified: bool, da: Floats
) -> None:
    """Every channel i passes a share on to those in its window, j: so j gets those of i from j − size + 1 + ⌊size/2⌋ to
    j + ⌊size/2⌋. The last `size` of them are kept, that of i in row i % size.

    taps : where the rows are, twice, so that those after the last are the first.
    """
    pixels, factor = rows[1], a.dtype.type(2 * alpha * beta)
    for i in range(first, last + size // 2):
        if i < last:
            row, place = rows[i], taps[i % size]
            if beta == 0.75:
                whole = pixels // lanes * lanes
                for v in range(0, whole, lanes):
                    share_out(db, b, d, row + v, None, shares, place + v, lanes)
                if whole < pixels:
                    share_out(db, b, d, row + whole, pixels - whole, shares, place + whole, lanes)
            else:
                here = slice(row, row + pixels)
                pass_on(db[here], b[here], d[here], shares[place : place + pixels])
        j = i - size // 2
        if first <= j:
            row, begin, end = rows[j], max(first, j - size + 1 + size // 2), min(last - 1, i)
            window = taps[begin % size : begin % size + end - begin + 1]
            if beta == 0.75:
                head, whole = vectors(row, pixels, before, LINE // a.itemsize, lanes)
                for v in range(0, head, lanes):
                    take_shares(db, a, d, row + v, head - v, shares, window, v, factor, rectified, da, lanes)
                for v in range(head, whole, lanes):
                    take_shares(db, a, d, row + v, None, shares, window, v, factor, rectified, da, lanes)
                if whole < pixels:
                    take_shares(db, a, d, row + whole, pixels - whole, shares, window, whole, factor, rectified, da,
                                lanes)
            else:
                here = slice(row, row + pixels)
                sum_rows(shares, window, da, row, pixels)
                combine(db[here], a[here], d[here], alpha, beta, rectified, da[here])


def _lrn_forward(
    a: Floats, channels: int, size: int, alpha: Any, beta: Any, k: Any, rows: Numbers, lanes: int, d: Floats | None,
    b: Floats, thread: int, team: int
) -> None:
    before = before_line(b)
    if d is not None and before_line(d) != before:
        before = -1
    first, last = share((rows.size - 1) // channels, thread, team)
    for n in range(first, last):
        lrn_image(a, n * channels, (n + 1) * channels, size, alpha, beta, k, rows, before, lanes, d, b)


def _lrn_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, channels: int, size: int, alpha: Any, beta: Any, rows: Numbers,
    taps: Numbers, lanes: int, shares: Floats, rectified: bool, da: Floats, thread: int, team: int
) -> None:
    before = before_line(da)
    first, last = share((rows.size - 1) // channels, thread, team)
    for n in range(first, last):
        lrn_image_back(db, a, b, d, n * channels, (n + 1) * channels, size, alpha, beta, rows, taps, before,
                       lanes, shares[thread], rectified, da)


def _lrn_within_forward(
    a: Floats, plan: Plan, alpha: Any, beta: Any, k: Any, planes: int, sums: Floats, d: Floats, b: Floats, thread: int,
    team: int
) -> None:
    """a, d and b of one dimension.  sums : scratch for the sweeps, of every thread a part."""
    pixels, lanes = plan.height * plan.width, in_line(a)
    start, stop = share(planes, thread, team)
    for plane in range(start, stop, plan.together):
        some = min(plan.together, stop - plane)
        sweep(a, plan, plane, some, sums, None, thread * (sums.size // team), None, d, stop * pixels,
              Sum(True))
        first, last = plane * pixels, (plane + some) * pixels
        if beta == 0.75:
            whole = first + (last - first) // lanes * lanes
            for place in range(first, whole, lanes):
                divide(a, d, place, None, alpha, k, b, lanes)
            if whole < last:
                divide(a, d, whole, last - whole, alpha, k, b, lanes)
        else:
            here = slice(first, last)
            divide_by_power(a[here], alpha, beta, k, d[here], b[here])


def _lrn_within_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, plan: Plan, alpha: Any, beta: Any, planes: int, itself: Numbers,
    sums: Floats, shares: Floats, rectified: bool, da: Floats, thread: int, team: int
) -> None:
    """itself : the one place (0) of each sum, for `da` holds them at first, complete."""
    pixels, lanes, factor = plan.height * plan.width, in_line(a), a.dtype.type(2 * alpha * beta)
    start, stop = share(planes, thread, team)
    for plane in range(start, stop, plan.together):
        some = min(plan.together, stop - plane)
        first, last = plane * pixels, (plane + some) * pixels
        here, passed, whole = slice(first, last), shares[thread], first + (last - first) // lanes * lanes
        if beta == 0.75:
            for place in range(first, whole, lanes):
                share_out(db, b, d, place, None, passed, place - first, lanes)
            if whole < last:
                share_out(db, b, d, whole, last - whole, passed, whole - first, lanes)
        else:
            pass_on(db[here], b[here], d[here], passed)
        zero = itself[0]  # for a number that it knows, numba would compile all sweeps once more
        sweep(passed, plan, zero, some, sums, None, thread * (sums.size // team), None, da[here], last - first,
              Sum(False))
        if beta == 0.75:
            for place in range(first, last, lanes):
                take_shares(db, a, d, place, last - place, da, itself, place, factor, rectified, da, lanes)
        else:
            combine(db[here], a[here], d[here], alpha, beta, rectified, da[here])


vectors = inlined(_vectors)
divide_by_power, pass_on, combine = serial(_divide_by_power), serial(_pass_on), serial(_combine)
lrn_image, lrn_image_back = serial(_lrn_image), serial(_lrn_image_back)
_forward, _backward = parallel(_lrn_forward), parallel(_lrn_backward)
_within_forward, _within_backward = parallel(_lrn_within_forward), parallel(_lrn_within_backward)


@planning
def _twice(size: int, row: int) -> Numbers:
    return np.tile(steps(size, row), 2)


@prepared
def lrn_forward(a: Floats, size: int, alpha: float, beta: float, k: float, d: Floats | None, b: Floats) -> Loops:
    t, rows = a.dtype.type, steps(a.shape[0] * a.shape[1] + 1, a.shape[2] * a.shape[3])
    if d is None and beta != 0.75:
        [d] = scratch(a.dtype, a.shape)
    return [loop(
        _forward, flat(a), a.shape[1], size, t(alpha), t(beta), t(k), rows, LINE // a.itemsize,
        None if d is None else flat(d), flat(b))]


@prepared
def lrn_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: float, beta: float, rectified: bool, da: Floats
) -> Loops:
    t, pixels = a.dtype.type, a.shape[2] * a.shape[3]
    rows = steps(a.shape[0] * a.shape[1] + 1, pixels)
    [shares] = scratch(a.dtype, (threads(), size * pixels))
    return [loop(
        _backward, flat(db), flat(a), flat(b), flat(d), a.shape[1], size, t(alpha), t(beta), rows,
        _twice(size, pixels), LINE // a.itemsize, shares, rectified, flat(da))]


@prepared
def lrn_within_forward(a: Floats, size: int, alpha: float, beta: float, k: float, d: Floats, b: Floats) -> Loops:
    t, maps = a.dtype.type, a.shape[2:]
    plan = planned(maps, maps, size, 1, size // 2, a.itemsize)
    [sums] = scratch(a.dtype, (threads() * sweep_room(plan, a.itemsize),))
    planes = a.shape[0] * a.shape[1]
    return [loop(_within_forward, flat(a), plan, t(alpha), t(beta), t(k), planes, sums, flat(d), flat(b))]


@prepared
def lrn_within_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: float, beta: float, rectified: bool, da: Floats
) -> Loops:
    t, maps = a.dtype.type, a.shape[2:]
    plan = planned(maps, maps, size, 1, size - 1 - size // 2, a.itemsize)
    sums, shares = scratch(
        a.dtype, (threads() * sweep_room(plan, a.itemsize),), (threads(), plan.together * maps[0] * maps[1]))
    return [loop(
        _within_backward, flat(db), flat(a), flat(b), flat(d), plan, t(alpha), t(beta), a.shape[0] * a.shape[1],
        steps(1, 0), sums, shares, rectified, flat(da))]
