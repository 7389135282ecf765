"""Unshared convolution: a thread for each number that is written."""
from typing import Any

from numba import cuda

from .launch import compiled, each, place, split

Device = Any


def local2d_forward(x: Device, w: Device, b: Device, stride: int, pad: int, y: Device) -> None:
    each(_forward, y.size, x, w, b, stride, pad, y)


def local2d_backward_weight(dy: Device, x: Device, stride: int, pad: int, dw: Device, db: Device) -> None:
    each(_weight, dw.size, dy, x, stride, pad, dw)
    each(_bias, db.size, dy, db)


def local2d_backward_data(dy: Device, w: Device, stride: int, pad: int, dx: Device) -> None:
    each(_data, dx.size, dy, w, stride, pad, dx)


def _forward_loop(x: Any, w: Any, b: Any, stride: int, pad: int, y: Any) -> None:
    channels, height, width = w.shape[3], w.shape[4], w.shape[5]
    for e in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        n, o, i, j = place(e, y.shape)
        top, left = i * stride - pad, j * stride - pad
        total = b[o, i, j]
        for c in range(channels):
            for k in range(max(-top, 0), min(height, x.shape[2] - top)):
                for m in range(max(-left, 0), min(width, x.shape[3] - left)):
                    total += w[i, j, o, c, k, m] * x[n, c, top + k, left + m]
        y[n, o, i, j] = total


def _weight_loop(dy: Any, x: Any, stride: int, pad: int, dw: Any) -> None:
    _, columns, outputs, channels, height, width = dw.shape
    for e in range(cuda.grid(1), dw.size, cuda.gridsize(1)):
        rest, m = split(e, width)
        rest, k = split(rest, height)
        rest, c = split(rest, channels)
        rest, o = split(rest, outputs)
        i, j = split(rest, columns)
        y, z = i * stride - pad + k, j * stride - pad + m
        total = dw.dtype.type(0)
        if 0 <= y < x.shape[2] and 0 <= z < x.shape[3]:
            for n in range(x.shape[0]):
                total += dy[n, o, i, j] * x[n, c, y, z]
        dw[i, j, o, c, k, m] = total


def _bias_loop(dy: Any, db: Any) -> None:
    _, rows, columns = db.shape
    for e in range(cuda.grid(1), db.size, cuda.gridsize(1)):
        rest, j = split(e, columns)
        o, i = split(rest, rows)
        total = db.dtype.type(0)
        for n in range(dy.shape[0]):
            total += dy[n, o, i, j]
        db[o, i, j] = total


def _data_loop(dy: Any, w: Any, stride: int, pad: int, dx: Any) -> None:
    """A pixel gathers from the outputs that read it."""
    _, outputs, rows, columns = dy.shape
    for e in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        n, c, y, z = place(e, dx.shape)
        total = dx.dtype.type(0)
        for k in range(w.shape[4]):
            i = (y + pad - k) // stride
            if (y + pad - k) % stride or not 0 <= i < rows:
                continue
            for m in range(w.shape[5]):
                j = (z + pad - m) // stride
                if (z + pad - m) % stride or not 0 <= j < columns:
                    continue
                for o in range(outputs):
                    total += w[i, j, o, c, k, m] * dy[n, o, i, j]
        dx[n, c, y, z] = total


_forward, _weight, _bias, _data = (compiled(f) for f in (_forward_loop, _weight_loop, _bias_loop, _data_loop))
