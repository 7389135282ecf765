"""Pooling's way back, for one vector of windows at a time: what the windows that see a pixel pass on to it.

Every pixel looks which of those windows name it, in place of windows adding to their pixels: no addition waits for
another. Plain loops with LLVM's instructions beside them, as in `sweeps`.
"""
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from .arrays import LINE
from .compile import serial
from .sweeps import SOON, STRIDES, Floats, Kind, Places, Vectors
from .tile import BYTES, Registers, ask_for, data


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


def passed_back_pair(
    dy: Floats, argmax: Places | None, at: int, rows: int, row: int, other_at: int, other_rows: int, other_row: int,
    wide: int, size: int, stride: int, pad: int, limit: int, dx: Floats, place: int, end: int, lanes: int
) -> None:
    """The same for two rows of `limit` pixels, if half a vector holds the windows of one."""
    for r, (last, many, here) in enumerate(((at, rows, row), (other_at, other_rows, other_row))):
        passed_back(dy, argmax, last, many, 0, wide, wide, size, stride, 0, here, pad, limit, dx, place + r * limit,
                    end, lanes, (0,) * stride)


@cache
def _back(stride: int) -> Callable[..., None]:
    @intrinsic  # type: ignore[untyped-decorator]
    def back(
        context: Any, dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, v: Any,
        row: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any
    ) -> Any:
        """at, rows, row and place : one number each, or those of two rows of pixels."""
        return types.void(
            dy, argmax, at, rows, reach, wide, count, size, v, row, pad, limit, dx, place, end), generate

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        dy, argmax, dx = (data(context, builder, signature, arguments, i) for i in (0, 1, 12))
        reach, wide, count, size, v, pad, limit, end = (arguments[i] for i in (4, 5, 6, 7, 8, 10, 11, 14))
        pair = isinstance(signature.args[2], types.BaseTuple)
        at, rows, in_row, place = (
            cgutils.unpack_tuple(builder, arguments[i]) if pair else [arguments[i]] for i in (2, 3, 9, 13))
        vectors, integer = Vectors(context, builder, signature.args[0].dtype), ir.IntType(64)
        number, parts = signature.args[0].dtype.bitwidth // 8, len(at)
        lanes = vectors.lanes // parts  # of each part
        few = Registers(context, builder, signature.args[0].dtype, lanes)

        def of_each(values: list[Any]) -> Any:
            """A vector whose parts are alike in this: one number each."""
            one, other = vectors.places.repeat(values[0]), vectors.places.repeat(values[-1])
            return one if parts == 1 else vectors.places.shuffle(one, other, range(lanes, 3 * lanes))

        def load(registers: Registers, start: Any, windows: list[Any], mask: Any) -> Any:
            """Of dy or argmax what is there; 0 where a gradient is not, for a place anything."""
            values = []
            for i, window in enumerate(windows):
                part = None if mask is None else few.shuffle(mask, mask, range(i * lanes, (i + 1) * lanes))
                if part is None or registers is few:
                    values.append(registers.load(start, window, part))
                else:
                    values.append(registers.load_some(start, window, part, all_there, windows_in_all))
            return values[0] if parts == 1 else few.shuffle(values[0], values[1], range(2 * lanes))

        def added(before: Any, terms: Any, mask: Any) -> Any:
            """With AVX-512, an addition has a mask itself. Else what counts is chosen before: additions wait for each
            other, and need not for the choice."""
            if BYTES == 64:
                return builder.select(mask, builder.fadd(before, terms), before)
            return builder.fadd(before, builder.select(mask, terms, vectors.numbers.constant(0)))

        skipped = builder.mul(v, integer(stride))
        taps = builder.sdiv(builder.add(size, integer(stride - 1)), integer(stride))
        most = builder.select(builder.icmp_signed(">", rows[0], rows[-1]), rows[0], rows[-1])
        places, heres = [builder.add(x, skipped) for x in place], [builder.add(x, v) for x in at]
        for i in range(max(1, stride * BYTES // LINE)):
            ask_for(builder, dx, builder.add(places[0], integer((SOON + i * LINE) // number)), write=True)
        if argmax:
            small = Registers(context, builder, signature.args[1].dtype, lanes)
            windows_in_all = context.make_array(signature.args[1])(context, builder, arguments[1]).nitems
            all_there = ir.Constant(ir.IntType(1), 1)
            before = builder.add(builder.mul(builder.sub(most, integer(1)), wide), builder.sub(taps, integer(1)))
            for here in heres:
                for there in (builder.icmp_signed("<=", before, here), builder.icmp_signed(
                        "<=", builder.add(here, integer(lanes)), windows_in_all)):
                    all_there = builder.and_(all_there, there)
            ask_for(builder, dy, builder.add(heres[0], integer(2 * SOON // number)), write=False)
        along = vectors.places.constant([i % lanes for i in range(vectors.lanes)])
        along = builder.add(along, vectors.places.repeat(vectors.place(v)))
        sums = [cgutils.alloca_once_value(builder, vectors.numbers.constant(0)) for _ in range(stride)]

        def add_windows(all_inside: bool) -> None:
            with cgutils.for_range(builder, most, intp=integer) as row:
                back = builder.mul(row.index, reach)
                starts = [builder.sub(here, builder.mul(row.index, wide)) for here in heres]
                with cgutils.for_range(builder, taps, intp=integer) as tap:
                    windows, mask = [builder.sub(start, tap.index) for start in starts], None
                    if not all_inside:
                        there = builder.sub(along, vectors.places.repeat(vectors.place(builder.add(back, tap.index))))
                        mask = vectors.within(there, count)
                    if pair:
                        left = [vectors.place(builder.sub(many, row.index)) for many in rows]
                        mask = builder.and_(
                            mask, builder.icmp_signed(">", of_each(left), vectors.places.constant(0)))
                    terms, column = load(few, dy, windows, mask), builder.mul(tap.index, integer(stride))
                    if argmax:
                        largest = load(small, argmax, windows, mask)
                        if small.itemsize < 4:
                            largest = builder.zext(largest, vectors.places.vector)
                        before = builder.mul(row.index, integer(stride))
                        here = of_each([vectors.place(builder.add(
                            builder.mul(builder.add(one, before), size), column)) for one in in_row])
                    for f, sum_ in enumerate(sums):
                        counts = mask
                        if argmax:  # a window that is not inside adds 0
                            counts = builder.icmp_signed("==", largest, builder.add(here, vectors.places.constant(f)))
                        if f:  # the window may have ended
                            enough = builder.icmp_signed("<", builder.add(column, integer(f)), size)
                            counts = builder.and_(counts, vectors.numbers.repeat(enough))
                        builder.store(added(builder.load(sum_), terms, counts), sum_)

        if argmax and stride == 1:
            farthest = builder.add(builder.mul(builder.sub(most, integer(1)), reach), builder.sub(taps, integer(1)))
            inside = builder.and_(
                builder.icmp_signed("<=", farthest, v),
                builder.icmp_signed("<=", builder.add(v, integer(lanes)), count))
            with builder.if_else(inside) as (all_of_them, some_of_them):
                with all_of_them:  # most of them, and without masks they are 15 % faster
                    add_windows(all_inside=True)
                with some_of_them:
                    add_windows(all_inside=False)
        else:
            add_windows(all_inside=False)
        results = [builder.load(sum_) for sum_ in sums]
        if stride == 2:  # side by side again
            orders = [[i * vectors.lanes // 2 + j // 2 + j % 2 * vectors.lanes for j in range(vectors.lanes)]
                      for i in range(2)]
            results = [vectors.numbers.shuffle(results[0], results[1], order) for order in orders]
        begun, ended = builder.sub(pad, skipped), builder.sub(builder.add(limit, pad), skipped)
        for i, values in enumerate(results):
            part = integer(0 if pair else i * vectors.lanes)
            there = places[i] if pair else builder.add(places[0], part)
            first_one, last_one = (builder.sub(edge, part) for edge in (begun, ended))
            vectors.numbers.store_from(values, dx, there, first_one, last_one, end)
        return context.get_dummy_value()

    back.__name__ = f"passed_back_{stride}"
    return back  # type: ignore[no-any-return]


@overload(passed_back, inline="always")  # type: ignore[untyped-decorator]
def _passed_back(
    dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, stride: Any, v: Any,
    row: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any, kind: Any
) -> Any:
    def plainly(
        dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, stride: Any, v: Any,
        row: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any, kind: Any
    ) -> None:
        plain_back(
            dy, argmax, at, rows, reach, wide, count, size, stride, v, row, pad, limit, dx, place, end, lanes, kind)

    if kind.count not in STRIDES:
        return plainly
    back = _back(kind.count)

    def in_vectors(
        dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, stride: Any, v: Any,
        row: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any, kind: Any
    ) -> None:
        back(dy, argmax, at, rows, reach, wide, count, size, v, row, pad, limit, dx, place, end)

    return in_vectors


@overload(passed_back_pair, inline="always")  # type: ignore[untyped-decorator]
def _passed_back_pair(
    dy: Any, argmax: Any, at: Any, rows: Any, row: Any, other_at: Any, other_rows: Any, other_row: Any, wide: Any,
    size: Any, stride: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any
) -> Any:
    back = _back(2)

    def in_vectors(
        dy: Any, argmax: Any, at: Any, rows: Any, row: Any, other_at: Any, other_rows: Any, other_row: Any,
        wide: Any, size: Any, stride: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any
    ) -> None:
        back(dy, argmax, (at, other_at), (rows, other_rows), 0, wide, wide, size, 0, (row, other_row), pad, limit, dx,
             (place, place + limit), end)

    return in_vectors


plain_back = serial(passed_back)
