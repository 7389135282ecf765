"""What loops do badly: a few fixed sums of many arrays, turning a square over, asking for memory ahead of its use.

Each is a plain loop with LLVM's instructions beside it, as `tile` is.
"""
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload, register_jitable
from numpy.typing import NDArray

from .compile import LINE
from .tile import lanes

Floats = NDArray[Any]
Numbers = NDArray[np.int64]
Matrix = Sequence[Sequence[float]]


class _Registers:
    """Reads and writes vectors of the numbers that an array holds."""

    def __init__(self, context: Any, builder: ir.IRBuilder, number: Any) -> None:
        self.builder, self.number = builder, context.get_value_type(number)
        self.itemsize = number.bitwidth // 8
        self.vector = ir.VectorType(self.number, lanes(self.itemsize))
        self.align = ir.Constant(ir.IntType(32), self.itemsize)

    def at(self, start: Any, index: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(start, [index]), self.vector.as_pointer())

    def load(self, start: Any, index: Any, mask: Any = None) -> Any:
        """The vector there; with a mask, zeros where that is not set, and nothing is read."""
        place = self.at(start, index)
        if mask is None:
            return self.builder.load(place, align=self.itemsize)
        return self._masked("load", self.vector, [place, self.align, mask, self.constant(0)])

    def store(self, value: Any, start: Any, index: Any, mask: Any = None) -> None:
        place = self.at(start, index)
        if mask is None:
            self.builder.store(value, place, align=self.itemsize)
        else:
            self._masked("store", ir.VoidType(), [value, place, self.align, mask])

    def _masked(self, way: str, result: Any, arguments: list[Any]) -> Any:
        name = f"llvm.masked.{way}.v{self.vector.count}f{8 * self.itemsize}.p0"
        function = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, name), arguments)

    def repeat(self, value: Any) -> Any:
        """The number in every lane."""
        vector, number = ir.VectorType(value.type, self.vector.count), ir.IntType(32)
        one = self.builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(number, 0))
        everywhere = ir.Constant(ir.VectorType(number, vector.count), [0] * vector.count)
        return self.builder.shuffle_vector(one, one, everywhere)

    def first(self, count: Any) -> Any:
        """A mask: the first `count` lanes."""
        lanes = ir.Constant(ir.VectorType(count.type, self.vector.count), list(range(self.vector.count)))
        return self.builder.icmp_signed("<", lanes, self.repeat(count))

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.vector.count)

    def apart(self, step: Any) -> list[Any]:
        """The places 0, step, 2 step, …, as many as there are numbers in a vector."""
        return [self.builder.mul(step, ir.Constant(step.type, i)) for i in range(self.vector.count)]

    def listed(self, places: Any, first: Any) -> list[Any]:
        """places[first], places[first + 1], …, likewise."""
        start, integer = self.builder.gep(places, [first]), ir.IntType(64)
        return [
            self.builder.load(self.builder.gep(start, [ir.Constant(integer, i)])) for i in range(self.vector.count)
        ]

    def shuffle(self, one: Any, other: Any, places: Sequence[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
        return self.builder.shuffle_vector(one, other, mask)


def _twins(matrix: Matrix) -> dict[int, int]:
    """Rows a + b and a − b, alike but for the signs of some numbers: {k: the row after it that is its twin}."""
    found: dict[int, int] = {}
    for k, row in enumerate(matrix):
        for other in range(k + 1, len(matrix)):
            signs = {a == b for a, b in zip(row, matrix[other], strict=True) if a or b}
            same = all(abs(a) == abs(b) for a, b in zip(row, matrix[other], strict=True))
            if same and signs == {True, False} and not {k, other} & {*found, *found.values()}:
                found[k] = other
    return found


def combination(name: str, matrix: Matrix) -> Callable[[Floats, int, int, Floats, int], None]:
    """A function that computes so many sums of so many rows: a product by a small matrix, known when it is compiled.

    Of two rows of the matrix that differ in signs only, a + b and a − b, the two parts are computed once; where two
    columns do, the sum and the difference of what they multiply.
    """
    rows, columns = _twins(matrix), _twins(tuple(zip(*matrix, strict=True)))

    def combine(source: Floats, step: int, count: int, target: Floats, stride: int) -> None:
        """target[k · stride + v] = Σ_i matrix[k][i] source[i · step + v] for v < count, a multiple of `lanes`."""
        for k, row in enumerate(matrix):
            for v in range(count):
                total = source.dtype.type(0)
                for i, factor in enumerate(row):
                    if factor:
                        total += source.dtype.type(factor) * source[i * step + v]
                target[k * stride + v] = total

    @intrinsic  # type: ignore[untyped-decorator]
    def instructions(context: Any, source: Any, step: Any, v: Any, target: Any, stride: Any) -> Any:
        return types.void(source, step, v, target, stride), generate

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        registers = _Registers(context, builder, signature.args[0].dtype)
        source, target = (context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 3))
        step, v, stride = arguments[1], arguments[2], arguments[4]

        def place(size: Any, i: int) -> Any:
            return builder.add(builder.mul(size, ir.Constant(size.type, i)), v)

        def both(one: Any, other: Any) -> tuple[Any, Any]:
            return builder.fadd(one, other), builder.fsub(one, other)

        def sum_of(terms: list[tuple[float, Any]]) -> Any:
            total = None
            for factor, values in sorted(terms, key=lambda term: abs(term[0]) != 1):
                if total is None:
                    total = values if factor == 1 else builder.fmul(values, registers.constant(factor))
                elif abs(factor) == 1:
                    total = (builder.fadd if factor == 1 else builder.fsub)(total, values)
                else:
                    term = builder.fmul(values, registers.constant(factor), flags=("contract",))
                    total = builder.fadd(term, total, flags=("contract",))
            return total

        given = [registers.load(source, place(step, i)) for i in range(len(matrix[0]))]
        if rows:
            made: list[Any] = [None] * len(matrix)
            for k, factors in enumerate(matrix):
                terms = [(factor, values) for factor, values in zip(factors, given, strict=True)]
                if k in rows:
                    other = matrix[rows[k]]
                    alike = [term for i, term in enumerate(terms) if term[0] and factors[i] == other[i]]
                    apart = [term for i, term in enumerate(terms) if term[0] and factors[i] != other[i]]
                    made[k], made[rows[k]] = both(sum_of(alike), sum_of(apart))
                elif made[k] is None:
                    made[k] = sum_of([term for term in terms if term[0]])
        else:
            both_ways = {i: both(given[i], given[other]) for i, other in columns.items()}
            made = []
            for factors in matrix:
                terms = []
                for i, factor in enumerate(factors):
                    if i in both_ways:
                        terms.append((factor, both_ways[i][0 if factor == factors[columns[i]] else 1]))
                    elif i not in columns.values():
                        terms.append((factor, given[i]))
                made.append(sum_of([term for term in terms if term[0]]))
        for k, values in enumerate(made):
            registers.store(values, target, place(stride, k))
        return context.get_dummy_value()

    instructions.__name__ = f"combine_{name}"

    @overload(combine)  # type: ignore[untyped-decorator]
    def _combine(source: Any, step: Any, count: Any, target: Any, stride: Any) -> Any:
        width = lanes(source.dtype.bitwidth // 8)

        def run(source: Any, step: Any, count: Any, target: Any, stride: Any) -> None:
            for v in range(0, count, width):
                instructions(source, step, v, target, stride)

        return run

    return combine


def move_plus(
    source: Floats, start: int, value: float | None, least: float | None, target: Floats, place: int, count: int
) -> None:
    """target[place + v] = source[start + v] + value for v < count, or `least` if that is less; None adds nothing.

    NaN stays NaN. Nothing beyond is touched: the last vector is masked.
    """
    for v in range(count):
        number = source[start + v]
        if value is not None:
            number += value
            number = least if number <= least else number
        target[place + v] = number


@register_jitable  # type: ignore[untyped-decorator]
def move(source: Floats, start: int, target: Floats, place: int, count: int) -> None:
    """target[place + v] = source[start + v], likewise."""
    move_plus(source, start, None, None, target, place, count)


@intrinsic  # type: ignore[untyped-decorator]
def _move_vector(
    context: Any, source: Any, start: Any, value: Any, least: Any, target: Any, place: Any, count: Any
) -> Any:
    """`value` or `count` may be None: nothing is added, a whole vector is moved."""
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        registers = _Registers(context, builder, signature.args[0].dtype)
        source, target = (context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 4))
        mask = None if count == types.none else registers.first(arguments[6])
        values = registers.load(source, arguments[1], mask)
        if value != types.none:
            values = builder.fadd(values, registers.repeat(context.cast(builder, arguments[2], value, source_type)))
            lowest = registers.repeat(context.cast(builder, arguments[3], least, source_type))
            values = builder.select(builder.fcmp_ordered("<=", values, lowest), lowest, values)
        registers.store(values, target, arguments[5], mask)
        return context.get_dummy_value()

    source_type = source.dtype
    return types.void(source, start, value, least, target, place, count), generate


@overload(move_plus)  # type: ignore[untyped-decorator]
def _move_plus(source: Any, start: Any, value: Any, least: Any, target: Any, place: Any, count: Any) -> Any:
    width = lanes(source.dtype.bitwidth // 8)

    def run(source: Any, start: Any, value: Any, least: Any, target: Any, place: Any, count: Any) -> None:
        whole = count // width * width
        for v in range(0, whole, width):
            _move_vector(source, start + v, value, least, target, place + v, None)
        if whole < count:
            _move_vector(source, start + whole, value, least, target, place + whole, count - whole)

    return run


def transpose(source: Floats, step: int, target: Floats, stride: int, size: int) -> None:
    """target[j · stride + i] = source[i · step + j] for i, j < size, which must be `lanes`."""
    for i in range(size):
        for j in range(size):
            target[j * stride + i] = source[i * step + j]


def _turned(registers: _Registers, rows: list[Any]) -> list[Any]:
    """A square of numbers in so many registers, turned over."""
    size, half = len(rows), 1
    while half < size:  # in every square of 2 · half rows and columns, two quarters change places
        upper = [j if not j & half else size + j - half for j in range(size)]
        lower = [j + half if not j & half else size + j for j in range(size)]
        turned = list(rows)
        for i in range(size):
            if not i & half:
                turned[i] = registers.shuffle(rows[i], rows[i + half], upper)
                turned[i + half] = registers.shuffle(rows[i], rows[i + half], lower)
        rows, half = turned, 2 * half
    return rows


@intrinsic  # type: ignore[untyped-decorator]
def _turn(context: Any, source: Any, step: Any, target: Any, stride: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        registers = _Registers(context, builder, signature.args[0].dtype)
        source, target = (context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 2))
        rows = [registers.load(source, i) for i in registers.apart(arguments[1])]
        for place, values in zip(registers.apart(arguments[3]), _turned(registers, rows), strict=True):
            registers.store(values, target, place)
        return context.get_dummy_value()

    return types.void(source, step, target, stride), generate


@overload(transpose)  # type: ignore[untyped-decorator]
def _transpose(source: Any, step: Any, target: Any, stride: Any, size: Any) -> Any:
    def run(source: Any, step: Any, target: Any, stride: Any, size: Any) -> None:
        _turn(source, step, target, stride)

    return run


def to_lanes(x: Floats, start: int, step: int, places: Numbers, p: int, room: Floats, size: int) -> None:
    """room[places[p + j] + i] = x[start + i · step + j] for i, j < size, which must be `lanes`."""
    for j in range(size):
        for i in range(size):
            room[places[p + j] + i] = x[start + i * step + j]


def from_lanes(
    room: Floats, places: Numbers, p: int, base: NDArray[np.int32] | None, x: Any, start: int, step: int, size: int
) -> None:
    """The way back: x[start + i · step + j] = room[places[p + j] + i]; with a base, these are whole numbers (int32), to
    which base[p + j] is added."""
    for j in range(size):
        for i in range(size):
            number = room[places[p + j] + i]
            x[start + i * step + j] = number if base is None else base[p + j] + np.int32(number)


@intrinsic  # type: ignore[untyped-decorator]
def _to_lanes(context: Any, x: Any, start: Any, step: Any, places: Any, p: Any, room: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        registers = _Registers(context, builder, signature.args[0].dtype)
        source, places, room = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 3, 5))
        x = builder.gep(source, [arguments[1]])
        rows = [registers.load(x, i) for i in registers.apart(arguments[2])]
        for place, values in zip(registers.listed(places, arguments[4]), _turned(registers, rows), strict=True):
            registers.store(values, room, place)
        return context.get_dummy_value()

    return types.void(x, start, step, places, p, room), generate


@intrinsic  # type: ignore[untyped-decorator]
def _from_lanes(context: Any, room: Any, places: Any, p: Any, base: Any, x: Any, start: Any, step: Any) -> Any:
    """`base` is None or an array: then x holds whole numbers too."""
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        def data(i: int) -> Any:
            return context.make_array(signature.args[i])(context, builder, arguments[i]).data

        registers = _Registers(context, builder, signature.args[0].dtype)
        room, places, x = data(0), data(1), builder.gep(data(4), [arguments[5]])
        rows = _turned(registers, [registers.load(room, place) for place in registers.listed(places, arguments[2])])
        whole = ir.VectorType(ir.IntType(32), registers.vector.count)
        if base != types.none:
            first = builder.bitcast(builder.gep(data(3), [arguments[2]]), whole.as_pointer())
            firsts = builder.load(first, align=4)
        for place, values in zip(registers.apart(arguments[6]), rows, strict=True):
            if base == types.none:
                registers.store(values, x, place)
            else:
                target = builder.bitcast(builder.gep(x, [place]), whole.as_pointer())
                builder.store(builder.add(firsts, builder.fptosi(values, whole)), target, align=4)
        return context.get_dummy_value()

    return types.void(room, places, p, base, x, start, step), generate


@overload(to_lanes)  # type: ignore[untyped-decorator]
def _to(x: Any, start: Any, step: Any, places: Any, p: Any, room: Any, size: Any) -> Any:
    def run(x: Any, start: Any, step: Any, places: Any, p: Any, room: Any, size: Any) -> None:
        _to_lanes(x, start, step, places, p, room)

    return run


@overload(from_lanes)  # type: ignore[untyped-decorator]
def _from(room: Any, places: Any, p: Any, base: Any, x: Any, start: Any, step: Any, size: Any) -> Any:
    def run(room: Any, places: Any, p: Any, base: Any, x: Any, start: Any, step: Any, size: Any) -> None:
        _from_lanes(room, places, p, base, x, start, step)

    return run


TOGETHER = 4  # vectors: each must wait for itself, so the others use the time


def sum_rows(source: Floats, taps: Numbers, total: Floats, place: int, count: int) -> None:
    """total[place + v] = Σ_k source[taps[k] + v] for v < count. The sum stays in a register while all terms pass by."""
    for v in range(count):
        total[place + v] = 0
        for tap in taps:
            total[place + v] += source[tap + v]


def sum_squares(source: Floats, taps: Numbers, total: Floats, place: int, count: int) -> None:
    """The same with the squares of the numbers."""
    for v in range(count):
        total[place + v] = 0
        for tap in taps:
            total[place + v] += source[tap + v] * source[tap + v]


def _sums(plain: Callable[..., None], squared: bool) -> None:
    """`plain` in instructions."""

    @intrinsic  # type: ignore[untyped-decorator]
    def add(context: Any, source: Any, taps: Any, total: Any, place: Any, v: Any, count: Any) -> Any:
        """Some vectors, or one of which `count` numbers."""
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            source, taps, total = (
                context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in range(3))
            registers, integer = _Registers(context, builder, signature.args[0].dtype), ir.IntType(64)
            mask, many = (None, TOGETHER) if count == types.none else (registers.first(arguments[5]), 1)
            places = [
                builder.add(arguments[4], ir.Constant(integer, i * registers.vector.count)) for i in range(many)]
            sums = [cgutils.alloca_once_value(builder, registers.constant(0)) for _ in places]
            terms = context.make_array(signature.args[1])(context, builder, arguments[1]).nitems
            with cgutils.for_range(builder, terms, intp=integer) as loop:
                start = builder.gep(source, [builder.load(builder.gep(taps, [loop.index]))])
                for place, sum_ in zip(places, sums, strict=True):
                    term = registers.load(start, place, mask)
                    if squared:
                        term = builder.fmul(term, term, flags=("contract",))
                    builder.store(builder.fadd(builder.load(sum_), term, flags=("contract",)), sum_)
            for place, sum_ in zip(places, sums, strict=True):
                registers.store(builder.load(sum_), total, builder.add(arguments[3], place), mask)
            return context.get_dummy_value()

        return types.void(source, taps, total, place, v, count), generate

    add.__name__ = f"add_{plain.__name__}"

    @overload(plain)  # type: ignore[untyped-decorator]
    def _sum(source: Any, taps: Any, total: Any, place: Any, count: Any) -> Any:
        width = lanes(source.dtype.bitwidth // 8)
        many = TOGETHER * width

        def run(source: Any, taps: Any, total: Any, place: Any, count: Any) -> None:
            whole = count // many * many
            for v in range(0, whole, many):
                add(source, taps, total, place, v, None)
            for v in range(whole, count, width):
                add(source, taps, total, place, v, count - v)

        return run


_sums(sum_rows, squared=False)
_sums(sum_squares, squared=True)


def largest(source: Floats, taps: Numbers, names: Floats, best: Floats, which: Floats, count: int) -> None:
    """best[v] = the largest of source[taps[k] + v] over k, or NaN, and which[v] = names[k] for v < count, a multiple of
    `lanes`. Of equal ones the first, and of NaN.

    All of a window's pixels pass by while the best so far stays in a register; as loops over rows of pixels, one for
    each step, it took twice the time.
    """
    for v in range(count):
        best[v], which[v] = source[taps[0] + v], names[0]
        for k in range(1, taps.size):
            number, old = source[taps[k] + v], best[v]
            if not number <= old and old == old:
                best[v], which[v] = number, names[k]


@intrinsic  # type: ignore[untyped-decorator]
def _largest_vectors(context: Any, source: Any, taps: Any, names: Any, best: Any, which: Any, v: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        source, taps, names, best, which = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in range(5))
        registers = _Registers(context, builder, signature.args[0].dtype)
        integer, size = ir.IntType(64), registers.vector.count
        places = [builder.add(arguments[5], ir.Constant(integer, i * size)) for i in range(TOGETHER)]

        def tap(k: Any) -> tuple[list[Any], Any]:
            """What is there for each of the vectors, and the name."""
            start, name = builder.gep(source, [builder.load(builder.gep(taps, [k]))]), builder.gep(names, [k])
            return [registers.load(start, place) for place in places], registers.repeat(builder.load(name))

        numbers, name = tap(ir.Constant(integer, 0))
        kept = [(cgutils.alloca_once_value(builder, number), cgutils.alloca_once_value(builder, name))
                for number in numbers]
        count = context.make_array(signature.args[1])(context, builder, arguments[1]).nitems
        with cgutils.for_range(builder, count, start=ir.Constant(integer, 1), intp=integer) as loop:
            numbers, name = tap(loop.index)
            for number, (best_kept, which_kept) in zip(numbers, kept, strict=True):
                old = builder.load(best_kept)
                larger = builder.and_(
                    builder.fcmp_unordered(">", number, old), builder.fcmp_ordered("ord", old, old))
                builder.store(builder.select(larger, number, old), best_kept)
                builder.store(builder.select(larger, name, builder.load(which_kept)), which_kept)
        for place, (best_kept, which_kept) in zip(places, kept, strict=True):
            registers.store(builder.load(best_kept), best, place)
            registers.store(builder.load(which_kept), which, place)
        return context.get_dummy_value()

    return types.void(source, taps, names, best, which, v), generate


@overload(largest)  # type: ignore[untyped-decorator]
def _largest(source: Any, taps: Any, names: Any, best: Any, which: Any, count: Any) -> Any:
    width = lanes(source.dtype.bitwidth // 8)

    def run(source: Any, taps: Any, names: Any, best: Any, which: Any, count: Any) -> None:
        for v in range(0, count, TOGETHER * width):
            _largest_vectors(source, taps, names, best, which, v)

    return run


def will_read(x: Floats, start: int, count: int) -> None:
    """x[start : start + count] is needed soon: have it brought from memory to the cache meanwhile. Nothing else.

    A processor guesses by itself what comes next, as long as it is what comes next in memory; rows of an image's
    channels lie far apart. The place may be outside of x.
    """


def will_write(x: Floats, start: int, count: int) -> None:
    """The same for what is going to be written."""


def _ahead(ask: Callable[..., None], write: int) -> None:
    """`ask` in instructions."""

    @intrinsic  # type: ignore[untyped-decorator]
    def touch(context: Any, x: Any, place: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            start = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            fetch = builder.module.declare_intrinsic(
                "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, number, number, number]))
            line = builder.bitcast(builder.gep(start, [arguments[1]]), pointer)
            builder.call(fetch, [line, *(ir.Constant(number, i) for i in (write, 2, 1))])  # into the second-level cache
            return context.get_dummy_value()

        return types.void(x, place), generate

    touch.__name__ = f"touch_{write}"

    @overload(ask)  # type: ignore[untyped-decorator]
    def _ask(x: Any, start: Any, count: Any) -> Any:
        step = LINE * 8 // x.dtype.bitwidth

        def run(x: Any, start: Any, count: Any) -> None:
            for place in range(start, start + count + step - 1, step):
                touch(x, place)

        return run


_ahead(will_read, 0)
_ahead(will_write, 1)
