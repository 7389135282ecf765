"""How the loops are compiled, and on how many threads they run.

Every kernel is a plain Python function, its name beginning with an underscore: the slowest and plainest reading of the
equation, which stays callable. It is compiled by assignment, ``lrn_forward = compiled(_lrn_forward)``, at its first
call with a new combination of types, and kept on disk (numba's cache), so that the next start finds it ready.
"""
import math
import os
import threading
from collections.abc import Callable
from functools import cache, partial, update_wrapper
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from types import FunctionType
from typing import Any, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, codegen, compiler
from numba.core.caching import IndexDataCacheFile
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic, overload
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Floats = NDArray[Any]
Loop = Callable[..., Any]

UNCOUNTED = {"_nrt": False}
"""Numba counts who uses an array, by a call at each use it cannot prove needless: in an inner loop of max pooling that
took as long as the rest of it. What makes no arrays can do without: whoever called keeps them."""

FEW = 2**17  # numbers: a ReLU of so many takes one thread 5 µs, dropout 21
FEW_POWERS = 2**12  # e^x of so many takes about as long

LINE = 64  # bytes that come from memory together: a line of the cache

# A thread that waits for the others sleeps after a moment instead of spinning: on a machine that does anything else at
# the same time, spinning takes the core from the thread that is waited for (a 0.1 ms loop then took 3 ms on average).
os.environ.setdefault("GOMP_SPINCOUNT", "2000")


class _Files(IndexDataCacheFile):  # type: ignore[misc]
    """Numba's cache of a function, for processes that compile at the same time.

    Numba names what it has compiled 1, 2, … in an index, which it writes first. Two processes that begin with different
    types both write 1, and a third finds in 1 what the index does not say: float64's code for float32, or what an older
    source was compiled to. Here a name belongs to the types, and is there before the index says so.
    """

    def save(self, key: Any, data: Any) -> None:
        name = self._data_name(int.from_bytes(sha256(repr(key).encode()).digest()[:6], "big"))
        self._save_data(name, data)
        self._save_index(self._load_index() | {key: name})


def _kept(loop: Loop, **options: Any) -> Loop:
    """Compiled, and kept on disk; where nothing can be written, compiled again by each process."""
    try:
        fast: Any = numba.njit(nogil=True, cache=True, error_model="numpy", **options)(loop)
    except RuntimeError:  # no folder for the cache: neither beside the package nor in the user's home
        return cast(Loop, numba.njit(nogil=True, error_model="numpy", **options)(loop))
    fast._cache._cache_file.__class__ = _Files
    return cast(Loop, fast)


class _Code(codegen.JITCodeLibrary):  # type: ignore[misc]
    """LLVM's instructions of a function, to be made part of others: there they are optimised, and machine code."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _AsPart(compiler.Compiler):  # type: ignore[misc]
    """Numba's compiler, as far as it goes for a function that only compiled code calls."""

    def __init__(
        self, typing: Any, target: Any, library: Any, arguments: Any, result: Any, flags: Any, names: Any
    ) -> None:
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        super().__init__(typing, target, _Code(target.codegen(), "part"), arguments, result, flags, names)
        # numba knows a function by a builtin, each by its own; nobody calls it
        self.state.targetctx.get_executable = lambda *_: [].append


