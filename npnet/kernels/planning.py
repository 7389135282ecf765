"""A backend without memory: arrays have shapes and no numbers, kernels do nothing, and what would be taken is counted.

A net that is made on it goes through a training step in milliseconds, however large it is, and so tells what it needs.
"""
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contract import Shape


class Blank:
    """An array's shape and dtype."""

    def __init__(self, shape: Shape, dtype: Any) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * int(self.dtype.itemsize)

    def reshape(self, shape: Shape, /) -> "Blank":
        return Blank(shape, self.dtype)


PAGE = 2**21
"""Bytes. A GPU's driver gives memory in pages: to a larger array whole ones, while small arrays share them."""


def in_pages(size: int) -> int:
    """Bytes that an array of `size` bytes takes of a GPU's memory."""
    return size if size < PAGE // 2 else -(-size // PAGE) * PAGE


class Planning:
    """The backend. Every kernel of the contract that is not written out here does nothing.

    Attributes
    ----------
    taken, in_pages : bytes of all arrays, as they are and as a GPU gives them.
    uploaded : by dtype, bytes of the largest array that was uploaded.
    """

    def __init__(self) -> None:
        self.taken = self.in_pages = 0
        self.uploaded: dict[np.dtype[Any], int] = {}

    def empty(self, shape: Shape, dtype: Any) -> Blank:
        array = Blank(shape, dtype)
        self.taken += array.nbytes
        self.in_pages += in_pages(array.nbytes)
        return array

    def view(self, storage: Blank, shape: Shape) -> Blank:
        return Blank(shape, storage.dtype)

    def channels(self, x: Blank, first: int, count: int) -> Blank:
        return Blank((x.shape[0], count, *x.shape[2:]), x.dtype)

    def to_host(self, x: Blank) -> NDArray[Any]:
        return np.zeros(x.shape, x.dtype)

    def upload(self, host: NDArray[Any], x: Blank) -> None:
        self.uploaded[x.dtype] = max(self.uploaded.get(x.dtype, 0), x.nbytes)

    def column(self, number: int) -> "Planning":
        return self

    def room(self) -> int | None:
        return None

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)
        return _nothing


def _nothing(*arguments: Any, **named: Any) -> None:
    """Stands for a kernel."""
