"""Pooling: a thread for each window forward, for each pixel of the image back. AlexNet §3.4."""
from typing import Any

import numpy as np
from numba import cuda

from .launch import compiled, each, inlined, place, split

Device = Any


def max_pool_forward(
    x: Device, size: int, stride: int, pad: int, rectified: bool, argmax: Device | None, y: Device
) -> None:
    if argmax is None:
        each(_largest, y.size, x, size, stride, pad, y)
    else:
        none = np.iinfo(argmax.dtype).max
        each(_largest_and_place, y.size, x, size, stride, pad, rectified, argmax.dtype.type(none), argmax, y)


def max_pool_backward(dy: Device, argmax: Device, size: int, stride: int, pad: int, dx: Device) -> None:
    each(_largest_back, dx.size, dy, argmax, size, stride, pad, dx)


def average_pool_forward(x: Device, size: int, stride: int, pad: int, count_pad: bool, y: Device) -> None:
    each(_mean, y.size, x, size, stride, pad, pad if count_pad else 0, y)


def average_pool_backward(dy: Device, size: int, stride: int, pad: int, count_pad: bool, dx: Device) -> None:
    each(_mean_back, dx.size, dy, size, stride, pad, pad if count_pad else 0, dx)


@inlined
def _largest_of(x: Any, n: int, c: int, top: int, left: int, size: int) -> Any:
    """The largest pixel of a window that begins at (top, left), and which it is: row · size + column. Of equal ones in
    the image the first; NaN, if there is one."""
    _, _, height, width = x.shape
    first, last = max(top, 0), min(top + size, height)
    most, place = x[n, c, first, max(left, 0)], (first - top) * size + max(left, 0) - left
    for i in range(first, last):
        for j in range(max(left, 0), min(left + size, width)):
            value = x[n, c, i, j]
            if value > most or (value != value and most == most):
                most, place = value, (i - top) * size + j - left
    return most, place


def _largest_loop(x: Any, size: int, stride: int, pad: int, y: Any) -> None:
    for e in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        n, c, i, j = place(e, y.shape)
        y[n, c, i, j], _ = _largest_of(x, n, c, i * stride - pad, j * stride - pad, size)


def _largest_and_place_loop(
    x: Any, size: int, stride: int, pad: int, rectified: Any, none: Any, argmax: Any, y: Any
) -> None:
    for e in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        n, c, i, j = place(e, y.shape)
        y[n, c, i, j], largest = _largest_of(x, n, c, i * stride - pad, j * stride - pad, size)
        argmax[n, c, i, j] = largest if y[n, c, i, j] > 0 or not rectified else none


@inlined
def _windows_over(i: int, size: int, stride: int, pad: int, count: int) -> Any:
    """Which of `count` windows pixel i lies in: the first, and the first that begins behind it."""
    behind = i + pad
    first = 0 if behind < size else split(behind - size, stride)[0] + 1
    return first, min(split(behind, stride)[0] + 1, count)


def _largest_back_loop(dy: Any, argmax: Any, size: int, stride: int, pad: int, dx: Any) -> None:
    """A pixel asks the windows it lies in whether it was the largest: no two threads write the same number."""
    for e in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        n, c, y, z = place(e, dx.shape)
        top, bottom = _windows_over(y, size, stride, pad, dy.shape[2])
        left, right = _windows_over(z, size, stride, pad, dy.shape[3])
        total = dx.dtype.type(0)
        for i in range(top, bottom):
            for j in range(left, right):
                if argmax[n, c, i, j] == (y + pad - i * stride) * size + z + pad - j * stride:
                    total += dy[n, c, i, j]
        dx[n, c, y, z] = total


@inlined
def _counted(first: int, size: int, length: int, counted: int) -> int:
    """Pixels of a window along one side that are counted: those in the image, and `counted` on each side of it."""
    return min(first + size, length + counted) - max(first, -counted)


def _mean_loop(x: Any, size: int, stride: int, pad: int, counted: int, y: Any) -> None:
    height, width = x.shape[2], x.shape[3]
    for e in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        n, c, i, j = place(e, y.shape)
        top, left = i * stride - pad, j * stride - pad
        total = y.dtype.type(0)
        for k in range(max(top, 0), min(top + size, height)):
            for m in range(max(left, 0), min(left + size, width)):
                total += x[n, c, k, m]
        pixels = _counted(top, size, height, counted) * _counted(left, size, width, counted)
        y[n, c, i, j] = total / y.dtype.type(pixels)


def _mean_back_loop(dy: Any, size: int, stride: int, pad: int, counted: int, dx: Any) -> None:
    height, width = dx.shape[2], dx.shape[3]
    for e in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        n, c, y, z = place(e, dx.shape)
        top, bottom = _windows_over(y, size, stride, pad, dy.shape[2])
        left, right = _windows_over(z, size, stride, pad, dy.shape[3])
        total = dx.dtype.type(0)
        for i in range(top, bottom):
            down = _counted(i * stride - pad, size, height, counted)
            for j in range(left, right):
                across = _counted(j * stride - pad, size, width, counted)
                total += dy[n, c, i, j] / dx.dtype.type(down * across)
        dx[n, c, y, z] = total


_largest, _largest_and_place = compiled(_largest_loop), compiled(_largest_and_place_loop)
_largest_back, _mean, _mean_back = compiled(_largest_back_loop), compiled(_mean_loop), compiled(_mean_back_loop)
