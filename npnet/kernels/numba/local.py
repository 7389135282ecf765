"""Unshared convolution: at each output position, one product of the batch's patches with that position's weights."""
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compile import compiled, inlined, reshaped, scratch, single_threaded_blas, threads

Floats = NDArray[Any]


def _gather(x: Floats, kernel: Any, top: int, left: int, patches: Floats) -> None:
    """patches[n, (c, k, l)] = x[n, c, top + k, left + l]; zero outside the image."""
    for n in range(x.shape[0]):
        tap = 0
        for c in range(x.shape[1]):
            for i in range(top, top + kernel[0]):
                for j in range(left, left + kernel[1]):
                    inside = 0 <= i < x.shape[2] and 0 <= j < x.shape[3]
                    patches[n, tap] = x[n, c, i, j] if inside else 0
                    tap += 1


def _add_back(patches: Floats, kernel: Any, top: int, left: int, x: Floats) -> None:
    """The transpose of `_gather`: each pixel of `x` is added to."""
    for n in range(x.shape[0]):
        tap = 0
        for c in range(x.shape[1]):
            for i in range(top, top + kernel[0]):
                for j in range(left, left + kernel[1]):
                    if 0 <= i < x.shape[2] and 0 <= j < x.shape[3]:
                        x[n, c, i, j] += patches[n, tap]
                    tap += 1


def _local2d_forward(
    x: Floats, w: Floats, b: Floats, kernel: Any, stride: int, pad: int, patches: Floats, products: Floats, y: Floats
) -> None:
    """w (OH, OW, O, taps), b (O, OH, OW), y (N, O, OH, OW); patches and products are scratch, one for each thread."""
    team, positions = patches.shape[0], w.shape[0] * w.shape[1]
    for t in prange(team):
        for position in range(positions * t // team, positions * (t + 1) // team):
            i, j = position // w.shape[1], position % w.shape[1]
            gather(x, kernel, i * stride - pad, j * stride - pad, patches[t])
            np.dot(patches[t], w[i, j].T, products[t])
            for n in range(y.shape[0]):
                for o in range(y.shape[1]):
                    y[n, o, i, j] = products[t, n, o] + b[o, i, j]


def _local2d_backward_weight(
    dy: Floats, x: Floats, kernel: Any, stride: int, pad: int, patches: Floats, products: Floats, dw: Floats, db: Floats
) -> None:
    """dw (OH, OW, O, taps)."""
    team, positions = patches.shape[0], dw.shape[0] * dw.shape[1]
    for t in prange(team):
        for position in range(positions * t // team, positions * (t + 1) // team):
            i, j = position // dw.shape[1], position % dw.shape[1]
            gather(x, kernel, i * stride - pad, j * stride - pad, patches[t])
            for o in range(dy.shape[1]):
                db[o, i, j] = 0
                for n in range(dy.shape[0]):
                    products[t, n, o] = dy[n, o, i, j]
                    db[o, i, j] += dy[n, o, i, j]
            np.dot(products[t].T, patches[t], dw[i, j])


def _local2d_backward_data(
    dy: Floats, w: Floats, kernel: Any, stride: int, pad: int, patches: Floats, products: Floats, dx: Floats
) -> None:
    """Positions overlap in dx, so that each thread takes images, not positions."""
    team = patches.shape[0]
    for t in prange(team):
        first, last = dx.shape[0] * t // team, dx.shape[0] * (t + 1) // team
        dx[first:last] = 0
        product, patch = products[t, : last - first], patches[t, : last - first]
        for i in range(w.shape[0]):
            for j in range(w.shape[1]):
                for n in range(first, last):
                    for o in range(dy.shape[1]):
                        product[n - first, o] = dy[n, o, i, j]
                np.dot(product, w[i, j], patch)
                add_back(patch, kernel, i * stride - pad, j * stride - pad, dx[first:last])


gather, add_back = inlined(_gather), inlined(_add_back)
_forward = compiled(_local2d_forward)
_backward_weight = compiled(_local2d_backward_weight)
_backward_data = compiled(_local2d_backward_data)


def local2d_forward(x: Floats, w: Floats, b: Floats, stride: int, pad: int, y: Floats) -> None:
    single_threaded_blas()
    _forward(x, _rows(w), b, w.shape[4:], stride, pad, *_rooms(x, w), y)


def local2d_backward_weight(dy: Floats, x: Floats, stride: int, pad: int, dw: Floats, db: Floats) -> None:
    single_threaded_blas()
    _backward_weight(dy, x, dw.shape[4:], stride, pad, *_rooms(x, dw), _rows(dw), db)


def local2d_backward_data(dy: Floats, w: Floats, stride: int, pad: int, dx: Floats) -> None:
    single_threaded_blas()
    _backward_data(dy, _rows(w), w.shape[4:], stride, pad, *_rooms(dx, w), dx)


def _rows(w: Floats) -> Floats:
    """(OH, OW, O, C, KH, KW) as (OH, OW, O, taps)."""
    return reshaped(w, (*w.shape[:3], -1))


def _rooms(x: Floats, w: Floats) -> list[Floats]:
    """Patches (threads, N, taps) and products (threads, N, O)."""
    return scratch(x.dtype, (threads(), x.shape[0], w[0, 0, 0].size), (threads(), x.shape[0], w.shape[2]))
