"""Sums of rows that lie in one array, said by their places: what average pooling and normalisation are made of.

As loops over rows, each row of sums is read and written once for every term; here the sum stays in a register while all
terms pass by. A plain loop each, with LLVM's instructions beside it, as `tile` is.
"""
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from .tile import Registers, lanes

Floats = NDArray[Any]
Numbers = NDArray[np.int64]

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


def normalise(
    a: Floats, taps: Numbers, v: int, count: int | None, alpha: float, k: float, place: int, d: Floats, b: Floats,
    lanes: int
) -> None:
    """d[place + j] = k + α Σ_t a[taps[t] + j]² and b = a / d^¾ there, for j from v on, as many as `lanes`, or `count`.

    Without a count, d and b must begin a vector there, and are written to memory past the caches, which would have to
    read each line before they change it: half as fast again. (What ends a kernel waits until all is written.)
    """
    for j in range(v, v + (lanes if count is None else min(count, lanes))):
        total = a.dtype.type(0)
        for tap in taps:
            total += a[tap + j] ** 2
        d[place + j] = k + alpha * total
        b[place + j] = a[place + j] / d[place + j] ** 0.75


@intrinsic  # type: ignore[untyped-decorator]
def _normalise(
    context: Any, a: Any, taps: Any, v: Any, count: Any, alpha: Any, k: Any, place: Any, d: Any, b: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        a, taps, d, b = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 1, 7, 8))
        registers, integer = Registers(context, builder, signature.args[0].dtype), ir.IntType(64)
        v, here = arguments[2], builder.add(arguments[6], arguments[2])
        mask = None if count == types.none else registers.first(arguments[3])
        sum_ = cgutils.alloca_once_value(builder, registers.constant(0))
        terms = context.make_array(signature.args[1])(context, builder, arguments[1]).nitems
        with cgutils.for_range(builder, terms, intp=integer) as loop:
            start = builder.load(builder.gep(taps, [loop.index]))
            term = registers.load(a, builder.add(start, v), mask)
            term = builder.fmul(term, term, flags=("contract",))
            builder.store(builder.fadd(builder.load(sum_), term, flags=("contract",)), sum_)
        scaled = builder.fmul(registers.repeat(arguments[4]), builder.load(sum_), flags=("contract",))
        denominator = builder.fadd(registers.repeat(arguments[5]), scaled, flags=("contract",))
        fourth = registers.root(registers.root(denominator))
        registers.store(denominator, d, here, mask, past_caches=mask is None)
        quotient = builder.fdiv(fourth, denominator)
        registers.store(
            builder.fmul(registers.load(a, here, mask), quotient), b, here, mask, past_caches=mask is None)
        return context.get_dummy_value()

    return types.void(a, taps, v, count, alpha, k, place, d, b), generate


@overload(normalise, inline="always")  # type: ignore[untyped-decorator]
def _normalise_vector(
    a: Any, taps: Any, v: Any, count: Any, alpha: Any, k: Any, place: Any, d: Any, b: Any, lanes: Any
) -> Any:
    def run(
        a: Any, taps: Any, v: Any, count: Any, alpha: Any, k: Any, place: Any, d: Any, b: Any, lanes: Any
    ) -> None:
        _normalise(a, taps, v, count, alpha, k, place, d, b)

    return run
