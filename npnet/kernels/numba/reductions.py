"""Sums of rows that lie in one array, said by their places: what normalisation is made of, and average pooling with a
stride of 3 or more (`averages`).

As loops over rows, each row of sums is read and written once for every term; here the sum stays in a register while all
terms pass by. A plain loop each, with LLVM's instructions beside it, as `tile` is.
"""
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .arrays import LINE
from .compile import overload
from .tile import Registers, ask_for, data, lanes

Floats = NDArray[Any]
Numbers = NDArray[np.int64]

AHEAD = 4096  # bytes: how far ahead of what is read
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
            source, taps, total = (data(context, builder, signature, arguments, i) for i in range(3))
            registers, integer = Registers(context, builder, signature.args[0].dtype), ir.IntType(64)
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
                there = builder.add(arguments[3], place)
                if mask is None:
                    registers.store(builder.load(sum_), total, there)
                else:
                    registers.store_first(builder.load(sum_), total, there, arguments[5],
                                          builder.add(there, arguments[5]))
            return context.get_dummy_value()

        return types.void(source, taps, total, place, v, count), generate

    add.__name__ = f"add_{plain.__name__}"

    @overload(plain)
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


def _of_a_line(context: Any, builder: ir.IRBuilder, signature: Any) -> Registers:
    """As many numbers as a line of the cache, in one register or two: what is written past the caches must be whole
    lines, written at once."""
    number = signature.args[0].dtype
    return Registers(context, builder, number, LINE * 8 // number.bitwidth)


def normalise(
    a: Floats, taps: Numbers, v: int, count: int | None, alpha: float, k: float, place: int, d: Floats | None,
    b: Floats, lanes: int
) -> None:
    """d[place + j] = k + α Σ_t a[taps[t] + j]² and b = a / d^¾ there, for j from v on, as many as `lanes`, or `count`.
    Where there is no d, only b.

    Without a count, d and b must begin a vector there, and are written to memory past the caches, which would have to
    read each line before they change it: half as fast again. (What ends a kernel waits until all is written.) Asking
    ahead and an estimate of the root gained 40 % more, neither much without the other.
    """
    for j in range(v, v + (lanes if count is None else min(count, lanes))):
        total = a.dtype.type(0)
        for tap in taps:
            total += a[tap + j] ** 2
        value = k + alpha * total
        if d is not None:
            d[place + j] = value
        b[place + j] = a[place + j] / value**0.75


def _three_quarters(registers: Registers, value: Any) -> Any:
    """value^−¾, of r = value^−½: r² r^−½. Of ∞ it is 0 and of 0 it is ∞, as an estimate of r is; that is asked once, at
    the end."""
    build, (estimate, root) = registers.builder, registers.near_inverse_root(value)
    _, fourth = registers.near_inverse_root(root)
    return registers.kept_at_limits(estimate, build.fmul(build.fmul(root, root), fourth))


@intrinsic  # type: ignore[untyped-decorator]
def _normalise(
    context: Any, a: Any, taps: Any, v: Any, count: Any, alpha: Any, k: Any, place: Any, d: Any, b: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        a, taps, d, b = (data(context, builder, signature, arguments, i) for i in (0, 1, 7, 8))
        registers, integer = _of_a_line(context, builder, signature), ir.IntType(64)
        v, here = arguments[2], builder.add(arguments[6], arguments[2])
        mask = None if count == types.none else registers.first(arguments[3])
        sum_ = cgutils.alloca_once_value(builder, registers.constant(0))
        terms = context.make_array(signature.args[1])(context, builder, arguments[1]).nitems
        if mask is None:
            last = builder.load(builder.gep(taps, [builder.sub(terms, integer(1))]))
            ask_for(builder, a, builder.add(builder.add(last, v), integer(AHEAD // registers.itemsize)), write=False)
        with cgutils.for_range(builder, terms, intp=integer) as loop:
            start = builder.load(builder.gep(taps, [loop.index]))
            term = registers.load(a, builder.add(start, v), mask)
            term = builder.fmul(term, term, flags=("contract",))
            builder.store(builder.fadd(builder.load(sum_), term, flags=("contract",)), sum_)
        scaled = builder.fmul(registers.repeat(arguments[4]), builder.load(sum_), flags=("contract",))
        denominator = builder.fadd(registers.repeat(arguments[5]), scaled, flags=("contract",))
        if d:
            registers.store(denominator, d, here, mask, past_caches=mask is None)
        power = _three_quarters(registers, denominator)
        registers.store(
            builder.fmul(registers.load(a, here, mask), power), b, here, mask, past_caches=mask is None)
        return context.get_dummy_value()

    return types.void(a, taps, v, count, alpha, k, place, d, b), generate


@overload(normalise, inline="always")
def _normalise_vector(
    a: Any, taps: Any, v: Any, count: Any, alpha: Any, k: Any, place: Any, d: Any, b: Any, lanes: Any
) -> Any:
    def run(
        a: Any, taps: Any, v: Any, count: Any, alpha: Any, k: Any, place: Any, d: Any, b: Any, lanes: Any
    ) -> None:
        _normalise(a, taps, v, count, alpha, k, place, d, b)

    return run


def divide(a: Floats, d: Floats, place: int, count: int | None, alpha: float, k: float, b: Floats, lanes: int) -> None:
    """d[place + j] = k + α d[place + j] and b = a / d^¾ there, for j < count, `lanes` of them at most, or all of these:
    `normalise` of sums that have been made."""
    for j in range(place, place + (lanes if count is None else min(count, lanes))):
        d[j] = k + alpha * d[j]
        b[j] = a[j] / d[j] ** 0.75


@intrinsic  # type: ignore[untyped-decorator]
def _divide(context: Any, a: Any, d: Any, place: Any, count: Any, alpha: Any, k: Any, b: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        a, d, b = (data(context, builder, signature, arguments, i) for i in (0, 1, 6))
        place, count, alpha, k = (arguments[i] for i in (2, 3, 4, 5))
        registers = _of_a_line(context, builder, signature)
        mask = None if signature.args[3] == types.none else registers.first(count)
        scaled = builder.fmul(registers.repeat(alpha), registers.load(d, place, mask), flags=("contract",))
        denominator = builder.fadd(registers.repeat(k), scaled, flags=("contract",))
        registers.store(denominator, d, place, mask)
        power = _three_quarters(registers, denominator)
        registers.store(builder.fmul(registers.load(a, place, mask), power), b, place, mask)
        return context.get_dummy_value()

    return types.void(a, d, place, count, alpha, k, b), generate


@overload(divide, inline="always")
def _divide_vector(a: Any, d: Any, place: Any, count: Any, alpha: Any, k: Any, b: Any, lanes: Any) -> Any:
    def run(a: Any, d: Any, place: Any, count: Any, alpha: Any, k: Any, b: Any, lanes: Any) -> None:
        _divide(a, d, place, count, alpha, k, b)

    return run


def share_out(
    db: Floats, b: Floats, d: Floats, start: int, count: int | None, shares: Floats, place: int, lanes: int
) -> None:
    """shares[place + j] = db b / d at start + j, for j < count, `lanes` of them at most, or all of these. On the way
    back, what a channel passes on to those in its window."""
    for j in range(lanes if count is None else min(count, lanes)):
        shares[place + j] = db[start + j] * b[start + j] / d[start + j]


@intrinsic  # type: ignore[untyped-decorator]
def _share_out(
    context: Any, db: Any, b: Any, d: Any, start: Any, count: Any, shares: Any, place: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        db, b, d, shares = (data(context, builder, signature, arguments, i) for i in (0, 1, 2, 5))
        start, count, place = (arguments[i] for i in (3, 4, 6))
        registers, integer = _of_a_line(context, builder, signature), ir.IntType(64)
        for x in (db, b, d):
            ask_for(builder, x, builder.add(start, integer(AHEAD // registers.itemsize)), write=False)
        mask = None if signature.args[4] == types.none else registers.first(count)
        product = builder.fmul(registers.load(db, start, mask), registers.load(b, start, mask))
        root = registers.inverse_root(registers.load(d, start, mask, 1))
        registers.store(builder.fmul(product, builder.fmul(root, root)), shares, place, mask)
        return context.get_dummy_value()

    return types.void(db, b, d, start, count, shares, place), generate


@overload(share_out, inline="always")
def _share_out_vector(
    db: Any, b: Any, d: Any, start: Any, count: Any, shares: Any, place: Any, lanes: Any
) -> Any:
    def run(db: Any, b: Any, d: Any, start: Any, count: Any, shares: Any, place: Any, lanes: Any) -> None:
        _share_out(db, b, d, start, count, shares, place)

    return run


def take_shares(
    db: Floats, a: Floats, d: Floats, start: int, count: int | None, shares: Floats, taps: Numbers, v: int,
    factor: float, rectified: bool, da: Floats, lanes: int
) -> None:
    """da = db / d^¾ − factor · a Σ_t shares[taps[t] + v + j] at start + j, for as many; or, without a count, for
    `lanes`, and da as `normalise` writes it. With `rectified`, 0 where a is not greater than 0."""
    for j in range(lanes if count is None else min(count, lanes)):
        total = a.dtype.type(0)
        for tap in taps:
            total += shares[tap + v + j]
        value = db[start + j] / d[start + j] ** 0.75 - factor * a[start + j] * total
        da[start + j] = value if a[start + j] > 0 or not rectified else 0


@intrinsic  # type: ignore[untyped-decorator]
def _take_shares(
    context: Any, db: Any, a: Any, d: Any, start: Any, count: Any, shares: Any, taps: Any, v: Any, factor: Any,
    rectified: Any, da: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        db, a, d, shares, taps, da = (data(context, builder, signature, arguments, i) for i in (0, 1, 2, 5, 6, 10))
        start, count, v, factor = (arguments[i] for i in (3, 4, 7, 8))
        rectified = context.cast(builder, arguments[9], signature.args[9], types.boolean)
        registers, integer = _of_a_line(context, builder, signature), ir.IntType(64)
        ask_for(builder, a, builder.add(start, integer(AHEAD // registers.itemsize)), write=False)
        mask = None if signature.args[4] == types.none else registers.first(count)
        sum_ = cgutils.alloca_once_value(builder, registers.constant(0))
        terms = context.make_array(signature.args[6])(context, builder, arguments[6]).nitems
        with cgutils.for_range(builder, terms, intp=integer) as loop:
            tap = builder.load(builder.gep(taps, [loop.index]))
            term = registers.load(shares, builder.add(tap, v), mask)
            builder.store(builder.fadd(builder.load(sum_), term), sum_)
        power = _three_quarters(registers, registers.load(d, start, mask, 1))
        a_here, zero = registers.load(a, start, mask), registers.constant(0)
        passed = builder.fmul(builder.fmul(registers.repeat(factor), a_here), builder.load(sum_))
        result = builder.fsub(builder.fmul(registers.load(db, start, mask), power), passed)
        passes = builder.or_(builder.fcmp_ordered(">", a_here, zero), registers.repeat(builder.not_(rectified)))
        result = builder.select(passes, result, zero)
        if mask is None:
            registers.store(result, da, start, past_caches=True)
        else:
            registers.store_first(result, da, start, count, builder.add(start, count))
        return context.get_dummy_value()

    return types.void(db, a, d, start, count, shares, taps, v, factor, rectified, da), generate


@overload(take_shares, inline="always")
def _take_shares_vector(
    db: Any, a: Any, d: Any, start: Any, count: Any, shares: Any, taps: Any, v: Any, factor: Any, rectified: Any,
    da: Any, lanes: Any
) -> Any:
    def run(
        db: Any, a: Any, d: Any, start: Any, count: Any, shares: Any, taps: Any, v: Any, factor: Any, rectified: Any,
        da: Any, lanes: Any
    ) -> None:
        _take_shares(db, a, d, start, count, shares, taps, v, factor, rectified, da)

    return run
