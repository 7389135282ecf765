"""Unshared convolution: im2col as for a convolution, then one small matrix product for each output position."""
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .conv import col2im, im2col

Floats = NDArray[Any]


def local2d_forward(x: Floats, w: Floats, b: Floats, stride: int, pad: int, y: Floats) -> None:
    columns = im2col(x, w.shape[4:], stride, pad, (w.shape[0], w.shape[1]))
    np.einsum("ijockl,ncklij->noij", w, columns, out=y, optimize=True)
    y += b


def local2d_backward_weight(dy: Floats, x: Floats, stride: int, pad: int, dw: Floats, db: Floats) -> None:
    columns = im2col(x, dw.shape[4:], stride, pad, (dw.shape[0], dw.shape[1]))
    np.einsum("noij,ncklij->ijockl", dy, columns, out=dw, optimize=True)
    db[...] = dy.sum(axis=0)


def local2d_backward_data(dy: Floats, w: Floats, stride: int, pad: int, dx: Floats) -> None:
    col2im(np.einsum("ijockl,noij->ncklij", w, dy, optimize=True), stride, pad, dx)
