"""How compiled loops begin, when Python says so.

Numba's own call looks at every argument, what it is and where its numbers lie. With the tuples that a plan is, that
takes 25 µs in a training step, where all that it touches comes from far memory; and most steps call the same loops with
the same arrays. So a loop is not called here but written down: `Launch.block` keeps in a row of numbers where its code
is, and what it is called with as compiled code sees it. `starter` needs no more than where that row lies, 3 µs, and
does several loops one after another.
"""
import ctypes
from collections.abc import Callable
from functools import cache, update_wrapper
from importlib import import_module
from types import FunctionType
from typing import Any, ClassVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, compiler
from numba.extending import intrinsic
from numpy.typing import NDArray

from .arrays import LINE
from .compile import UNCOUNTED, Loop, jitable, kept, not_on_disk

WORD, PLACE, ADDRESS = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
NOTHING = 0  # where nothing is written down
CODE, NEXT, VALUES = range(3)  # what a block holds: two addresses, and the arguments
TEAM, CALLER = 2, 3  # what a gate holds in place of arguments; it has no code
WHERE, MANY, BYTES = 3, 4, 5  # and what a stop holds, which has no team either


class Launch:
    """A loop that Python calls, made by `launched`: at once, or written down for later."""

    made: ClassVar[dict[tuple[str, int], "Launch"]] = {}
    """All of them, by the module and the line of the loop."""

    def __init__(self, loop: Loop, write: Loop) -> None:
        self.write: Any = write
        self.words = 0  # how long blocks have been so far
        self.name = loop.__module__, loop.__code__.co_firstlineno
        self.made[self.name] = self
        update_wrapper(self, loop)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process has made it as well."""
        return _made, self.name

    def __call__(self, *arguments: Any) -> None:
        block = self.block(arguments)
        starter()(address(block))

    def block(self, arguments: tuple[Any, ...]) -> NDArray[np.int64]:
        """The call, for `start`. It says where arrays lie, and keeps none of them."""
        while True:
            block = np.empty(self.words, np.int64)
            needed = self.write(block, *arguments)
            if needed <= block.size:
                return block
            self.words = needed

    def types(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Numba's, of what is compiled for such arguments."""
        return tuple([self.write.typeof_pyval(given) for given in (np.empty(0, np.int64), arguments)])

    def is_missing(self, types: tuple[Any, ...]) -> bool:
        """Is it not compiled for them, neither here nor on disk, where it could be?"""
        return types not in self.write.overloads and not_on_disk(self.write, types)

    def compile(self, types: tuple[Any, ...]) -> None:
        self.write.compile(types)


def _made(module: str, line: int) -> Launch:
    import_module(module)
    return Launch.made[module, line]


def address(block: NDArray[np.int64]) -> int:
    return block.ctypes.data


def gate() -> NDArray[np.int64]:
    """A block before others, which is open only to the thread of Python's that calls now (what is behind it may have
    its scratch memory), and if numba has as many threads as now (there may be scratch memory for no more)."""
    return np.array([NOTHING, NOTHING, numba.get_num_threads(), _caller()], np.int64)


