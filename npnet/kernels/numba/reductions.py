"""Sums and maxima of rows that lie in one array, said by their places: what pooling and normalisation are made of.

As loops over rows, each row of sums is read and written once for every term; here the sum, or the best so far, stays in
a register while all terms pass by. A plain loop each, with LLVM's instructions beside it, as `tile` is.
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


def largest(source: Floats, taps: Numbers, names: Floats, best: Floats, which: Floats, count: int) -> None:
    """best[v] = the largest of source[taps[k] + v] over k, or NaN, and which[v] = names[k] for v < count, a multiple of
    `lanes`. Of equal ones the first, and of NaN.

    Whole groups of TOGETHER vectors are written, so there must be room for them. With a loop over rows for each step,
    max pooling took 15 % longer.
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
        registers = Registers(context, builder, signature.args[0].dtype)
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
