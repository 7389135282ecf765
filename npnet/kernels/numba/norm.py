"""Local response normalisation, across channels and within a map. AlexNet §3.3.

Innermost loops walk along pixels, which are neighbours in memory, so that they become vector instructions.
"""
import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compile import compiled, inlined, maps, pick, planes, serial, threads
from .windows import PIXELS, add, sum_windows

Floats = NDArray[Any]


def _inverse_power(d: Any, beta: Any) -> Any:
    """d^−β. β = 3/4 by two square roots, which become vector instructions: a power does not, and is 12 times slower."""
    if beta == 0.75:
        root = math.sqrt(d)
        return 1 / (root * math.sqrt(root))
    return d**-beta


def _add_squares(x: Floats, total: Floats) -> None:
    for p in range(x.size):
        total[p] += x[p] * x[p]


def _squares(x: Floats, target: Floats) -> None:
    for p in range(x.size):
        target[p] = x[p] * x[p]


def _divide(a: Floats, alpha: Any, beta: Any, k: Any, d: Floats, b: Floats) -> None:
    """b = a / d^β, d = k + α d. Had `d` a second name in this loop, it could not become vector instructions."""
    for p in range(a.size):
        value = k + alpha * d[p]
        d[p] = value
        b[p] = a[p] * inverse_power(value, beta)


def _pass_on(db: Floats, b: Floats, d: Floats, share: Floats) -> None:
    for p in range(db.size):
        share[p] = db[p] * b[p] / d[p]


def _combine(db: Floats, a: Floats, d: Floats, alpha: Any, beta: Any, da: Floats) -> None:
    """da holds the sum of the shares before, the gradient afterwards."""
    for p in range(db.size):
        da[p] = db[p] * inverse_power(d[p], beta) - 2 * alpha * beta * a[p] * da[p]


