"""The fully connected layer: three products, each divided among the threads by the rows of what it writes."""
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compile import compiled, single_threaded_blas, threads

Floats = NDArray[Any]


def _dense_forward(x: Floats, w: Floats, b: Floats, team: int, y: Floats) -> None:
    for t in prange(team):
        first, last = x.shape[0] * t // team, x.shape[0] * (t + 1) // team
        np.dot(x[first:last], w.T, y[first:last])
        for n in range(first, last):
            for o in range(y.shape[1]):
                y[n, o] += b[o]


def _dense_backward_weight(dy: Floats, x: Floats, team: int, dw: Floats, db: Floats) -> None:
    for t in prange(team):
        first, last = dy.shape[1] * t // team, dy.shape[1] * (t + 1) // team
        turned = np.empty((last - first, dy.shape[0]), dy.dtype)
        for o in range(first, last):
            db[o] = 0
            for n in range(dy.shape[0]):
                turned[o - first, n] = dy[n, o]
                db[o] += dy[n, o]
        np.dot(turned, x, dw[first:last])


def _dense_backward_data(dy: Floats, w: Floats, team: int, dx: Floats) -> None:
    for t in prange(team):
        first, last = dy.shape[0] * t // team, dy.shape[0] * (t + 1) // team
        np.dot(dy[first:last], w, dx[first:last])


_forward = compiled(_dense_forward)
_backward_weight = compiled(_dense_backward_weight)
_backward_data = compiled(_dense_backward_data)


def dense_forward(x: Floats, w: Floats, b: Floats, y: Floats) -> None:
    single_threaded_blas()
    _forward(x, w, b, threads(), y)


def dense_backward_weight(dy: Floats, x: Floats, dw: Floats, db: Floats) -> None:
    single_threaded_blas()
    _backward_weight(dy, x, threads(), dw, db)


def dense_backward_data(dy: Floats, w: Floats, dx: Floats) -> None:
    single_threaded_blas()
    _backward_data(dy, w, threads(), dx)
