"""Local response normalisation, across channels and within a map. AlexNet §3.3.

A thread for each pixel, which walks through the channels: neighbouring threads read neighbouring pixels, and what a
window shares with the one before is still in the cache. Sums are made anew for each window: what is added and taken off
again would leave its rounding, and ∞ would leave NaN.
"""
from typing import Any

from numba import cuda

from .launch import compiled, each, inlined, place, scalar, split

Device = Any


def lrn_forward(a: Device, size: int, alpha: float, beta: float, k: float, d: Device | None, b: Device) -> None:
    constants = scalar(a, alpha), scalar(a, beta), scalar(a, k)
    if d is None:
        each(_across_alone, a.size // a.shape[1], _maps(a), size, *constants, _maps(b))
    else:
        each(_across, a.size // a.shape[1], _maps(a), size, *constants, _maps(d), _maps(b))


def lrn_backward(
    db: Device, a: Device, b: Device, d: Device, size: int, alpha: float, beta: float, rectified: bool, da: Device
) -> None:
    each(_across_back, a.size // a.shape[1], _maps(db), _maps(a), _maps(b), _maps(d), size, scalar(a, beta),
         scalar(a, 2 * alpha * beta), rectified, _maps(da))


def lrn_within_forward(a: Device, size: int, alpha: float, beta: float, k: float, d: Device, b: Device) -> None:
    each(_within, a.size, a, size, scalar(a, alpha), scalar(a, beta), scalar(a, k), d, b)


def lrn_within_backward(
    db: Device, a: Device, b: Device, d: Device, size: int, alpha: float, beta: float, rectified: bool, da: Device
) -> None:
    each(_within_back, a.size, db, a, b, d, size, scalar(a, beta), scalar(a, 2 * alpha * beta), rectified, da)


def _maps(x: Device) -> Device:
    """(N, C, H·W)."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h * w)


@inlined
def _denominator(a: Any, n: int, i: int, p: int, size: int, alpha: Any, k: Any) -> Any:
    total = a.dtype.type(0)
    for j in range(max(i - size // 2, 0), min(i - size // 2 + size, a.shape[1])):
        total += a[n, j, p] * a[n, j, p]
    return k + alpha * total


def _across_loop(a: Any, size: int, alpha: Any, beta: Any, k: Any, d: Any, b: Any) -> None:
    pixels = a.shape[2]
    for e in range(cuda.grid(1), a.shape[0] * pixels, cuda.gridsize(1)):
        n, p = split(e, pixels)
        for i in range(a.shape[1]):
            below = _denominator(a, n, i, p, size, alpha, k)
            d[n, i, p] = below
            b[n, i, p] = a[n, i, p] * below ** -beta


def _across_alone_loop(a: Any, size: int, alpha: Any, beta: Any, k: Any, b: Any) -> None:
    pixels = a.shape[2]
    for e in range(cuda.grid(1), a.shape[0] * pixels, cuda.gridsize(1)):
        n, p = split(e, pixels)
        for i in range(a.shape[1]):
            b[n, i, p] = a[n, i, p] * _denominator(a, n, i, p, size, alpha, k) ** -beta


def _across_back_loop(
    db: Any, a: Any, b: Any, d: Any, size: int, beta: Any, twice: Any, rectified: Any, da: Any
) -> None:
    """twice : 2αβ. Channel j is in the windows of those i whose window holds it: the window turned around."""
    pixels = a.shape[2]
    for e in range(cuda.grid(1), a.shape[0] * pixels, cuda.gridsize(1)):
        n, p = split(e, pixels)
        for j in range(a.shape[1]):
            shared = a.dtype.type(0)
            for i in range(max(j + size // 2 - size + 1, 0), min(j + size // 2 + 1, a.shape[1])):
                shared += db[n, i, p] * b[n, i, p] / d[n, i, p]
            gradient = db[n, j, p] * d[n, j, p] ** -beta - twice * a[n, j, p] * shared
            da[n, j, p] = gradient if a[n, j, p] > 0 or not rectified else a.dtype.type(0)


def _within_loop(a: Any, size: int, alpha: Any, beta: Any, k: Any, d: Any, b: Any) -> None:
    height, width = a.shape[2], a.shape[3]
    for e in range(cuda.grid(1), a.size, cuda.gridsize(1)):
        n, c, y, z = place(e, a.shape)
        total = a.dtype.type(0)
        for i in range(max(y - size // 2, 0), min(y - size // 2 + size, height)):
            for j in range(max(z - size // 2, 0), min(z - size // 2 + size, width)):
                total += a[n, c, i, j] * a[n, c, i, j]
        d[n, c, y, z] = k + alpha * total
        b[n, c, y, z] = a[n, c, y, z] * d[n, c, y, z] ** -beta


def _within_back_loop(
    db: Any, a: Any, b: Any, d: Any, size: int, beta: Any, twice: Any, rectified: Any, da: Any
) -> None:
    height, width = a.shape[2], a.shape[3]
    for e in range(cuda.grid(1), a.size, cuda.gridsize(1)):
        n, c, y, z = place(e, a.shape)
        shared = a.dtype.type(0)
        for i in range(max(y + size // 2 - size + 1, 0), min(y + size // 2 + 1, height)):
            for j in range(max(z + size // 2 - size + 1, 0), min(z + size // 2 + 1, width)):
                shared += db[n, c, i, j] * b[n, c, i, j] / d[n, c, i, j]
        gradient = db[n, c, y, z] * d[n, c, y, z] ** -beta - twice * a[n, c, y, z] * shared
        da[n, c, y, z] = gradient if a[n, c, y, z] > 0 or not rectified else a.dtype.type(0)


_across, _across_alone, _across_back = compiled(_across_loop), compiled(_across_alone_loop), compiled(_across_back_loop)
_within, _within_back = compiled(_within_loop), compiled(_within_back_loop)
