"""Kernels on all cores: a team of threads, each of which does its share.

`divided` is for loops over elements or rows: each thread gets a part of the arrays. `parallel` is for all else: each
thread is told which it is. Jobs that write what no other does are for whoever comes first (`claim`); sums are shared
out beforehand (`share`), so that their order, and the bits, are always the same.
"""
import ctypes
import os
from collections.abc import Callable
from functools import cache, update_wrapper
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, compiler
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from .arrays import LINE
from .compile import Loop, inlined, kept

FEW = 2**15  # numbers: so few are for the thread that calls. A ReLU of them takes 7 µs, to have another begin 4
FEW_POWERS = 2**12  # e^x of so many takes about as long

COUNTER = types.CPointer(types.int64)
"""Of jobs that somebody has begun. It lies where the thread that calls keeps its own: made in Python, an array of one
number, it took 10 µs in a step, like everything that Python has to fetch from far memory."""

# A thread that waits for the others sleeps after a moment instead of spinning: on a machine that does anything else at
# the same time, spinning takes the core from the thread that is waited for (a 0.1 ms loop then took 3 ms on average).
os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def parallel(loop: Loop, few: int = 0, makes_arrays: bool = False, claims: bool = False) -> Loop:
    """On all cores: `loop(…, thread, team)` on each of a `team` of threads.

    It is called from Python, without those two. It returns nothing, and must not fail. A `prange` over threads does the
    same, but numba then compiles `loop`, and all that is called in it, three times over (GoogLeNet's first step took
    59 s, and 33 without), and its launch costs 10 µs in place of 4.

    few : if the first array has so many numbers or fewer, the thread that calls is a team of one.
    makes_arrays : does it (NumPy's functions do)? Else numba need not count who uses an array (`compile.UNCOUNTED`).
    claims : `loop(…, next_job, thread, team)`, called without that one too, has the threads `claim` their jobs.
    """
    def given(context: Any, builder: Any, kinds: Any, values: Any, begun: Any, thread: Any, team: Any) -> list[Any]:
        return [*values, *([begun] if claims else []), thread, team]

    own = (COUNTER,) if claims else ()
    return _launched(loop, few, makes_arrays, lambda arguments: (*arguments, *own, types.intp, types.intp), given)


def divided(loop: Loop, few: int = FEW) -> Loop:
    """`parallel`, each thread with a part of the arrays: of all that it is given, of equal length, so many rows."""
    return _launched(loop, few, False, lambda arguments: arguments, _part)


def _launched(
    loop: Loop, few: int, makes_arrays: bool, kinds: Callable[..., Any], given: Callable[..., Any]
) -> Loop:
    """kinds : of what `loop` gets, from those of what is called with.  given : what a thread's loop gets."""
    @intrinsic  # type: ignore[untyped-decorator]
    def start(typing: Any, arguments: Any) -> Any:
        signature = types.void(*kinds(tuple(arguments)))

        def generate(context: Any, builder: ir.IRBuilder, _: Any, values: Any) -> Any:
            numba.get_num_threads()  # the linker knows numba's functions for threads then; also where this is loaded:
            context.active_code_library._reload_init.add(numba.get_num_threads)
            flags = compiler.Flags()
            flags.error_model, flags.nrt = "numpy", makes_arrays
            flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True  # it is part of this function
            job = compiler.compile_internal(
                context.typing_context, context.subtarget(enable_nrt=makes_arrays), context.active_code_library, loop,
                signature.args, types.void, flags, {})

            def call(inside: ir.IRBuilder, held: Any, thread: Any, team: Any) -> None:
                values, begun = cgutils.unpack_tuple(inside, held)
                values = cgutils.unpack_tuple(inside, values)
                context.call_internal_no_propagate(
                    inside, job.fndesc, signature, given(context, inside, arguments, values, begun, thread, team))

            first = _first_array(context, builder, arguments, cgutils.unpack_tuple(builder, values[0]))
            alone = builder.icmp_signed("<=", first.nitems, ir.IntType(64)(few)) if few else ir.IntType(1)(0)
            begun = cgutils.alloca_once_value(builder, ir.IntType(64)(0))
            held = cgutils.pack_struct(builder, [values[0], begun])
            _on_each(builder, f"part_of_{loop.__name__}", held, alone, call)
            return context.get_dummy_value()

        return types.void(arguments), generate

    # A function of its own for each loop, found where the loop is: numba's cache goes by file and line, and would not
    # know `start` again in a closure.
    there = loop.__code__
    code = _run.__code__.replace(co_filename=there.co_filename, co_firstlineno=there.co_firstlineno)
    run = FunctionType(code, {"start": start, "__name__": loop.__module__}, loop.__name__)
    run.__qualname__ = loop.__qualname__
    return update_wrapper(kept(run), loop)


def _run(*arguments: Any) -> None:
    start(arguments)  # type: ignore[name-defined] # noqa: F821 (`_launched` gives it one)


