"""Pooling's sweeps, each for one vector of windows at a time: along rows, down columns. The way back is in `passing`.

The largest pixel of a window is the largest of its rows' largest, its sum that of its rows' sums: `what` is wanted is
either. What a sweep reads and writes lies in one piece, as memory likes it best. For stride 1 they are spelled out in
LLVM's instructions, as `tile` is; for 3 and more they are plain loops. At 2, windows share less: `by_two`.

At stride 1 a window's place in memory is a pixel's, so the rows of many small maps may be swept as one: a vector then
holds the end of a map and the beginning of the next, and 7 × 7 pixels take half the time.

Each sweep asks for what it will need a little later: in a first version, maps of 112 × 112 pixels took 11.4 ms without,
4.6 asking for what is read, 3.9 for what is written too.
"""
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .compile import inlined, overload, serial
from .tile import Registers, ask_for, data

Floats = NDArray[Any]
Places = NDArray[Any]  # of a window's pixels: row · size + column. Between the sweeps, of int32
Mask = NDArray[Any]  # −1 for yes, of `tile.MASK`

AHEAD = 4096  # bytes: how far ahead of the sweep along rows, which reads most
SOON = 512  # how far ahead of what is written

Kind = tuple[int, ...]


def kind(stride: int) -> Kind:
    """Whether a stride is 1, as compiled code knows it: the length of a tuple. So a kernel holds one way, and not both:
    it is compiled in half the time, and keeps its addresses in registers."""
    return (0,) * (stride == 1)


def _size_of(plan: Any) -> int:
    """A window's size. Most are three pixels wide, which compiled code knows then, by the length of `plan.three`: loops
    over them are written out, and take a quarter less."""
    return 3 if len(plan.three) == 1 else int(plan.size)


size_of = inlined(_size_of)


class Sum(NamedTuple):
    """The sum of a window, not its largest pixel."""

    of_squares: bool