def _lrn_image(a: Floats, size: int, alpha: Any, beta: Any, k: Any, d: Floats, b: Floats) -> None:
    """All (C, pixels)."""
    channels = a.shape[0]
    for i in range(channels):
        d[i] = 0
        for j in range(max(0, i - size // 2), min(channels, i - size // 2 + size)):
            add_squares(a[j], d[i])
        divide(a[i], alpha, beta, k, d[i], b[i])


def _lrn_image_back(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: Any, beta: Any, da: Floats
) -> None:
    channels = a.shape[0]
    share = np.empty(a.shape[1], a.dtype)
    da[:] = 0
    for i in range(channels):  # i passes its share on to every channel in its window
        pass_on(db[i], b[i], d[i], share)
        for j in range(max(0, i - size // 2), min(channels, i - size // 2 + size)):
            add(share, da[j])
    for j in range(channels):
        combine(db[j], a[j], d[j], alpha, beta, da[j])


def _lrn_forward(a: Floats, size: int, alpha: Any, beta: Any, k: Any, d: Floats, b: Floats) -> None:
    """All (N, C, pixels)."""
    for n in prange(a.shape[0]):
        lrn_image(a[n], size, alpha, beta, k, d[n], b[n])


def _lrn_backward(db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: Any, beta: Any, da: Floats) -> None:
    for n in prange(a.shape[0]):
        lrn_image_back(db[n], a[n], b[n], d[n], size, alpha, beta, da[n])


def _lrn_planes(a: Floats, size: int, alpha: Any, beta: Any, k: Any, d: Floats, b: Floats) -> None:
    """All (planes, H, W)."""
    _, height, width = a.shape
    rows, columns, before = height + size - 1, width + size - 1, size // 2
    room = np.zeros((max(1, PIXELS // (rows * columns)), rows, columns), a.dtype)
    pixels = room.reshape(-1)
    across, total = np.zeros_like(pixels), np.zeros_like(pixels)
    for first in range(0, a.shape[0], room.shape[0]):
        count = min(room.shape[0], a.shape[0] - first)
        n = count * rows * columns
        for plane in range(count):
            for y in range(height):
                squares(a[first + plane, y], room[plane, before + y, before : before + width])
        sum_windows(pixels[:n], size, columns, across[:n], total[:n])
        for plane in range(count):
            for y in range(height):
                start = (plane * rows + y) * columns
                pick(total[start : start + width], 1, d[first + plane, y])
        some = slice(first, first + count)
        divide(a[some].reshape(-1), alpha, beta, k, d[some].reshape(-1), b[some].reshape(-1))


def _lrn_planes_back(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: Any, beta: Any, da: Floats
) -> None:
    _, height, width = a.shape
    rows, columns, before = height + size - 1, width + size - 1, size - 1 - size // 2
    room = np.zeros((max(1, PIXELS // (rows * columns)), rows, columns), a.dtype)
    pixels = room.reshape(-1)
    across, total = np.zeros_like(pixels), np.zeros_like(pixels)
    for first in range(0, a.shape[0], room.shape[0]):
        count = min(room.shape[0], a.shape[0] - first)
        n = count * rows * columns
        for plane in range(count):
            for y in range(height):
                where = first + plane, y
                pass_on(db[where], b[where], d[where], room[plane, before + y, before : before + width])
        sum_windows(pixels[:n], size, columns, across[:n], total[:n])
        for plane in range(count):
            for y in range(height):
                start = (plane * rows + y) * columns
                pick(total[start : start + width], 1, da[first + plane, y])
        some = slice(first, first + count)
        combine(db[some].reshape(-1), a[some].reshape(-1), d[some].reshape(-1), alpha, beta, da[some].reshape(-1))


def _lrn_within_forward(
    a: Floats, size: int, alpha: Any, beta: Any, k: Any, team: int, d: Floats, b: Floats
) -> None:
    """All (N·C, H, W)."""
    for t in prange(team):
        first, last = a.shape[0] * t // team, a.shape[0] * (t + 1) // team
        lrn_planes(a[first:last], size, alpha, beta, k, d[first:last], b[first:last])


def _lrn_within_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: Any, beta: Any, team: int, da: Floats
) -> None:
    for t in prange(team):
        first, last = a.shape[0] * t // team, a.shape[0] * (t + 1) // team
        some = slice(first, last)
        lrn_planes_back(db[some], a[some], b[some], d[some], size, alpha, beta, da[some])


inverse_power, add_squares, squares = inlined(_inverse_power), inlined(_add_squares), inlined(_squares)
divide, pass_on, combine = serial(_divide), serial(_pass_on), serial(_combine)
lrn_image, lrn_image_back = serial(_lrn_image), serial(_lrn_image_back)
lrn_planes, lrn_planes_back = serial(_lrn_planes), serial(_lrn_planes_back)
_forward, _backward = compiled(_lrn_forward), compiled(_lrn_backward)
_within_forward, _within_backward = compiled(_lrn_within_forward), compiled(_lrn_within_backward)


def lrn_forward(a: Floats, size: int, alpha: float, beta: float, k: float, d: Floats, b: Floats) -> None:
    t = a.dtype.type
    _forward(maps(a), size, t(alpha), t(beta), t(k), maps(d), maps(b))


def lrn_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: float, beta: float, da: Floats
) -> None:
    t = a.dtype.type
    _backward(maps(db), maps(a), maps(b), maps(d), size, t(alpha), t(beta), maps(da))


def lrn_within_forward(a: Floats, size: int, alpha: float, beta: float, k: float, d: Floats, b: Floats) -> None:
    t = a.dtype.type
    _within_forward(planes(a), size, t(alpha), t(beta), t(k), threads(), planes(d), planes(b))


def lrn_within_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: float, beta: float, da: Floats
) -> None:
    t = a.dtype.type
    _within_backward(planes(db), planes(a), planes(b), planes(d), size, t(alpha), t(beta), threads(), planes(da))