def _first_array(context: Any, builder: ir.IRBuilder, kinds: Any, values: Any) -> Any:
    """Of these, or of those in the tuples among these."""
    for kind, value in zip(kinds, values, strict=True):
        if isinstance(kind, types.Array):
            return context.make_array(kind)(context, builder, value)
        if isinstance(kind, types.BaseTuple):
            array = _first_array(context, builder, kind, cgutils.unpack_tuple(builder, value))
            if array is not None:
                return array
    return None


def _part(
    context: Any, builder: ir.IRBuilder, kinds: Any, values: Any, begun: Any, thread: Any, team: Any
) -> list[Any]:
    """Of each array its rows from one to another; what is no array, as it is.

    Of arrays of one dimension, parts begin where a line of the cache does.
    """
    first = _first_array(context, builder, kinds, values)
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


def _on_each(builder: ir.IRBuilder, name: str, given: Any, alone: Any, call: Callable[..., None]) -> None:
    """call(builder, given, thread, team) on every thread, or if `alone`, on the one that calls. By the same function as
    numba's own loops:

        numba_parallel_for(part, args, dimensions, steps, data, 0, 1, threads)

    It has each thread do part(args, dimensions, steps, data) for dimensions[0] places from args[0] on, which are
    steps[0] apart. That is meant for arrays; here a place is the number of a thread, counted from LINE, for a place 0
    would be none.
    """
    byte, word = ir.IntType(8).as_pointer(), ir.IntType(64)
    kinds = [byte.as_pointer(), word.as_pointer(), word.as_pointer(), byte]
    part = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), kinds), name)
    part.linkage = "internal"
    part.attributes.add("noinline")  # once is enough
    inside = ir.IRBuilder(part.append_basic_block())
    first = inside.sub(inside.ptrtoint(inside.load(part.args[0]), word), word(LINE))
    held = inside.load(inside.bitcast(part.args[3], given.type.as_pointer()))
    size = inside.load(inside.gep(part.args[2], [word(1)]))
    with cgutils.for_range(inside, inside.load(part.args[1]), intp=word) as loop:
        call(inside, held, inside.add(first, loop.index), size)
    inside.ret_void()

    team = builder.call(
        cgutils.get_or_insert_function(builder.module, ir.FunctionType(word, []), "get_num_threads"), [])
    team = builder.select(alone, word(1), team)
    steps = cgutils.alloca_once(builder, word, size=2)
    builder.store(word(1), steps)
    builder.store(team, builder.gep(steps, [word(1)]))
    values = builder.inttoptr(word(LINE), byte), team, given
    first_place, many, data = (cgutils.alloca_once_value(builder, value) for value in values)
    kind = ir.FunctionType(ir.VoidType(), [byte] * 5 + [word] * 3)
    start = cgutils.get_or_insert_function(builder.module, kind, "numba_parallel_for")
    pointers = [builder.bitcast(value, byte) for value in (part, first_place, many, steps, data)]
    with builder.if_else(builder.icmp_signed("==", team, word(1))) as (here, everywhere):
        with here:
            builder.call(part, [first_place, many, steps, pointers[-1]])
        with everywhere:
            builder.call(start, [*pointers, word(0), word(1), team])


def claim(next_job: NDArray[np.int64], some: int) -> int:
    """The next of the jobs that nobody has begun, `some` of them from it on: for a thread that is done with its last.
    next_job : what `parallel` gives; for plain loops, an array of one 0.

    Halves that were shared out beforehand wait for the slower of two cores, and on a machine that does anything else
    one of them is. Only where a job writes what no other does: in which order sums are added must not depend on it.
    """
    job = int(next_job[0])
    next_job[0] += some
    return job


@intrinsic  # type: ignore[untyped-decorator]
def _claim(typing: Any, next_job: Any, some: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", arguments[0], arguments[1], "monotonic")

    return types.int64(next_job, types.int64), generate


@overload(claim)  # type: ignore[untyped-decorator]
def _claim_in_compiled_code(next_job: Any, some: Any) -> Any:
    def run(next_job: Any, some: Any) -> int:
        return _claim(next_job, some)  # type: ignore[no-any-return]

    return run


def _share(count: int, part: int, parts: int) -> tuple[int, int]:
    """Of so many jobs a part: from one to another."""
    return count * part // parts, count * (part + 1) // parts


def _piece(first: int, last: int, size: int) -> tuple[int, int, int]:
    """Of numbers from one to another, of images of `size`, those of the first image: which it is, from which of its
    numbers on, how many."""
    n, begin = first // size, first % size
    return n, begin, min(size - begin, last - first)


share, piece = inlined(_share), inlined(_piece)


def threads() -> int:
    """How many threads kernels run on: as many as there are cores, or ``NUMBA_NUM_THREADS``, or what was set since."""
    return ask()()


@cache
def ask() -> Callable[[], int]:
    """The function that numba asks itself: 0.3 µs, where ``numba.get_num_threads`` takes 2, 28 times in a step."""
    numba.get_num_threads()  # which gives it its name
    return ctypes.CFUNCTYPE(ctypes.c_int)(llvm.address_of_symbol("get_num_threads"))


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
