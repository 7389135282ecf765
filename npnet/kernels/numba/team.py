"""Kernels on all cores: a team of threads, each of which does its share.

`divided` is for loops over elements or rows: each thread gets a part of the arrays. `parallel` is for all else: each
thread is told which it is. Jobs that write what no other does go to whoever has time (`claim`); sums are shared
out beforehand (`share`), so that their order, and the bits, are always the same.
"""
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .arrays import LINE
from .compile import Loop, inlined, jitable, overload
from .launch import Launch, first_array, launched

FEW = 2**15  # numbers: so few are for the thread that calls. A ReLU of them takes 7 µs, to have another begin 4
FEW_POWERS = 2**12  # e^x of so many takes about as long

COUNTERS = types.CPointer(types.int64)
"""For each thread, how many of its jobs have been begun. They lie where the thread that calls keeps its own: made in
Python, an array took 10 µs in a step, like everything that Python has to fetch from far memory."""

# A thread that waits for the others sleeps after a moment instead of spinning: on a machine that does anything else at
# the same time, spinning takes the core from the thread that is waited for (a 0.1 ms loop then took 3 ms on average).
os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def parallel(loop: Loop, few: int = 0, makes_arrays: bool = False, claims: bool = False) -> Launch:
    """On all cores: `loop(…, thread, team)` on each of a `team` of threads.

    It is called from Python, without those two. It returns nothing, and must not fail. A `prange` over threads does the
    same, but numba then compiles `loop`, and all that is called in it, three times over (GoogLeNet's first step took
    59 s, and 33 without), and its launch costs 10 µs in place of 4.

    few : if the first array has so many numbers or fewer, the thread that calls is a team of one.
    makes_arrays : does it (NumPy's functions do)? Else numba need not count who uses an array (`compile.UNCOUNTED`).
    claims : `loop(…, begun, thread, team)`, called without that one too, has the threads `claim` their jobs.
    """
    def given(context: Any, builder: Any, kinds: Any, values: Any, begun: Any, thread: Any, team: Any) -> list[Any]:
        return [*values, *([begun] if claims else []), thread, team]

    own = (COUNTERS,) if claims else ()
    return launched(loop, lambda arguments: (*arguments, *own, types.intp, types.intp), given, few, makes_arrays)


def divided(loop: Loop, few: int = FEW) -> Launch:
    """`parallel`, each thread with a part of the arrays: of all that it is given, of equal length, so many rows."""
    return launched(loop, lambda arguments: arguments, _part, few)


def alone(loop: Loop) -> Launch:
    """On the thread that calls: too little work to divide, but begun as those before and behind it are. It returns
    nothing, and must not fail."""
    return launched(loop, lambda arguments: arguments, lambda _, builder, kinds, values, *rest: values, None)


def _part(
    context: Any, builder: ir.IRBuilder, kinds: Any, values: Any, begun: Any, thread: Any, team: Any
) -> list[Any]:
    """Of each array its rows from one to another; what is no array, as it is.

    Of arrays of one dimension, parts begin where a line of the cache does.
    """
    first = first_array(context, builder, kinds, values)
    [length, *row] = cgutils.unpack_tuple(builder, first.shape)
    whole = ir.IntType(64)(-1 if row else -LINE)
    next_thread = builder.add(thread, thread.type(1))
    begin, end = (builder.and_(builder.sdiv(builder.mul(length, part), team), whole) for part in (thread, next_thread))
    end = builder.select(builder.icmp_signed("==", next_thread, team), length, end)
    count = builder.sub(end, begin)

    def part(kind: Any, value: Any) -> Any:
        if isinstance(kind, types.BaseTuple):
            parts = [part(*pair) for pair in zip(kind, cgutils.unpack_tuple(builder, value), strict=True)]
            return context.make_tuple(builder, kind, parts)
        if not isinstance(kind, types.Array):
            return value
        array = context.make_array(kind)(context, builder, value)
        shape = [count, *cgutils.unpack_tuple(builder, array.shape)[1:]]
        step = builder.extract_value(array.strides, 0)
        array.data = cgutils.pointer_add(builder, array.data, builder.mul(begin, step))
        array.shape, array.nitems = cgutils.pack_array(builder, shape), count
        for length in shape[1:]:
            array.nitems = builder.mul(array.nitems, length)
        return array._getvalue()

    return [part(*pair) for pair in zip(kinds, values, strict=True)]


def _share(count: int, part: int, parts: int) -> tuple[int, int]:
    """Of so many jobs a part: from one to another."""
    return count * part // parts, count * (part + 1) // parts


def _piece(first: int, last: int, size: int) -> tuple[int, int, int]:
    """Of numbers from one to another, of images of `size`, those of the first image: which it is, from which of its
    numbers on, how many."""
    n, begin = first // size, first % size
    return n, begin, min(size - begin, last - first)


share, piece = inlined(_share), inlined(_piece)


@jitable
def claim(begun: NDArray[np.int64], jobs: int, some: int, thread: int, team: int) -> tuple[int, int]:
    """Of so many jobs the next that nobody has begun, at most `some`, from one to another; none if there are none.

    Shares that are cut beforehand wait for the slower of two cores, and on a machine that does anything else one of
    them is. So a thread begins with its own share, of images that it has had before and may still have in its cache,
    and goes on with what others have left. (In turns, whoever comes first, took 1.06 to 1.09 times as long where each
    of two cores has a cache of its own.) Only where a job writes what no other does: in which order sums are added must
    not depend on it.

    begun : what `parallel` gives; for plain loops, a zero for each thread.
    """
    for turn in range(team):
        whose = (thread + turn) % team
        first, last = share(jobs, whose, team)
        first += take(begun, whose, some)
        if first < last:
            return first, min(last, first + some)
    return 0, 0


def take(begun: NDArray[np.int64], whose: int, some: int) -> int:
    """So many more are begun. Returns how many were."""
    before = int(begun[whose])
    begun[whose] += some
    return before


@intrinsic  # type: ignore[untyped-decorator]
def _take(typing: Any, begun: Any, whose: Any, some: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", builder.gep(arguments[0], [arguments[1]]), arguments[2], "monotonic")

    return types.int64(begun, types.int64, types.int64), generate


@overload(take)
def _take_in_compiled_code(begun: Any, whose: Any, some: Any) -> Any:
    def run(begun: Any, whose: Any, some: Any) -> int:
        return _take(begun, whose, some)  # type: ignore[no-any-return]

    return run


threads: Callable[[], int] = numba.get_num_threads
"""How many threads kernels run on: as many as there are cores, or ``NUMBA_NUM_THREADS``, or what was set since."""


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
