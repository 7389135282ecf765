"""Arrays for kernels: where they begin, what kernels share, and the same numbers under other shapes."""
import math
import threading
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Floats = NDArray[Any]
Shapes = tuple[tuple[int, ...], ...]

LINE = 64  # bytes that come from memory together: a line of the cache

PLANS = 512
planning = lru_cache(PLANS)
"""How a loop is cut up, for shapes and sizes: kept, but not for ever. (A net without fully connected layers may get
images of a thousand sizes, and plans for 625 took 10 to 50 MB a layer.)"""


def aligned(size: int, dtype: np.dtype[Any]) -> Floats:
    """A new array of so many numbers that begins where a line of the cache does. NumPy's begin 16 bytes behind it, and
    every vector of 64 bytes then lies in two lines."""
    memory = np.empty(size * dtype.itemsize + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size * dtype.itemsize].view(dtype)


class _Scratch(threading.local):
    """One for each thread of Python's, since two may train two nets."""

    def __init__(self) -> None:
        self.memory: dict[np.dtype[Any], Floats] = {}
        self.lies = object()
        self.users: WeakSet[Any] = WeakSet()  # that have kept some of it


_scratch = _Scratch()


def scratch(dtype: np.dtype[Any], *shapes: tuple[int, ...]) -> list[Floats]:
    """Arrays for the time of one call of a kernel. All kernels use the same memory, which the first steps make; so does
    a second call for the same dtype."""
    sizes = [math.prod(shape) for shape in shapes]
    starts = [0, *accumulate(-(-size // LINE) * LINE for size in sizes)]
    memory = _scratch.memory.get(dtype)
    if memory is None or memory.size < starts[-1]:
        for user in list(_scratch.users):
            user.let_go()
        _scratch.memory.pop(dtype, None)  # given back before more is taken
        _scratch.lies = object()  # whether or not there is more
        _scratch.memory[dtype] = memory = aligned(starts[-1], dtype)
    return [
        memory[start : start + size].reshape(shape) for start, size, shape in zip(starts, sizes, shapes, strict=False)]


def lying_of_scratch() -> object:
    """Stands for where the scratch memory of the calling thread lies: another object, once more was taken."""
    return _scratch.lies


def keep_scratch(user: Any) -> None:
    """`user` keeps some of it, and is told to `let_go` before more is taken."""
    _scratch.users.add(user)


@planning
def zeros(size: int, dtype: np.dtype[Any]) -> Floats:
    """Made once; to be read only."""
    return np.zeros(size, dtype)


@planning
def steps(count: int, step: int) -> NDArray[np.int64]:
    """0, step, 2 step, …; to be read only."""
    return np.arange(count, dtype=np.int64) * step


@cache
def lowest(rectify: bool, dtype: np.dtype[Any]) -> Any:
    """What nothing shall be below: 0 after a ReLU, else −∞."""
    return dtype.type(0 if rectify else -np.inf)


def reshaped(x: Floats, shape: tuple[int, ...] | int) -> Floats:
    """The same numbers under another shape, without a copy: a kernel that got a copy would write into it in vain.

    `np.reshape` with ``copy=False`` says the same and takes three times as long, 80 times in a step.
    """
    if not x.flags.c_contiguous:
        raise ValueError(f"array of shape (={x.shape}) and strides (={x.strides}) must be row-major")
    return x.reshape(shape)


def images_apart(x: Floats) -> int:
    """How far, in numbers, the next image is away: of a whole array, of `channels` of a larger one farther."""
    return int(x.size // max(1, x.shape[0]) if x.flags.c_contiguous else x.strides[0] // x.itemsize)


def lying(x: Floats) -> Floats:
    """All elements in one row, as they lie in memory. Between the images of `channels` of a larger array lie its
    others."""
    if x.flags.c_contiguous:
        return x.reshape(-1)
    if not x[0].flags.c_contiguous or x.strides[0] < x[0].nbytes:
        raise ValueError(f"array of shape (={x.shape}) and strides (={x.strides}) must be row-major, but for gaps "
                         f"between images")
    return as_strided(x, ((x.shape[0] - 1) * images_apart(x) + x[0].size,), (x.itemsize,))


def maps(x: Floats) -> Floats:
    """(N, C, H, W) as (N, C, H·W)."""
    return reshaped(x, (*x.shape[:2], -1))


def flat(x: Floats) -> Floats:
    """All elements in one row."""
    return x if x.ndim == 1 and x.flags.c_contiguous else reshaped(x, -1)
