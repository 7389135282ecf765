"""Unshared convolution: at each output position, one product of the batch's patches with that position's weights."""
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import reshaped, scratch
from .compile import inlined
from .prepared import Loops, loop, prepared
from .team import parallel, share, single_threaded_blas, threads

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
    x: Floats, w: Floats, b: Floats, kernel: Any, stride: int, pad: int, patches: Floats, products: Floats, y: Floats,
    thread: int, team: int
) -> None:
    """w (OH, OW, O, taps), b (O, OH, OW), y (N, O, OH, OW); patches and products are scratch, one for each thread."""
    first, last = share(w.shape[0] * w.shape[1], thread, team)
    for position in range(first, last):
        i, j = position // w.shape[1], position % w.shape[1]
        gather(x, kernel, i * stride - pad, j * stride - pad, patches[thread])
        np.dot(patches[thread], w[i, j].T, products[thread])
        for n in range(y.shape[0]):
            for o in range(y.shape[1]):
                y[n, o, i, j] = products[thread, n, o] + b[o, i, j]


def _local2d_backward_weight(
    dy: Floats, x: Floats, kernel: Any, stride: int, pad: int, patches: Floats, products: Floats, dw: Floats,
    db: Floats, thread: int, team: int
) -> None:
    """dw (OH, OW, O, taps)."""
    first, last = share(dw.shape[0] * dw.shape[1], thread, team)
    for position in range(first, last):
        i, j = position // dw.shape[1], position % dw.shape[1]
        gather(x, kernel, i * stride - pad, j * stride - pad, patches[thread])
        for o in range(dy.shape[1]):
            db[o, i, j] = 0
            for n in range(dy.shape[0]):
                products[thread, n, o] = dy[n, o, i, j]
                db[o, i, j] += dy[n, o, i, j]
        np.dot(products[thread].T, patches[thread], dw[i, j])


def _local2d_backward_data(
    dy: Floats, w: Floats, kernel: Any, stride: int, pad: int, patches: Floats, products: Floats, dx: Floats,
    thread: int, team: int
) -> None:
    """Positions overlap in dx, so that each thread takes images, not positions."""
    first, last = share(dx.shape[0], thread, team)
    dx[first:last] = 0
    product, patch = products[thread, : last - first], patches[thread, : last - first]
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            for n in range(first, last):
                for o in range(dy.shape[1]):
                    product[n - first, o] = dy[n, o, i, j]
            np.dot(product, w[i, j], patch)
            add_back(patch, kernel, i * stride - pad, j * stride - pad, dx[first:last])


gather, add_back = inlined(_gather), inlined(_add_back)
_forward, _backward_weight, _backward_data = (
    parallel(loop, makes_arrays=True)
    for loop in (_local2d_forward, _local2d_backward_weight, _local2d_backward_data))


@prepared
def local2d_forward(x: Floats, w: Floats, b: Floats, stride: int, pad: int, y: Floats) -> Loops:
    single_threaded_blas()
    return [loop(_forward, x, _rows(w), b, w.shape[4:], stride, pad, *_rooms(x, w), y)]


@prepared
def local2d_backward_weight(dy: Floats, x: Floats, stride: int, pad: int, dw: Floats, db: Floats) -> Loops:
    single_threaded_blas()
    return [loop(_backward_weight, dy, x, dw.shape[4:], stride, pad, *_rooms(x, dw), _rows(dw), db)]


@prepared
def local2d_backward_data(dy: Floats, w: Floats, stride: int, pad: int, dx: Floats) -> Loops:
    single_threaded_blas()
    return [loop(_backward_data, dy, _rows(w), w.shape[4:], stride, pad, *_rooms(dx, w), dx)]


def _rows(w: Floats) -> Floats:
    """(OH, OW, O, C, KH, KW) as (OH, OW, O, taps)."""
    return reshaped(w, (*w.shape[:3], -1))


def _rooms(x: Floats, w: Floats) -> list[Floats]:
    """Patches (threads, N, taps) and products (threads, N, O)."""
    return scratch(x.dtype, (threads(), x.shape[0], w[0, 0, 0].size), (threads(), x.shape[0], w.shape[2]))
