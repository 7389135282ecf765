"""What loops do badly: moving what is no whole vector, turning a square over, asking for memory ahead of its use.

Each is a plain loop with LLVM's instructions beside it, as `tile` is.
"""
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .arrays import LINE
from .compile import jitable, overload
from .tile import Registers, ask_for, data, lanes

Floats = NDArray[Any]
Numbers = NDArray[np.int64]


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


@jitable
def move(source: Floats, start: int, target: Floats, place: int, count: int) -> None:
    """target[place + v] = source[start + v], likewise."""
    move_plus(source, start, None, None, target, place, count)


@intrinsic  # type: ignore[untyped-decorator]
def _move_vector(
    context: Any, source: Any, start: Any, value: Any, least: Any, target: Any, place: Any, count: Any
) -> Any:
    """`value` or `count` may be None: nothing is added, a whole vector is moved."""
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        registers = Registers(context, builder, signature.args[0].dtype)
        source, target = (data(context, builder, signature, arguments, i) for i in (0, 4))
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


@overload(move_plus)
def _move_plus(source: Any, start: Any, value: Any, least: Any, target: Any, place: Any, count: Any) -> Any:
    width = lanes(source.dtype.bitwidth // 8)

    def run(source: Any, start: Any, value: Any, least: Any, target: Any, place: Any, count: Any) -> None:
        whole = count // width * width
        for v in range(0, whole, width):
            _move_vector(source, start + v, value, least, target, place + v, None)
        if whole < count:
            _move_vector(source, start + whole, value, least, target, place + whole, count - whole)

    return run


def add_to(source: Floats, start: int, rectified: Floats | None, target: Floats, place: int, count: int) -> None:
    """target[place + v] += source[start + v], likewise; then 0 where `rectified` is not greater than 0, if it is given.
    """
    for v in range(count):
        number = target[place + v] + source[start + v]
        target[place + v] = number if rectified is None or rectified[place + v] > 0 else 0


@intrinsic  # type: ignore[untyped-decorator]
def _add_vector(
    context: Any, source: Any, start: Any, rectified: Any, target: Any, place: Any, count: Any
) -> Any:
    """`rectified` or `count` may be None."""
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        registers = Registers(context, builder, signature.args[0].dtype)
        source, target = (data(context, builder, signature, arguments, i) for i in (0, 3))
        mask = None if count == types.none else registers.first(arguments[5])
        values = builder.fadd(
            registers.load(target, arguments[4], mask), registers.load(source, arguments[1], mask))
        if rectified != types.none:
            made = registers.load(data(context, builder, signature, arguments, 2), arguments[4], mask)
            zero = registers.constant(0)
            values = builder.select(builder.fcmp_ordered(">", made, zero), values, zero)
        registers.store(values, target, arguments[4], mask)
        return context.get_dummy_value()

    return types.void(source, start, rectified, target, place, count), generate


@overload(add_to)
def _add_to(source: Any, start: Any, rectified: Any, target: Any, place: Any, count: Any) -> Any:
    width = lanes(source.dtype.bitwidth // 8)

    def run(source: Any, start: Any, rectified: Any, target: Any, place: Any, count: Any) -> None:
        whole = count // width * width
        for v in range(0, whole, width):
            _add_vector(source, start + v, rectified, target, place + v, None)
        if whole < count:
            _add_vector(source, start + whole, rectified, target, place + whole, count - whole)

    return run


def pick(source: Floats, start: int, stride: int, target: Floats, place: int, count: int) -> None:
    """target[place + j] = source[start + j · stride] for j < count. Nothing beyond is read or written."""
    for j in range(count):
        target[place + j] = source[start + j * stride]


@cache
def _pick_vector(stride: int) -> Callable[..., None]:
    """Of a vector that is `stride` times as wide, every so manyth. (A compiler has each number gathered by itself.)"""

    @intrinsic  # type: ignore[untyped-decorator]
    def picked(context: Any, source: Any, start: Any, target: Any, place: Any, count: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            source, target = (data(context, builder, signature, arguments, i) for i in (0, 2))
            registers = Registers(context, builder, signature.args[0].dtype)
            wide = Registers(context, builder, signature.args[0].dtype, stride * registers.vector.count)
            mask = some = None
            if count != types.none:
                few, one = builder.trunc(arguments[4], ir.IntType(32)), ir.IntType(32)(1)
                mask = registers.first(few)
                some = wide.first(builder.add(builder.mul(builder.sub(few, one), one.type(stride)), one))
            values = wide.load(source, arguments[1], some)
            values = wide.shuffle(values, values, range(0, wide.vector.count, stride))
            registers.store(values, target, arguments[3], mask)
            return context.get_dummy_value()

        return types.void(source, start, target, place, count), generate

    picked.__name__ = f"pick_{stride}"
    return picked  # type: ignore[no-any-return]


pick_2, pick_4 = _pick_vector(2), _pick_vector(4)


@overload(pick)
def _pick(source: Any, start: Any, stride: Any, target: Any, place: Any, count: Any) -> Any:
    """The papers' strides are said apart."""
    width = lanes(source.dtype.bitwidth // 8)

    def run(source: Any, start: Any, stride: Any, target: Any, place: Any, count: Any) -> None:
        last = (count - 1) // width * width  # a whole one reads more than it picks
        if stride == 2 and count > 0:
            for v in range(0, last, width):
                pick_2(source, start + 2 * v, target, place + v, None)
            pick_2(source, start + 2 * last, target, place + last, count - last)
        elif stride == 4 and count > 0:
            for v in range(0, last, width):
                pick_4(source, start + 4 * v, target, place + v, None)
            pick_4(source, start + 4 * last, target, place + last, count - last)
        else:
            for j in range(count):
                target[place + j] = source[start + j * stride]

    return run


def transpose(source: Floats, step: int, target: Floats, stride: int, size: int, count: int | None = None) -> None:
    """target[j · stride + i] = source[i · step + j] for j < size, which must be `lanes`, and for as many i, or those
    less than `count`."""
    for i in range(size if count is None else min(size, count)):
        for j in range(size):
            target[j * stride + i] = source[i * step + j]


def _turned(registers: Registers, rows: list[Any], each: int = 1) -> list[Any]:
    """A square of numbers in so many registers, turned over; or of groups of `each`, which stay side by side."""
    size, half = registers.vector.count, 1
    while half < len(rows):  # in every square of 2 · half rows and columns, two quarters change places
        across = half * each
        upper = [j if not j & across else size + j - across for j in range(size)]
        lower = [j + across if not j & across else size + j for j in range(size)]
        turned = list(rows)
        for i in range(len(rows)):
            if not i & half:
                turned[i] = registers.shuffle(rows[i], rows[i + half], upper)
                turned[i + half] = registers.shuffle(rows[i], rows[i + half], lower)
        rows, half = turned, 2 * half
    return rows


def transpose_past(source: Floats, step: int, target: Floats, stride: int, size: int) -> None:
    """`transpose`, of rows that are lines of the cache in the target, as vectors are: written past the caches."""
    transpose(source, step, target, stride, size)


@cache
def _turn(each: int, past_caches: bool) -> Callable[..., None]:
    """Of groups of so many numbers. `count` may be None: whole rows."""

    @intrinsic  # type: ignore[untyped-decorator]
    def turn(context: Any, source: Any, step: Any, target: Any, stride: Any, count: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            registers = Registers(context, builder, signature.args[0].dtype)
            source, target = (data(context, builder, signature, arguments, i) for i in (0, 2))
            mask, some = None, registers.vector.count // each
            if isinstance(count, types.Integer):
                mask = registers.first(arguments[4])
            rows = [registers.load(source, i) for i in registers.apart(arguments[1])[:some]]
            places = registers.apart(arguments[3])[:some]
            for place, values in zip(places, _turned(registers, rows, each), strict=True):
                registers.store(values, target, place, mask, past_caches)
            return context.get_dummy_value()

        return types.void(source, step, target, stride, count), generate

    turn.__name__ = f"turn_{each}_past_{past_caches}"
    return turn  # type: ignore[no-any-return]


turn_1, turn_past = _turn(1, False), _turn(1, True)
turn_2, turn_4 = _turn(2, False), _turn(4, False)


@overload(transpose)
def _transpose(source: Any, step: Any, target: Any, stride: Any, size: Any, count: Any = None) -> Any:
    def run(source: Any, step: Any, target: Any, stride: Any, size: Any, count: Any = None) -> None:
        turn_1(source, step, target, stride, count)

    return run


@overload(transpose_past)
def _transpose_past(source: Any, step: Any, target: Any, stride: Any, size: Any) -> Any:
    def run(source: Any, step: Any, target: Any, stride: Any, size: Any) -> None:
        turn_past(source, step, target, stride, None)

    return run


def transpose_groups(source: Floats, step: int, target: Floats, stride: int, each: int, size: int) -> None:
    """target[j · stride + i · each + k] = source[i · step + j · each + k] for i, j < size // each and k < each, which
    is a power of two, and at most the size: `lanes`."""
    for i in range(size // each):
        for j in range(size // each):
            for k in range(each):
                target[j * stride + i * each + k] = source[i * step + j * each + k]


@overload(transpose_groups)
def _transpose_groups(source: Any, step: Any, target: Any, stride: Any, each: Any, size: Any) -> Any:
    def run(source: Any, step: Any, target: Any, stride: Any, each: Any, size: Any) -> None:
        if each == 2:
            turn_2(source, step, target, stride, None)
        else:
            turn_4(source, step, target, stride, None)

    return run


def to_lanes(
    x: Floats, start: int, step: int, places: Numbers, p: int, count: int | None, room: Floats, size: int
) -> None:
    """room[places[p + j] + i] = x[start + i · step + j] for i < size, which must be `lanes`, and j < count, which is
    less; or None, as many."""
    for j in range(size if count is None else count):
        for i in range(size):
            room[places[p + j] + i] = x[start + i * step + j]


def from_lanes(room: Floats, places: Numbers, p: int, x: Floats, start: int, step: int, size: int) -> None:
    """The way back, of whole squares: x[start + i · step + j] = room[places[p + j] + i]."""
    for j in range(size):
        for i in range(size):
            x[start + i * step + j] = room[places[p + j] + i]


@intrinsic  # type: ignore[untyped-decorator]
def _to_lanes(context: Any, x: Any, start: Any, step: Any, places: Any, p: Any, count: Any, room: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        registers = Registers(context, builder, signature.args[0].dtype)
        source, places, room = (data(context, builder, signature, arguments, i) for i in (0, 3, 6))
        x, mask = builder.gep(source, [arguments[1]]), None if count == types.none else registers.first(arguments[5])
        ahead = builder.mul(arguments[2], ir.Constant(ir.IntType(64), registers.vector.count))
        for i in registers.apart(arguments[2]):
            ask_for(builder, x, builder.add(ahead, i), write=False)
        rows = _turned(registers, [registers.load(x, i, mask) for i in registers.apart(arguments[2])])
        for j, values in enumerate(rows):
            needed = ir.Constant(ir.IntType(1), True) if mask is None else builder.icmp_signed(
                "<", ir.Constant(arguments[5].type, j), arguments[5])
            with builder.if_then(needed):
                registers.store(values, room, registers.listed(places, arguments[4], j))
        return context.get_dummy_value()

    return types.void(x, start, step, places, p, count, room), generate


@intrinsic  # type: ignore[untyped-decorator]
def _from_lanes(context: Any, room: Any, places: Any, p: Any, x: Any, start: Any, step: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        registers = Registers(context, builder, signature.args[0].dtype)
        room, places, target = (data(context, builder, signature, arguments, i) for i in (0, 1, 3))
        x, first = builder.gep(target, [arguments[4]]), arguments[2]
        rows = [registers.load(room, registers.listed(places, first, j)) for j in range(registers.vector.count)]
        ahead = builder.mul(arguments[5], ir.Constant(ir.IntType(64), registers.vector.count))
        for i in registers.apart(arguments[5]):
            ask_for(builder, x, builder.add(ahead, i), write=True)
        for place, values in zip(registers.apart(arguments[5]), _turned(registers, rows), strict=True):
            registers.store(values, x, place)
        return context.get_dummy_value()

    return types.void(room, places, p, x, start, step), generate


@overload(to_lanes)
def _to(x: Any, start: Any, step: Any, places: Any, p: Any, count: Any, room: Any, size: Any) -> Any:
    def run(x: Any, start: Any, step: Any, places: Any, p: Any, count: Any, room: Any, size: Any) -> None:
        _to_lanes(x, start, step, places, p, count, room)

    return run


@overload(from_lanes)
def _from(room: Any, places: Any, p: Any, x: Any, start: Any, step: Any, size: Any) -> Any:
    def run(room: Any, places: Any, p: Any, x: Any, start: Any, step: Any, size: Any) -> None:
        _from_lanes(room, places, p, x, start, step)

    return run


def will_read(x: Floats, start: int, count: int) -> None:
    """x[start : start + count] is needed soon: have it brought from memory to the cache meanwhile. Nothing else.

    A processor guesses by itself what comes next, as long as it is what comes next in memory; rows of an image's
    channels lie far apart. The place may be outside of x.
    """


def before_line(x: Floats) -> int:
    """How many numbers of x come before a line of the cache begins."""
    return int(-x.ctypes.data % LINE // x.itemsize)


@intrinsic  # type: ignore[untyped-decorator]
def _before_line(context: Any, x: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(64)
        address = builder.ptrtoint(data(context, builder, signature, arguments, 0), integer)
        rest = builder.and_(builder.neg(address), integer(LINE - 1))
        return builder.sdiv(rest, integer(signature.args[0].dtype.bitwidth // 8))

    return types.int64(x), generate


@overload(before_line)
def _over_before_line(x: Any) -> Any:
    def run(x: Any) -> int:
        return _before_line(x)  # type: ignore[no-any-return]

    return run


def will_write(x: Floats, start: int, count: int) -> None:
    """The same for what is going to be written."""


def _ahead(ask: Callable[..., None], write: bool) -> None:
    """`ask` in instructions."""

    @intrinsic  # type: ignore[untyped-decorator]
    def touch(context: Any, x: Any, place: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            ask_for(builder, data(context, builder, signature, arguments, 0), arguments[1], write)
            return context.get_dummy_value()

        return types.void(x, place), generate

    touch.__name__ = f"touch_{write}"

    @overload(ask)
    def _ask(x: Any, start: Any, count: Any) -> Any:
        step = LINE * 8 // x.dtype.bitwidth

        def run(x: Any, start: Any, count: Any) -> None:
            for place in range(start, start + count + step - 1, step):
                touch(x, place)

        return run


_ahead(will_read, write=False)
_ahead(will_write, write=True)
