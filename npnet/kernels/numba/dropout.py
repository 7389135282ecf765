"""Dropout's mask, a function of a key alone: `npnet.counter.bits`, one element at a time. AlexNet §4.2."""
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from npnet.counter import GOLDEN, MIX_1, MIX_2
from npnet.kernels.numpy.dropout import scale

from .compile import compiled, flat

__all__ = ["dropout", "scale"]

Floats = NDArray[Any]
STEP, FIRST, SECOND = np.uint64(GOLDEN), np.uint64(MIX_1), np.uint64(MIX_2)


def _dropout(y: Floats, threshold: Any, scale: Any, key: Any) -> None:
    """In place: of a second array, the compiler must fear that it is the same one."""
    for e in prange(y.size):
        z = key + np.uint64(e) * STEP
        z = (z ^ (z >> np.uint64(30))) * FIRST
        z = (z ^ (z >> np.uint64(27))) * SECOND
        z = (z ^ (z >> np.uint64(31))) >> np.uint64(11)
        y[e] = y[e] * scale if z >= threshold else 0


_mask = compiled(_dropout)


def dropout(x: Floats, p: float, scale: float, key: int, y: Floats) -> None:
    if x is not y:
        np.copyto(y, x)
    _mask(flat(y), np.uint64(p * 2.0**53), x.dtype.type(scale), np.uint64(key))
