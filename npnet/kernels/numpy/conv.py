"""Convolution as a matrix product: im2col lays every patch out as a column, col2im adds columns into an image."""
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activation import relu_backward, relu_forward

Floats = NDArray[Any]


def conv2d_forward(
    x: Floats, w: Floats, b: Floats, stride: int, pad: int, groups: int, rectify: bool, y: Floats
) -> None:
    n, o, oh, ow = y.shape
    taps = w[0].size
    columns = im2col(x, w.shape[2:], stride, pad, (oh, ow)).reshape(n, groups, taps, oh * ow)
    rows = w.reshape(groups, o // groups, taps)
    y[...] = np.matmul(rows, columns).reshape(y.shape)  # (g, O/g, taps) × (n, g, taps, pixels)
    y += b[:, None, None]
    if rectify:
        relu_forward(y, y)


def conv2d_backward_weight(
    dy: Floats, x: Floats, stride: int, pad: int, groups: int, dw: Floats, db: Floats
) -> None:
    n, o, oh, ow = dy.shape
    taps = dw[0].size
    columns = im2col(x, dw.shape[2:], stride, pad, (oh, ow)).reshape(n, groups, taps, oh * ow)
    rows = dy.reshape(n, groups, o // groups, oh * ow)
    dw[...] = np.matmul(rows, columns.swapaxes(2, 3)).sum(axis=0).reshape(dw.shape)
    db[...] = rows.reshape(n, o, -1).sum(axis=(0, 2))


def conv2d_backward_data(dy: Floats, w: Floats, stride: int, pad: int, groups: int, dx: Floats) -> None:
    n, o, oh, ow = dy.shape
    rows = w.reshape(groups, o // groups, -1)
    columns = np.matmul(rows.swapaxes(1, 2), dy.reshape(n, groups, o // groups, oh * ow))
    col2im(columns.reshape(n, dx.shape[1], *w.shape[2:], oh, ow), stride, pad, dx)


def conv1x1_forward(x: Floats, ws: Sequence[Floats], bs: Sequence[Floats], rectify: bool, ys: Sequence[Floats]) -> None:
    for w, b, y in zip(ws, bs, ys, strict=True):
        conv2d_forward(x, w, b, 1, 0, 1, rectify, y)


def conv1x1_backward_weight(dys: Sequence[Floats], x: Floats, dws: Sequence[Floats], dbs: Sequence[Floats]) -> None:
    for dy, dw, db in zip(dys, dws, dbs, strict=True):
        conv2d_backward_weight(dy, x, 1, 0, 1, dw, db)


def conv1x1_backward_data(
    dys: Sequence[Floats], ws: Sequence[Floats], add: bool, rectified: Floats | None, dx: Floats
) -> None:
    part = np.empty_like(dx)
    if not add:
        dx[...] = 0
    for dy, w in zip(dys, ws, strict=True):
        conv2d_backward_data(dy, w, 1, 0, 1, part)
        dx += part
    if rectified is not None:
        relu_backward(dx, rectified, dx)


def im2col(x: Floats, kernel: tuple[int, ...], stride: int, pad: int, out: tuple[int, int]) -> Floats:
    """(N, C, H, W) → (N, C, KH, KW, OH, OW): pixel (k, l) of every patch. Outside the image it is 0."""
    n, c, h, w = x.shape
    padded = np.zeros((n, c, *padded_size(h, w, kernel, stride, pad, out)), x.dtype)
    padded[:, :, pad : pad + h, pad : pad + w] = x
    columns = np.empty((n, c, *kernel, *out), x.dtype)
    for k in range(kernel[0]):
        for m in range(kernel[1]):
            columns[:, :, k, m] = padded[:, :, k:, m:][:, :, : stride * out[0] : stride, : stride * out[1] : stride]
    return columns


def col2im(columns: Floats, stride: int, pad: int, x: Floats) -> None:
    """im2col's transpose: every pixel of `x` (written) is the sum of the patch pixels that were read from it."""
    n, c, h, w = x.shape
    kernel, out = columns.shape[2:4], columns.shape[4:]
    padded = np.zeros((n, c, *padded_size(h, w, kernel, stride, pad, (out[0], out[1]))), x.dtype)
    for k in range(kernel[0]):
        for m in range(kernel[1]):
            padded[:, :, k:, m:][:, :, : stride * out[0] : stride, : stride * out[1] : stride] += columns[:, :, k, m]
    x[...] = padded[:, :, pad : pad + h, pad : pad + w]


def padded_size(
    h: int, w: int, kernel: tuple[int, ...], stride: int, pad: int, out: tuple[int, int]
) -> tuple[int, int]:
    """Height and width with `pad` on each side, and more at the bottom and right where the last window needs it."""
    return (
        max(h + 2 * pad, (out[0] - 1) * stride + kernel[0]),
        max(w + 2 * pad, (out[1] - 1) * stride + kernel[1]),
    )
