"""Dropout's mask, a function of a key alone. AlexNet §4.2."""
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet import counter

Floats = NDArray[Any]


def dropout(x: Floats, p: float, scale: float, key: counter.Key, y: Floats) -> None:
    kept = counter.quarters(key.number, x.size).reshape(x.shape) >= p * 2.0**16
    y[...] = np.where(kept, x * x.dtype.type(scale), 0)  # not a product with the mask: ∞ · 0 would be NaN


def scale(x: Floats, factor: float, y: Floats) -> None:
    np.multiply(x, x.dtype.type(factor), out=y)
