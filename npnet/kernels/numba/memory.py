"""Arrays of this backend are NumPy's. What copies whole maps does so on all threads."""
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from npnet.kernels.numpy.memory import fill, from_host, to_host, view

from .compile import aligned, compiled, flat, reshaped
from .vectors import move
from .windows import add, add_two

__all__ = ["add_up", "concat", "empty", "fill", "from_host", "split", "to_host", "view"]

Floats = NDArray[Any]

SIZE = 8192  # numbers of every part that are added at a time: the sum stays in the cache


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Floats:
    return aligned(math.prod(shape), dtype).reshape(shape)


def _add_up(parts: tuple[Floats, ...], y: Floats) -> None:
    """Two parts or more, of one dimension."""
    for chunk in prange(-(-y.size // SIZE)):
        some = slice(chunk * SIZE, min(y.size, (chunk + 1) * SIZE))
        add_two(parts[0][some], parts[1][some], y[some])
        for i in range(2, len(parts)):
            add(parts[i][some], y[some])


def _copy_images(source: Floats, first: int, target: Floats, begin: int) -> None:
    """Of each image (N, numbers), as many as the shorter one has, from `first` on to `begin` on."""
    size = min(source.shape[1], target.shape[1])
    for n in prange(source.shape[0]):
        move(source[n], first, target[n], begin, size)


sum_parts, copy_images = compiled(_add_up), compiled(_copy_images)


def add_up(parts: Sequence[Floats], y: Floats) -> None:
    if len(parts) == 1:
        np.copyto(y, parts[0])
    else:
        sum_parts(tuple(flat(part) for part in parts), flat(y))


def _images(x: Floats) -> Floats:
    """(N, numbers), without a copy."""
    return reshaped(x, (x.shape[0], -1))


def concat(parts: Sequence[Floats], y: Floats) -> None:
    begin, target = 0, _images(y)
    for part in parts:
        source = _images(part)
        copy_images(source, 0, target, begin)
        begin += source.shape[1]


def split(y: Floats, parts: Sequence[Floats]) -> None:
    first, source = 0, _images(y)
    for part in parts:
        target = _images(part)
        copy_images(source, first, target, 0)
        first += target.shape[1]