def stop(unless: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """A block that is open unless one of these numbers is 0; with none, never."""
    if unless is None:
        return np.zeros(BYTES + 1, np.int64)
    return np.array([NOTHING, NOTHING, 0, unless.ctypes.data, unless.size, unless.itemsize], np.int64)


_caller: Any = ctypes.pythonapi["PyThread_get_thread_ident"]
_caller.restype = ctypes.c_ulong


@intrinsic  # type: ignore[untyped-decorator]
def _word(typing: Any, block: Any, place: Any) -> Any:
    """The number there."""
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        row = builder.inttoptr(arguments[0], WORD.as_pointer())
        return builder.load(builder.gep(row, [arguments[1]]))

    return types.int64(types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _note(typing: Any, block: Any, place: Any, value: Any) -> Any:
    """The number there is this from now on."""
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        row = builder.inttoptr(arguments[0], WORD.as_pointer())
        builder.store(arguments[2], builder.gep(row, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _calling(typing: Any) -> Any:
    """`_caller`, for compiled code."""
    def generate(context: Any, builder: ir.IRBuilder, *_: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(8 * ctypes.sizeof(ctypes.c_ulong)), [])
        thread = builder.call(cgutils.get_or_insert_function(builder.module, kind, "PyThread_get_thread_ident"), [])
        return thread if thread.type == WORD else builder.zext(thread, WORD)

    return types.int64(), generate


@intrinsic  # type: ignore[untyped-decorator]
def _begin(typing: Any, code: Any, block: Any) -> Any:
    """Calls the code there with what is written down in the block."""
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        function = builder.inttoptr(arguments[0], ir.FunctionType(ir.VoidType(), [ADDRESS]).as_pointer())
        builder.call(function, [builder.inttoptr(arguments[1], ADDRESS)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def how_many(context: Any, builder: ir.IRBuilder) -> Any:
    """Threads of the team: what `numba.get_num_threads` says. Code that calls that one numba does not keep on disk."""
    numba.get_num_threads()  # the linker knows numba's functions for threads then; also where this is loaded:
    context.active_code_library._reload_init.add(numba.get_num_threads)
    return builder.call(
        cgutils.get_or_insert_function(builder.module, ir.FunctionType(WORD, []), "get_num_threads"), [])


@intrinsic  # type: ignore[untyped-decorator]
def number(typing: Any) -> Any:
    """`how_many`, for compiled code."""
    return types.int64(), lambda context, builder, *_: how_many(context, builder)


@intrinsic  # type: ignore[untyped-decorator]
def _byte(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.load(builder.inttoptr(arguments[0], ADDRESS)), WORD)

    return types.int64(types.int64), generate


@jitable
def is_open(block: int) -> bool:
    """Is this gate, or this stop?"""
    if _word(block, TEAM) > 0:
        return _word(block, TEAM) == number() and _word(block, CALLER) == _calling()  # type: ignore[no-any-return]
    for i in range(_word(block, MANY)):
        bits = 0
        for place in range(_word(block, BYTES)):
            bits |= _byte(_word(block, WHERE) + i * _word(block, BYTES) + place)
        if bits == 0:
            return False
    return _word(block, MANY) > 0  # type: ignore[no-any-return]


def _start(block: int) -> int:
    """The calls written down from this address on. Returns NOTHING, or how far it came: a block that is not open."""
    while block != NOTHING:
        code = _word(block, CODE)
        if code != NOTHING:
            _begin(code, block)
        elif not is_open(block):
            return block
        block = _word(block, NEXT)
    return NOTHING


start = kept(_start, **UNCOUNTED)


def _start_several(blocks: int, many: int) -> int:
    """What is written down from each of the addresses on that are in a row of numbers there. Returns how many of them
    are done altogether; if not all, the block at which the next one stopped is in its place then."""
    for i in range(many):
        stopped = start(_word(blocks, i))
        if stopped != NOTHING:
            _note(blocks, i, stopped)
            return i
    return many


start_several = kept(_start_several, **UNCOUNTED)


@cache
def starter() -> Callable[[int], int]:
    """`start` for whoever calls it again and again: what numba has made of it, without a look at the argument first.

    What Python does in a training step it does with cold caches. Between two kernels of cifar_18pct, to ask how many
    threads there are took 12 µs, whose scratch memory it is 8, and numba's look 4; its update takes 120.
    """
    return _made_of(start, types.int64)


@cache
def starter_of_several() -> Callable[[int, int], int]:
    """`start_several`, likewise."""
    return _made_of(start_several, types.int64, types.int64)


def _made_of(loop: Any, *kinds: Any) -> Callable[..., int]:
    loop.compile(kinds)
    return loop.get_overload(kinds)  # type: ignore[no-any-return]


def launched(
    loop: Loop, kinds: Callable[..., Any], given: Callable[..., Any], few: int | None = 0, makes_arrays: bool = False
) -> Launch:
    """`loop` on all threads of the team, or on the one that calls.

    kinds : the types of what a thread's loop gets, from the types of what Python gives; given : its values likewise.
    few, makes_arrays : as for `team.parallel`; few None: always on the thread that calls.
    """
    @intrinsic  # type: ignore[untyped-decorator]
    def note(typing: Any, block: Any, arguments: Any) -> Any:
        """Fills the block, if there is room for it. Returns how many numbers it takes."""
        signature = types.void(*kinds(tuple(arguments)))

        def caller(context: Any, module: ir.Module, kind: ir.Type) -> ir.Function:
            """void (block): calls what is written there."""
            flags = compiler.Flags()
            flags.error_model, flags.nrt = "numpy", makes_arrays
            flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True  # it is part of this function
            job = compiler.compile_internal(
                context.typing_context, context.subtarget(enable_nrt=makes_arrays), context.active_code_library, loop,
                signature.args, types.void, flags, {})

            def written(builder: ir.IRBuilder, block: Any) -> Any:
                return builder.load(builder.gep(builder.bitcast(block, kind.as_pointer()), [WORD(0), PLACE(VALUES)]))

            def part(builder: ir.IRBuilder, held: Any, thread: Any, team: Any) -> None:
                block, begun = cgutils.unpack_tuple(builder, held)
                values = cgutils.unpack_tuple(builder, written(builder, block))
                context.call_internal_no_propagate(
                    builder, job.fndesc, signature, given(context, builder, arguments, values, begun, thread, team))

            function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ADDRESS]), f"call_{loop.__name__}")
            function.linkage = "internal"
            builder, [block] = ir.IRBuilder(function.append_basic_block()), function.args
            team = WORD(1) if few is None else how_many(context, builder)
            if few:
                first = first_array(
                    context, builder, arguments, cgutils.unpack_tuple(builder, written(builder, block)))
                team = builder.select(builder.icmp_signed("<=", first.nitems, WORD(few)), WORD(1), team)
            counters = builder.alloca(WORD, size=team)
            cgutils.memset(builder, counters, builder.mul(WORD(8), team), 0)
            held = cgutils.pack_struct(builder, [block, counters])
            if few is None:
                part(builder, held, WORD(0), team)
            else:
                _on_each(builder, f"part_of_{loop.__name__}", held, team, part)
            builder.ret_void()
            return function

        def generate(context: Any, builder: ir.IRBuilder, _: Any, values: Any) -> Any:
            kind = ir.LiteralStructType([WORD, WORD, values[1].type])
            code = caller(context, builder.module, kind)
            words = WORD(-(-context.get_abi_sizeof(kind) // 8))
            array = context.make_array(block)(context, builder, values[0])
            with builder.if_then(builder.icmp_signed("<=", words, array.nitems)):
                there = builder.bitcast(array.data, kind.as_pointer())
                for place, value in ((CODE, builder.ptrtoint(code, WORD)), (NEXT, WORD(NOTHING)), (VALUES, values[1])):
                    builder.store(value, builder.gep(there, [WORD(0), PLACE(place)]))
            return words

        return types.int64(block, arguments), generate

    # A function of its own for each loop, found where the loop is: numba's cache goes by file and line, and would not
    # know `note` again in a closure.
    there = loop.__code__
    code = _write.__code__.replace(co_filename=there.co_filename, co_firstlineno=there.co_firstlineno)
    write = FunctionType(code, {"note": note, "__name__": loop.__module__}, loop.__name__)
    write.__qualname__ = loop.__qualname__
    return Launch(loop, kept(write, **UNCOUNTED))  # numba's count of who uses an array would be gone when it is begun


def _write(block: Any, *arguments: Any) -> Any:
    return note(block, arguments)  # type: ignore[name-defined] # noqa: F821 (`launched` gives it one)


def first_array(context: Any, builder: ir.IRBuilder, kinds: Any, values: Any) -> Any:
    """Of these, or of those in the tuples among these."""
    for kind, value in zip(kinds, values, strict=True):
        if isinstance(kind, types.Array):
            return context.make_array(kind)(context, builder, value)
        if isinstance(kind, types.BaseTuple):
            array = first_array(context, builder, kind, cgutils.unpack_tuple(builder, value))
            if array is not None:
                return array
    return None


def _on_each(builder: ir.IRBuilder, name: str, given: Any, team: Any, call: Callable[..., None]) -> None:
    """call(builder, given, thread, team) on every thread of the team; a team of one is the thread that calls. By the
    function that numba's own loops use:

        numba_parallel_for(part, args, dimensions, steps, data, 0, 1, threads)

    It has each thread do part(args, dimensions, steps, data) for dimensions[0] places from args[0] on, which are
    steps[0] apart. That is meant for arrays; here a place is the number of a thread, counted from LINE, for a place 0
    would be none.
    """
    kinds = [ADDRESS.as_pointer(), WORD.as_pointer(), WORD.as_pointer(), ADDRESS]
    part = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), kinds), name)
    part.linkage = "internal"
    part.attributes.add("noinline")  # once is enough
    inside = ir.IRBuilder(part.append_basic_block())
    first = inside.sub(inside.ptrtoint(inside.load(part.args[0]), WORD), WORD(LINE))
    held = inside.load(inside.bitcast(part.args[3], given.type.as_pointer()))
    size = inside.load(inside.gep(part.args[2], [WORD(1)]))
    with cgutils.for_range(inside, inside.load(part.args[1]), intp=WORD) as loop:
        call(inside, held, inside.add(first, loop.index), size)
    inside.ret_void()

    steps = cgutils.alloca_once(builder, WORD, size=2)
    builder.store(WORD(1), steps)
    builder.store(team, builder.gep(steps, [WORD(1)]))
    values = builder.inttoptr(WORD(LINE), ADDRESS), team, given
    first_place, many, data = (cgutils.alloca_once_value(builder, value) for value in values)
    kind = ir.FunctionType(ir.VoidType(), [ADDRESS] * 5 + [WORD] * 3)
    on_all = cgutils.get_or_insert_function(builder.module, kind, "numba_parallel_for")
    pointers = [builder.bitcast(value, ADDRESS) for value in (part, first_place, many, steps, data)]
    with builder.if_else(builder.icmp_signed("==", team, WORD(1))) as (here, everywhere):
        with here:
            builder.call(part, [first_place, many, steps, pointers[-1]])
        with everywhere:
            builder.call(on_all, [*pointers, WORD(0), WORD(1), team])