def across(
    x: Floats, start: int, inside: Mask, apart: int, before: Places, at: int, count: int | None, size: int,
    stride: int, best: Floats, which: Places | None, place: int, lanes: int, what: Sum | None, kind: Kind
) -> None:
    """best[place + j] = the largest of x[start + j · stride + l], l < size, for j < count, `lanes` of them at most (so
    many, if it is None); and which[place + j] = l, the first of equal ones. A NaN is larger than all. With no `which`,
    only the numbers. Or their sum.

    inside[l // stride · apart + (at + j) · stride + l % stride] says if that pixel counts, before[at + j] how many of
    the window's first do not: if all are −∞, the first is meant that does. Whole vectors are read of both, and of best
    and which written: what lies behind is lost.
    """
    for j in range(lanes if count is None else min(count, lanes)):
        value, where = -np.inf if what is None else 0.0, before[at + j]
        for l in range(size):  # noqa: E741 (as in the equation)
            if inside[l // stride * apart + (at + j) * stride + l % stride]:
                number = x[start + j * stride + l]
                if what is not None:
                    value += number * number if what.of_squares else number
                elif not number <= value and value == value:
                    value, where = number, l
        best[place + j] = value
        if which is not None:
            which[place + j] = where


def down(
    best: Floats, which: Places | None, place: int, apart: int, size: int, y: Floats, argmax: Places | None, out: int,
    count: int, end: int, lanes: int, what: Sum | None
) -> None:
    """y[out + j] = the largest of best[place + k · apart + j], k < size, for j < count, `lanes` of them at most; and
    argmax[out + j] is k · size and what `which` says of it, if it is asked. Or their sum. Whole vectors of best and
    which are read, and may be written of y and argmax before `end`: what lies behind is to be written later.
    """
    for j in range(min(count, lanes)):
        value, row = best[place + j], 0
        for k in range(1, size):
            number = best[place + k * apart + j]
            if what is not None:
                value += number
            elif not number <= value and value == value:
                value, row = number, k
        y[out + j] = value
        if which is not None and argmax is not None:
            argmax[out + j] = which[place + row * apart + j] + row * size


def down_maps(
    best: Floats, which: Places | None, place: int, width: int, size: int, pad: int, rows: Places, height: int,
    y: Floats, argmax: Places | None, out: int, count: int, end: int, lanes: int, what: Sum | None
) -> None:
    """The same where the rows of many maps lie one after another: y[out + j] = the largest of
    best[place + (k − pad) · width + j], k < size, of those k that lie in the map: 0 ≤ rows[j] + k − pad < height.
    """
    for j in range(min(count, lanes)):
        value, row = -np.inf if what is None else 0.0, pad
        for k in range(size - 1, -1, -1):  # backwards: of equal ones, and of those that are −∞, the first is meant
            at = place + (k - pad) * width + j
            if 0 <= rows[j] + k - pad < height:
                if what is not None:
                    value += best[at]
                elif best[at] >= value or best[at] != best[at]:
                    value, row = best[at], k
        y[out + j] = value
        if which is not None and argmax is not None:
            argmax[out + j] = which[place + (row - pad) * width + j] + row * size


class Vectors:
    """Of numbers, as many as there are lanes, and of places."""

    def __init__(self, context: Any, builder: ir.IRBuilder, number: Any) -> None:
        self.builder = builder
        self.numbers = Registers(context, builder, number)
        self.lanes = self.numbers.vector.count
        self.places = Registers(context, builder, types.int32, self.lanes)

    def place(self, value: Any) -> Any:
        return self.builder.trunc(value, ir.IntType(32))

    def in_row(self, columns: Any, row: Any, size: Any) -> Any:
        """Places: row · size + column."""
        return self.builder.add(columns, self.places.repeat(self.place(self.builder.mul(row, size))))

    def within(self, places: Any, count: Any) -> Any:
        """A mask: 0 ≤ place < count."""
        return self.builder.icmp_unsigned("<", places, self.places.repeat(self.place(count)))

    def taken(self, what: Any, new: tuple[Any, ...], old: tuple[Any, ...]) -> tuple[Any, ...]:
        """The sum, or what is `larger`. `what`: its type."""
        return self.larger(new, old) if what == types.none else (self.builder.fadd(old[0], new[0]),)

    def larger(self, new: tuple[Any, ...], old: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of two numbers, with their places or without; the old one if they are equal, or if it is NaN."""
        build, number, largest = self.builder, new[0], old[0]
        if_larger = build.and_(
            build.fcmp_unordered(">", number, largest), build.fcmp_ordered("ord", largest, largest))
        return tuple(build.select(if_larger, one, other) for one, other in zip(new, old, strict=True))


def nothing(what: Any) -> float:
    """What a pixel outside counts. `what`: its type."""
    return -np.inf if what == types.none else 0.0


def results(vectors: Vectors, context: Any, y: Any, argmax: Any, array: Any, out: Any) -> list[tuple[Any, Registers]]:
    """Where a sweep writes, and vectors of what; asks for what is written soon.  array : the type of argmax."""
    written = [(y, vectors.numbers)]
    if argmax:
        written.append((argmax, Registers(context, vectors.builder, array.dtype, vectors.lanes)))
    for start, registers in written:
        soon = ir.Constant(ir.IntType(64), SOON // registers.itemsize)
        ask_for(vectors.builder, start, vectors.builder.add(out, soon), write=True)
    return written


def changing(builder: ir.IRBuilder, values: tuple[Any, ...]) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Values that a loop changes: how to get them and how to set them. LLVM makes registers of these."""
    places = [cgutils.alloca_once_value(builder, value) for value in values]

    def get() -> Any:
        return tuple(builder.load(place) for place in places)

    def set_to(values: Any) -> None:
        for value, place in zip(values, places, strict=True):
            builder.store(value, place)

    return get, set_to


@intrinsic  # type: ignore[untyped-decorator]
def _across(
    context: Any, x: Any, start: Any, inside: Any, apart: Any, before: Any, at: Any, count: Any, size: Any, best: Any,
    which: Any, place: Any, what: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        x, inside, before, best, which = (data(context, builder, signature, arguments, i) for i in (0, 2, 4, 8, 9))
        start, apart, at, count, size, place = (arguments[i] for i in (1, 3, 5, 6, 7, 10))
        vectors = Vectors(context, builder, signature.args[0].dtype)
        integer, number = ir.IntType(64), signature.args[0].dtype.bitwidth // 8
        ask_for(builder, x, builder.add(start, integer(AHEAD // number)), write=False)
        few = None if signature.args[6] == types.none else vectors.numbers.first(count)

        def seen(tap: Any) -> tuple[Any, ...]:
            mask = vectors.numbers.read_mask(inside, builder.add(builder.mul(tap, apart), at))
            mask = builder.and_(mask, few) if few else mask
            pixels = vectors.numbers.load(x, builder.add(start, tap), mask, nothing(what))
            if what != types.none:
                [of_squares] = cgutils.unpack_tuple(builder, arguments[11])
                of_squares = builder.icmp_unsigned("!=", of_squares, ir.Constant(of_squares.type, 0))
                pixels = builder.select(of_squares, builder.fmul(pixels, pixels), pixels)
            return (pixels, vectors.places.repeat(vectors.place(tap))) if which else (pixels,)

        first = seen(integer(0))
        get, set_to = changing(builder, (first[0], vectors.places.load(before, at)) if which else first)
        with cgutils.for_range(builder, size, start=integer(1), intp=integer) as loop:
            set_to(vectors.taken(what, seen(loop.index), get()))
        largest = get()
        vectors.numbers.store(largest[0], best, place)
        if which:
            vectors.places.store(largest[1], which, place)
        return context.get_dummy_value()

    return types.void(x, start, inside, apart, before, at, count, size, best, which, place, what), generate


@overload(across, inline="always")
def _over_across(
    x: Any, start: Any, inside: Any, apart: Any, before: Any, at: Any, count: Any, size: Any, stride: Any,
    best: Any, which: Any, place: Any, lanes: Any, what: Any, kind: Any
) -> Any:
    def plainly(
        x: Any, start: Any, inside: Any, apart: Any, before: Any, at: Any, count: Any, size: Any,
        stride: Any, best: Any, which: Any, place: Any, lanes: Any, what: Any, kind: Any
    ) -> None:
        plain_across(x, start, inside, apart, before, at, count, size, stride, best, which, place, lanes, what, kind)

    def in_vectors(
        x: Any, start: Any, inside: Any, apart: Any, before: Any, at: Any, count: Any, size: Any,
        stride: Any, best: Any, which: Any, place: Any, lanes: Any, what: Any, kind: Any
    ) -> None:
        _across(x, start, inside, apart, before, at, count, size, best, which, place, what)

    return in_vectors if kind.count else plainly


@intrinsic  # type: ignore[untyped-decorator]
def _down(
    context: Any, best: Any, which: Any, place: Any, apart: Any, size: Any, y: Any, argmax: Any, out: Any, count: Any,
    end: Any, what: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        best, which, y, argmax = (data(context, builder, signature, arguments, i) for i in (0, 1, 5, 6))
        place, apart, size, out, count, end = (arguments[i] for i in (2, 3, 4, 7, 8, 9))
        vectors, integer = Vectors(context, builder, signature.args[0].dtype), ir.IntType(64)
        written = results(vectors, context, y, argmax, signature.args[6], out)

        def there(k: Any) -> tuple[Any, ...]:
            row = builder.add(place, builder.mul(k, apart))
            number = vectors.numbers.load(best, row)
            return (number, vectors.in_row(vectors.places.load(which, row), k, size)) if which else (number,)

        get, set_to = changing(builder, there(integer(0)))
        with cgutils.for_range(builder, size, start=integer(1), intp=integer) as loop:
            set_to(vectors.taken(what, there(loop.index), get()))
        for (start, registers), values in zip(written, get(), strict=True):
            registers.store_first(registers.narrowed(values), start, out, count, end)
        return context.get_dummy_value()

    return types.void(best, which, place, apart, size, y, argmax, out, count, end, what), generate


@overload(down, inline="always")
def _over_down(
    best: Any, which: Any, place: Any, apart: Any, size: Any, y: Any, argmax: Any, out: Any, count: Any, end: Any,
    lanes: Any, what: Any
) -> Any:
    def in_vectors(
        best: Any, which: Any, place: Any, apart: Any, size: Any, y: Any, argmax: Any, out: Any, count: Any,
        end: Any, lanes: Any, what: Any
    ) -> None:
        _down(best, which, place, apart, size, y, argmax, out, count, end, what)

    return in_vectors


@intrinsic  # type: ignore[untyped-decorator]
def _down_maps(
    context: Any, best: Any, which: Any, place: Any, width: Any, size: Any, pad: Any, rows: Any, height: Any, y: Any,
    argmax: Any, out: Any, count: Any, end: Any, what: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        best, which, rows, y, argmax = (data(context, builder, signature, arguments, i) for i in (0, 1, 6, 8, 9))
        place, width, size, pad, height, out, count, end = (arguments[i] for i in (2, 3, 4, 5, 7, 10, 11, 12))
        vectors, integer = Vectors(context, builder, signature.args[0].dtype), ir.IntType(64)
        written = results(vectors, context, y, argmax, signature.args[9], out)
        begin = vectors.numbers.constant(nothing(what)), vectors.places.constant(0)
        get, set_to = changing(builder, begin if which else begin[:1])
        row = vectors.places.load(rows, integer(0))
        with cgutils.for_range(builder, size, intp=integer) as loop:
            k = builder.sub(builder.sub(size, integer(1)), loop.index)  # backwards
            tap = builder.sub(k, pad)
            inside = vectors.within(builder.add(row, vectors.places.repeat(vectors.place(tap))), height)
            at, old = builder.add(place, builder.mul(tap, width)), get()
            number = vectors.numbers.load(best, at, inside, nothing(what))
            if what == types.none:
                larger = builder.and_(inside, builder.or_(
                    builder.fcmp_ordered(">=", number, old[0]), builder.fcmp_unordered("uno", number, number)))
                new = (
                    (number, vectors.in_row(vectors.places.load(which, at, inside), k, size)) if which else (number,))
                set_to(builder.select(larger, one, other) for one, other in zip(new, old, strict=True))
            else:
                set_to(vectors.taken(what, (number,), old))
        for (start, registers), values in zip(written, get(), strict=True):
            registers.store_first(registers.narrowed(values), start, out, count, end)
        return context.get_dummy_value()

    return types.void(
        best, which, place, width, size, pad, rows, height, y, argmax, out, count, end, what), generate


@overload(down_maps, inline="always")
def _over_down_maps(
    best: Any, which: Any, place: Any, width: Any, size: Any, pad: Any, rows: Any, height: Any, y: Any, argmax: Any,
    out: Any, count: Any, end: Any, lanes: Any, what: Any
) -> Any:
    def in_vectors(
        best: Any, which: Any, place: Any, width: Any, size: Any, pad: Any, rows: Any, height: Any, y: Any,
        argmax: Any, out: Any, count: Any, end: Any, lanes: Any, what: Any
    ) -> None:
        _down_maps(best, which, place, width, size, pad, rows, height, y, argmax, out, count, end, what)

    return in_vectors


plain_across = serial(across)
