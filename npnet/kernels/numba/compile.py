"""How the loops are compiled, and on how many threads they run.

Every kernel is a plain Python function, its name beginning with an underscore: the slowest and plainest reading of the
equation, which stays callable. It is compiled by assignment, ``lrn_forward = compiled(_lrn_forward)``, at its first
call with a new combination of types, and kept on disk (numba's cache), so that the next start finds it ready.
"""
import math
import os
import threading
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Loop = Callable[..., Any]

LINE = 64  # bytes that come from memory together: a line of the cache

# A thread that waits for the others sleeps after a moment instead of spinning: on a machine that does anything else at
# the same time, spinning takes the core from the thread that is waited for (a 0.1 ms loop then took 3 ms on average).
os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def _kept(loop: Loop, **options: Any) -> Loop:
    """Compiled, and kept on disk; where nothing can be written, compiled again by each process."""
    try:
        fast: Loop = numba.njit(nogil=True, cache=True, error_model="numpy", **options)(loop)
    except RuntimeError:  # no folder for the cache: neither beside the package nor in the user's home
        fast = numba.njit(nogil=True, error_model="numpy", **options)(loop)
    return fast


def compiled(loop: Loop) -> Loop:
    """On all cores: `prange` loops are divided among the threads."""
    return _kept(loop, parallel=True)


def serial(loop: Loop) -> Loop:
    """On the thread that calls it: too little work to divide."""
    return _kept(loop)


def inlined(loop: Loop) -> Loop:
    """Part of the kernels that call it, written out in them: a call costs as much as a row of 32 pixels."""
    fast: Loop = numba.njit(inline="always")(loop)
    return fast


def _total(row: Floats) -> Any:
    """Σ row. Added up in whichever order is quickest (always the same one), or it would not become vector additions."""
    s = row.dtype.type(0)
    for p in range(row.size):  # `for value in row` would be twelve times as slow
        s += row[p]
    return s


total = _kept(_total, fastmath={"reassoc"})


def threads() -> int:
    """How many threads kernels run on: as many as there are cores, or ``NUMBA_NUM_THREADS``, or what was set since."""
    return int(numba.get_num_threads())


@cache
def single_threaded_blas() -> None:
    """Matrix products inside a kernel run on the kernel's own threads, so SciPy's BLAS, which does them, must use one.

    NumPy's BLAS, where it is a copy of its own, keeps its threads.
    """
    import scipy.linalg.cython_blas  # noqa: F401 (loads the library that numba calls)
    from threadpoolctl import ThreadpoolController

    libraries = [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
    for library in [library for library in libraries if is_scipys(library.filepath)] or libraries:
        library.set_num_threads(1)


def is_scipys(path: str) -> bool:
    """Is the BLAS library at `path` the copy that comes with SciPy? Its name does not tell: NumPy's has the same."""
    return any(part in ("scipy", "scipy.libs") for part in Path(path).parts[-3:-1])


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
        self.parts: dict[tuple[Any, ...], list[Floats]] = {}  # of it, as they were asked for before


_scratch = _Scratch()


def scratch(dtype: np.dtype[Any], *shapes: tuple[int, ...]) -> list[Floats]:
    """Arrays for the time of one call of a kernel. All kernels use the same memory, which the first steps make."""
    parts = _scratch.parts.get((dtype, shapes))
    if parts is not None:
        return parts
    sizes = [math.prod(shape) for shape in shapes]
    starts = [0, *accumulate(-(-size // LINE) * LINE for size in sizes)]
    memory = _scratch.memory.get(dtype)
    if memory is None or memory.size < starts[-1]:
        _scratch.parts.clear()
        _scratch.memory.pop(dtype, None)  # given back before more is taken
        memory = _scratch.memory[dtype] = aligned(starts[-1], dtype)
    parts = _scratch.parts[dtype, shapes] = [
        memory[start : start + size].reshape(shape) for start, size, shape in zip(starts, sizes, shapes, strict=False)
    ]
    return parts


@cache
def zeros(size: int, dtype: np.dtype[Any]) -> Floats:
    """Made once; to be read only."""
    return np.zeros(size, dtype)


@cache
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


def maps(x: Floats) -> Floats:
    """(N, C, H, W) as (N, C, H·W)."""
    return reshaped(x, (*x.shape[:2], -1))


def flat(x: Floats) -> Floats:
    """All elements in one row."""
    return reshaped(x, -1)
