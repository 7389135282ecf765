"""The fully connected layer."""
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activation import relu_forward

Floats = NDArray[Any]


def dense_forward(x: Floats, w: Floats, b: Floats, rectify: bool, y: Floats) -> None:
    np.matmul(x, w.T, out=y)
    y += b
    if rectify:
        relu_forward(y, y)


def dense_backward_weight(dy: Floats, x: Floats, dw: Floats, db: Floats) -> None:
    np.matmul(dy.T, x, out=dw)
    np.sum(dy, axis=0, out=db)


def dense_backward_data(dy: Floats, w: Floats, dx: Floats) -> None:
    np.matmul(dy, w, out=dx)
