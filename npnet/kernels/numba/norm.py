"""Local response normalisation, across channels and within a map. AlexNet §3.3.

Innermost loops walk along pixels, which are neighbours in memory, so that they become vector instructions.
"""
import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compile import compiled, inlined, maps, planes

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


def _add(x: Floats, total: Floats) -> None:
    for p in range(x.size):
        total[p] += x[p]


def _lrn_forward(a: Floats, size: int, alpha: Any, beta: Any, k: Any, d: Floats, b: Floats) -> None:
    """All (N, C, pixels)."""
    images, channels, pixels = a.shape
    for n in prange(images):
        for i in range(channels):
            squares = d[n, i]
            squares[:] = 0
            for j in range(max(0, i - size // 2), min(channels, i - size // 2 + size)):
                add_squares(a[n, j], squares)
            for p in range(pixels):
                d[n, i, p] = k + alpha * squares[p]
                b[n, i, p] = a[n, i, p] * inverse_power(d[n, i, p], beta)


def _lrn_backward(db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: Any, beta: Any, da: Floats) -> None:
    images, channels, pixels = a.shape
    for n in prange(images):
        da[n] = 0
        share = np.empty(pixels, a.dtype)
        for i in range(channels):  # i passes its share on to every channel in its window
            for p in range(pixels):
                share[p] = db[n, i, p] * b[n, i, p] / d[n, i, p]
            for j in range(max(0, i - size // 2), min(channels, i - size // 2 + size)):
                add(share, da[n, j])
        for j in range(channels):
            for p in range(pixels):
                own = db[n, j, p] * inverse_power(d[n, j, p], beta)
                da[n, j, p] = own - 2 * alpha * beta * a[n, j, p] * da[n, j, p]


def _lrn_within_forward(a: Floats, size: int, alpha: Any, beta: Any, k: Any, d: Floats, b: Floats) -> None:
    """All (N·C, H, W)."""
    count, height, width = a.shape
    for plane in prange(count):
        for y in range(height):
            squares = d[plane, y]
            squares[:] = 0
            for i in range(max(0, y - size // 2), min(height, y - size // 2 + size)):
                for shift in range(-(size // 2), size - size // 2):
                    add_squares(a[plane, i, max(0, shift) : max(0, width + shift)], squares[max(0, -shift) :])
            for x in range(width):
                d[plane, y, x] = k + alpha * squares[x]
                b[plane, y, x] = a[plane, y, x] * inverse_power(d[plane, y, x], beta)


def _lrn_within_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: Any, beta: Any, da: Floats
) -> None:
    count, height, width = a.shape
    for plane in prange(count):
        da[plane] = 0
        share = np.empty(width, a.dtype)
        for y in range(height):
            for x in range(width):
                share[x] = db[plane, y, x] * b[plane, y, x] / d[plane, y, x]
            for i in range(max(0, y - size // 2), min(height, y - size // 2 + size)):
                for shift in range(-(size // 2), size - size // 2):
                    add(share[max(0, -shift) : max(0, width - shift)], da[plane, i, max(0, shift) :])
        for y in range(height):
            for x in range(width):
                own = db[plane, y, x] * inverse_power(d[plane, y, x], beta)
                da[plane, y, x] = own - 2 * alpha * beta * a[plane, y, x] * da[plane, y, x]


inverse_power, add_squares, add = inlined(_inverse_power), inlined(_add_squares), inlined(_add)
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
    _within_forward(planes(a), size, t(alpha), t(beta), t(k), planes(d), planes(b))


def lrn_within_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: float, beta: float, da: Floats
) -> None:
    t = a.dtype.type
    _within_backward(planes(db), planes(a), planes(b), planes(d), size, t(alpha), t(beta), planes(da))