class _Part(CPUDispatcher):  # type: ignore[misc]
    """A function that compiled code calls, and perhaps Python.

    For each of them numba makes machine code of it and of all that it calls, as if Python did: of a loop in a loop in a
    loop three times, of which two are never run. AlexNet's first step took 69 s, and takes 51. So it is compiled with
    those that call it; where Python does, by itself.
    """

    def __init__(self, loop: Loop, **options: Any) -> None:
        self._for_python, self._options = _kept(loop, **options), options
        super().__init__(loop, {}, {"nopython": True, "nogil": True, "error_model": "numpy", **options}, _AsPart)

    def __call__(self, *arguments: Any) -> Any:
        return self._for_python(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        """As what it was made of: numba's way would call `__init__` with other arguments."""
        return partial(_Part, **self._options), (self.py_func,)


def compiled(loop: Loop, few: int = FEW) -> Loop:
    """On all cores: a `prange` is divided among the threads. If the first array has few numbers, all are for the thread
    that calls: to wake another takes 25 µs."""
    fast = _kept(loop, parallel=True)

    def run(*arguments: Any) -> None:
        team, numbers = threads(), next(x.size for x in arguments if isinstance(x, np.ndarray))
        if numbers > few or team == 1:
            fast(*arguments)
            return
        try:
            numba.set_num_threads(1)
            fast(*arguments)
        finally:
            numba.set_num_threads(team)

    update_wrapper(run, loop)
    return cast(Loop, run)


def parallel(loop: Loop, makes_arrays: bool = False) -> Loop:
    """On all cores: `loop(…, thread, team)` on each of a `team` of threads, for what is more than a loop over elements.

    It is called from Python, without those two. It returns nothing, and must not fail. A `prange` over threads does the
    same, but numba then compiles `loop`, and all that is called in it, three times over: GoogLeNet's first step took
    59 s, and takes 33.

    makes_arrays : does it (NumPy's functions do)? Else numba need not count who uses an array (`UNCOUNTED`).
    """
    @intrinsic  # type: ignore[untyped-decorator]
    def start(typing: Any, arguments: Any) -> Any:
        signature = types.void(*arguments, types.intp, types.intp)

        def generate(context: Any, builder: ir.IRBuilder, _: Any, values: Any) -> Any:
            numba.get_num_threads()  # the linker knows numba's functions for threads then; also where this is loaded:
            context.active_code_library._reload_init.add(numba.get_num_threads)
            flags = compiler.Flags()
            flags.error_model, flags.nrt = "numpy", makes_arrays
            inside = context.subtarget(enable_nrt=makes_arrays)
            flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True  # it is part of this function
            job = compiler.compile_internal(
                context.typing_context, inside, context.active_code_library, loop, signature.args, types.void, flags,
                {})

            def call(inside: ir.IRBuilder, given: Any, thread: Any, team: Any) -> None:
                given = [*cgutils.unpack_tuple(inside, given), thread, team]
                context.call_internal_no_propagate(inside, job.fndesc, signature, given)

            _on_each(builder, f"part_of_{loop.__name__}", values[0], call)
            return context.get_dummy_value()

        return types.void(arguments), generate

    # A function of its own for each loop, found where the loop is: numba's cache goes by file and line, and would not
    # know `start` again in a closure.
    there = loop.__code__
    code = _run.__code__.replace(co_filename=there.co_filename, co_firstlineno=there.co_firstlineno)
    run = FunctionType(code, {"start": start, "__name__": loop.__module__}, loop.__name__)
    run.__qualname__ = loop.__qualname__
    return update_wrapper(_kept(run), loop)


def _run(*arguments: Any) -> None:
    start(arguments)  # type: ignore[name-defined] # noqa: F821 (`parallel` gives it one)


def _on_each(builder: ir.IRBuilder, name: str, given: Any, call: Callable[..., None]) -> None:
    """call(builder, given, thread, team) on every thread, by the same function as numba's own loops:

        numba_parallel_for(part, args, dimensions, steps, data, 0, 1, threads)

    It has each thread do part(args, dimensions, steps, data) for dimensions[0] places from args[0] on, which are
    steps[0] apart. That is meant for arrays; here a place is the number of a thread, counted from LINE, for a place 0
    would be none.
    """
    byte, word = ir.IntType(8).as_pointer(), ir.IntType(64)
    kinds = [byte.as_pointer(), word.as_pointer(), word.as_pointer(), byte]
    part = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), kinds), name)
    part.linkage = "internal"
    inside = ir.IRBuilder(part.append_basic_block())
    first = inside.sub(inside.ptrtoint(inside.load(part.args[0]), word), word(LINE))
    held = inside.load(inside.bitcast(part.args[3], given.type.as_pointer()))
    size = inside.load(inside.gep(part.args[2], [word(1)]))
    with cgutils.for_range(inside, inside.load(part.args[1]), intp=word) as loop:
        call(inside, held, inside.add(first, loop.index), size)
    inside.ret_void()

    team = builder.call(
        cgutils.get_or_insert_function(builder.module, ir.FunctionType(word, []), "get_num_threads"), [])
    steps = cgutils.alloca_once(builder, word, size=2)
    builder.store(word(1), steps)
    builder.store(team, builder.gep(steps, [word(1)]))
    values = builder.inttoptr(word(LINE), byte), team, given
    first_place, many, data = (cgutils.alloca_once_value(builder, value) for value in values)
    kind = ir.FunctionType(ir.VoidType(), [byte] * 5 + [word] * 3)
    start = cgutils.get_or_insert_function(builder.module, kind, "numba_parallel_for")
    pointers = [builder.bitcast(value, byte) for value in (part, first_place, many, steps, data)]
    builder.call(start, [*pointers, word(0), word(1), team])


def serial(loop: Loop) -> Loop:
    """On the thread that calls it: too little work to divide, or part of a kernel that is divided."""
    return cast(Loop, _Part(loop, **UNCOUNTED))


def serial_sums(loop: Loop) -> Loop:
    """`serial`, and sums are added up in whichever order is quickest (always the same one): in the order they are
    written in, they could not become vector additions."""
    return cast(Loop, _Part(loop, fastmath={"reassoc"}, **UNCOUNTED))


def inlined(loop: Loop) -> Loop:
    """Part of the kernels that call it, written out in them: a call costs as much as a row of 32 pixels."""
    fast: Loop = numba.njit(inline="always")(loop)
    return fast


def claim(next_job: NDArray[np.int64], some: int) -> int:
    """The next of the jobs that nobody has begun, `some` of them from it on: for a thread that is done with its last.

    Halves that were shared out beforehand wait for the slower of two cores, and on a machine that does anything else
    one of them is. Only where a job writes what no other does: in which order sums are added must not depend on it.
    """
    job = int(next_job[0])
    next_job[0] += some
    return job


@intrinsic  # type: ignore[untyped-decorator]
def _claim(typing: Any, next_job: Any, some: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        place = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", place, arguments[1], "monotonic")

    return types.int64(next_job, types.int64), generate


@overload(claim)  # type: ignore[untyped-decorator]
def _claim_in_compiled_code(next_job: Any, some: Any) -> Any:
    def run(next_job: Any, some: Any) -> int:
        return _claim(next_job, some)  # type: ignore[no-any-return]

    return run


def first_job() -> NDArray[np.int64]:
    """For `claim`: nothing has been begun."""
    [next_job] = scratch(np.dtype(np.int64), (1,))
    next_job[0] = 0
    return next_job


def _share(count: int, part: int, parts: int) -> tuple[int, int]:
    """Of so many jobs a part: from one to another."""
    return count * part // parts, count * (part + 1) // parts


def _piece(first: int, last: int, size: int) -> tuple[int, int, int]:
    """Of numbers from one to another, of images of `size`, those of the first image: which it is, from which of its
    numbers on, how many."""
    n, begin = first // size, first % size
    return n, begin, min(size - begin, last - first)


share, piece = inlined(_share), inlined(_piece)


def _total(row: Floats) -> Any:
    """Σ row."""
    s = row.dtype.type(0)
    for p in range(row.size):  # `for value in row` would be twelve times as slow
        s += row[p]
    return s


total = serial_sums(_total)


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
    return reshaped(x, -1)
