"""Pooling: every window laid out side by side, then reduced. AlexNet §3.4."""
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .conv import col2im, padded_size

Floats = NDArray[Any]


def max_pool_forward(
    x: Floats, size: int, stride: int, pad: int, rectified: bool, argmax: NDArray[Any] | None, y: Floats
) -> None:
    windows = _windows(x, size, stride, pad, y.shape[2:], outside=-np.inf)
    place = windows.argmax(axis=-1)  # the first of equal ones; a NaN, if there is one
    y[...] = np.take_along_axis(windows, place[..., None], axis=-1)[..., 0]
    if argmax is None:
        return
    # where all is −∞ the first place may lie in the padding: the first in the image is meant
    row = np.maximum(place // size, pad - np.arange(y.shape[2])[:, None] * stride)
    argmax[...] = row * size + np.maximum(place % size, pad - np.arange(y.shape[3]) * stride)
    if rectified:
        argmax[~(y > 0)] = np.iinfo(argmax.dtype).max


def max_pool_backward(
    dy: Floats, argmax: NDArray[Any], size: int, stride: int, pad: int, dx: Floats
) -> None:
    n, c, h, w = dx.shape
    row, column = np.divmod(argmax.astype(np.int64), size)
    rows = np.arange(dy.shape[2])[:, None] * stride - pad + row
    columns = np.arange(dy.shape[3]) * stride - pad + column
    planes = np.arange(n * c).reshape(n, c, 1, 1) * (h * w)
    named = argmax < size**2
    dx[...] = 0
    np.add.at(dx.reshape(-1), (planes + rows * w + columns)[named], dy[named])


def average_pool_forward(x: Floats, size: int, stride: int, pad: int, count_pad: bool, y: Floats) -> None:
    windows = _windows(x, size, stride, pad, y.shape[2:], outside=0.0)
    y[...] = windows.sum(axis=-1) / pixels_counted(x.shape[2:], size, stride, pad, count_pad, y.shape[2:])


def average_pool_backward(dy: Floats, size: int, stride: int, pad: int, count_pad: bool, dx: Floats) -> None:
    share = (dy / pixels_counted(dx.shape[2:], size, stride, pad, count_pad, dy.shape[2:])).astype(dx.dtype, copy=False)
    n, c, oh, ow = dy.shape
    col2im(np.broadcast_to(share[:, :, None, None], (n, c, size, size, oh, ow)), stride, pad, dx)


def _windows(x: Floats, size: int, stride: int, pad: int, out: tuple[int, int], outside: float) -> Floats:
    """(N, C, OH, OW, size·size)."""
    n, c, h, w = x.shape
    padded = np.full((n, c, *padded_size(h, w, (size, size), stride, pad, out)), outside, x.dtype)
    padded[:, :, pad : pad + h, pad : pad + w] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride][:, :, : out[0], : out[1]]
    return windows.reshape(*windows.shape[:4], -1)


def pixels_counted(
    shape: tuple[int, ...], size: int, stride: int, pad: int, count_pad: bool, out: tuple[int, ...]
) -> NDArray[Any]:
    """(OH, OW): the pixels of each window that are counted."""
    def along(length: int, windows: int) -> NDArray[Any]:
        start = np.arange(windows) * stride - pad
        low, high = (-pad, length + pad) if count_pad else (0, length)
        return np.minimum(start + size, high) - np.maximum(start, low)

    return np.outer(along(shape[0], out[0]), along(shape[1], out[1]))
