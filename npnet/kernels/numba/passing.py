"""Pooling's way back, for one vector of windows at a time: what the windows that see a pixel pass on to it.

Every pixel looks which of those windows name it, in place of windows adding to their pixels: no addition waits for
another. Plain loops with LLVM's instructions beside them for stride 1, as in `sweeps`; stride 2 is in `by_two`.
"""
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compile import overload, serial
from .sweeps import SOON, Floats, Kind, Places, Vectors
from .tile import Registers, ask_for, data


def passed_back(
    dy: Floats, argmax: Places | None, at: int, rows: int, reach: int, wide: int, count: int, size: int, stride: int,
    v: int, row: int, pad: int, limit: int, dx: Floats, place: int, end: int, lanes: int, kind: Kind
) -> None:
    """dx[place + t] = Σ dy of the windows that name pixel t, or without argmax of those that see it, for
    t = j · stride + f, j from v on, as many as `lanes`, f < stride; only where 0 ≤ t − pad < limit.

    Those windows are at + j − d − k · wide, for k < rows and d · stride + f < size, and only if
    0 ≤ j − d − k · reach < count. It is in row `row` + k · stride of them, and in column d · stride + f.

    Whole vectors may be written of dx before `end`: what lies behind is to be written later.
    """
    for j in range(v, v + lanes):
        for f in range(stride):
            t, total = j * stride + f, dy.dtype.type(0)
            if 0 <= t - pad < limit:
                for k in range(rows):
                    for d in range(-(-(size - f) // stride)):
                        window, here = at + j - d - k * wide, (row + k * stride) * size + d * stride + f
                        if 0 <= j - d - k * reach < count and (argmax is None or argmax[window] == here):
                            total += dy[window]
                dx[place + t] = total


@intrinsic  # type: ignore[untyped-decorator]
def _passed_back(
    context: Any, dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, v: Any,
    row: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        dy, argmax, dx = (data(context, builder, signature, arguments, i) for i in (0, 1, 12))
        at, rows, reach, wide, count, size, v, row, pad, limit, place, end = (
            arguments[i] for i in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14))
        vectors, integer = Vectors(context, builder, signature.args[0].dtype), ir.IntType(64)
        numbers, lanes = vectors.numbers, vectors.lanes
        start, here = builder.add(place, v), builder.add(at, v)
        farthest = builder.sub(rows, integer(1)), builder.sub(size, integer(1))
        ask_for(builder, dx, builder.add(start, integer(SOON // numbers.itemsize)), write=True)
        if argmax:
            small = Registers(context, builder, signature.args[1].dtype, lanes)
            windows = context.make_array(signature.args[1])(context, builder, arguments[1]).nitems
            before = builder.add(builder.mul(farthest[0], wide), farthest[1])
            all_there = builder.and_(
                builder.icmp_signed("<=", before, here),
                builder.icmp_signed("<=", builder.add(here, integer(lanes)), windows))
            ask_for(builder, dy, builder.add(here, integer(2 * SOON // numbers.itemsize)), write=False)
        along = builder.add(
            vectors.places.constant(list(range(lanes))), vectors.places.repeat(vectors.place(v)))
        sum_ = cgutils.alloca_once_value(builder, numbers.constant(0))

        def add_windows(all_inside: bool) -> None:
            with cgutils.for_range(builder, rows, intp=integer) as loop:
                k = loop.index
                back = builder.mul(k, reach)
                with cgutils.for_range(builder, size, intp=integer) as tap:
                    window = builder.sub(builder.sub(here, builder.mul(k, wide)), tap.index)
                    mask = None if all_inside else vectors.within(
                        builder.sub(along, vectors.places.repeat(vectors.place(builder.add(back, tap.index)))), count)
                    terms, counts = numbers.load(dy, window, mask), mask
                    if argmax:
                        largest = small.load(argmax, window) if all_inside else small.load_some(
                            argmax, window, mask, all_there, windows)
                        if small.itemsize < 4:
                            largest = builder.zext(largest, vectors.places.vector)
                        named = builder.add(builder.mul(builder.add(row, k), size), tap.index)
                        # a window that is not inside adds 0
                        counts = builder.icmp_signed("==", largest, vectors.places.repeat(vectors.place(named)))
                    builder.store(numbers.added(builder.load(sum_), terms, counts), sum_)

        if argmax:
            inside = builder.and_(
                builder.icmp_signed("<=", builder.add(builder.mul(farthest[0], reach), farthest[1]), v),
                builder.icmp_signed("<=", builder.add(v, integer(lanes)), count))
            with builder.if_else(inside) as (all_of_them, some_of_them):
                with all_of_them:  # most of them, and without masks they are 15 % faster
                    add_windows(all_inside=True)
                with some_of_them:
                    add_windows(all_inside=False)
        else:
            add_windows(all_inside=False)
        first, last = builder.sub(pad, v), builder.sub(builder.add(limit, pad), v)
        numbers.store_from(builder.load(sum_), dx, start, first, last, end)
        return context.get_dummy_value()

    return types.void(dy, argmax, at, rows, reach, wide, count, size, v, row, pad, limit, dx, place, end), generate


@overload(passed_back, inline="always")
def _over_passed_back(
    dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, stride: Any, v: Any,
    row: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any, kind: Any
) -> Any:
    def plainly(
        dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, stride: Any, v: Any,
        row: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any, kind: Any
    ) -> None:
        plain_back(
            dy, argmax, at, rows, reach, wide, count, size, stride, v, row, pad, limit, dx, place, end, lanes, kind)

    def in_vectors(
        dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, stride: Any, v: Any,
        row: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any, kind: Any
    ) -> None:
        _passed_back(dy, argmax, at, rows, reach, wide, count, size, v, row, pad, limit, dx, place, end)

    return in_vectors if kind.count else plainly


plain_back = serial(passed_back)
