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

from .compile import serial
from .sweeps import SOON, STRIDES, Floats, Places, Vectors
from .tile import Registers, ask_for, data

NOWHERE = -(2**31)  # the number of no pixel, not even of one in the margin: those are negative too


def passed_back(
    dy: Floats, argmax: Places | None, at: int, rows: int, reach: int, wide: int, count: int, size: int, stride: int,
    v: int, first: int, pixels: int, pad: int, limit: int, dx: Floats, place: int, end: int, lanes: int
) -> None:
    """dx[place + t] = Σ dy of the windows whose largest is pixel first + t, or without argmax of those that see it, for
    t = j · stride + f, j from v on, as many as `lanes`, f < stride; only where 0 ≤ t − pad < limit. With a stride of 1,
    pixel `pixels` is the first of the next map.

    Those windows are at + j − d − k · wide, for k < rows and d · stride + f < size, and only if
    0 ≤ j − d − k · reach < count.

    Whole vectors may be written of dx before `end`: what lies behind is to be written later.
    """
    for j in range(v, v + lanes):
        for f in range(stride):
            t, total = j * stride + f, dy.dtype.type(0)
            here = first + t - (pixels if first + t >= pixels else 0)
            if 0 <= t - pad < limit:
                for k in range(rows):
                    for d in range(-(-(size - f) // stride)):
                        window = at + j - d - k * wide
                        if 0 <= j - d - k * reach < count and (argmax is None or argmax[window] == here):
                            total += dy[window]
                dx[place + t] = total


def passed_back_pair(
    dy: Floats, argmax: Places | None, at: int, rows: int, other_at: int, other_rows: int, wide: int, size: int,
    stride: int, first: int, pad: int, limit: int, dx: Floats, place: int, end: int, lanes: int
) -> None:
    """The same for two rows of `limit` pixels, if half a vector holds the windows of one."""
    for r, (last, many) in enumerate(((at, rows), (other_at, other_rows))):
        passed_back(dy, argmax, last, many, 0, wide, wide, size, stride, 0, first + r * limit, first + 2 * limit + pad,
                    pad, limit, dx, place + r * limit, end, lanes)


@cache
def _back(stride: int) -> Callable[..., None]:
    @intrinsic  # type: ignore[untyped-decorator]
    def back(
        context: Any, dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, v: Any,
        first: Any, pixels: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any
    ) -> Any:
        """at, rows, first and place : one number each, or those of two rows of pixels."""
        return types.void(
            dy, argmax, at, rows, reach, wide, count, size, v, first, pixels, pad, limit, dx, place, end), generate

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        dy, argmax, dx = (data(context, builder, signature, arguments, i) for i in (0, 1, 13))
        reach, wide, count, size, v, map_size, pad, limit, end = (
            arguments[i] for i in (4, 5, 6, 7, 8, 10, 11, 12, 15))
        pair = isinstance(signature.args[2], types.BaseTuple)
        at, rows, first, place = (
            cgutils.unpack_tuple(builder, arguments[i]) if pair else [arguments[i]] for i in (2, 3, 9, 14))
        vectors, integer = Vectors(context, builder, signature.args[0].dtype), ir.IntType(64)
        number, parts = signature.args[0].dtype.bitwidth // 8, len(at)
        lanes = vectors.lanes // parts  # of each part
        few, few_places = (Registers(context, builder, kind, lanes) for kind in (signature.args[0].dtype, types.int32))

        def of_each(values: list[Any]) -> Any:
            """A vector whose parts are alike in this: one number each."""
            one, other = vectors.places.repeat(values[0]), vectors.places.repeat(values[-1])
            return one if parts == 1 else vectors.places.shuffle(one, other, range(lanes, 3 * lanes))

        def load(registers: Registers, start: Any, windows: list[Any], mask: Any, other: float) -> Any:
            values = [
                registers.load(start, window, registers.shuffle(mask, mask, range(i * lanes, (i + 1) * lanes)), other)
                for i, window in enumerate(windows)]
            return values[0] if parts == 1 else registers.shuffle(values[0], values[1], range(2 * lanes))

        skipped = builder.mul(v, integer(stride))
        places, heres = [builder.add(x, skipped) for x in place], [builder.add(x, v) for x in at]
        for i in range(stride):
            ask_for(builder, dx, builder.add(places[0], integer((SOON + i * 64) // number)), write=True)
        for read, itemsize in ((dy, number), (argmax, 4)) if argmax else ():
            ask_for(builder, read, builder.add(heres[0], integer(2 * SOON // itemsize)), write=False)
        steps = vectors.places.constant([stride * (i % lanes) for i in range(vectors.lanes)])
        begin = builder.add(steps, of_each([vectors.place(builder.add(x, skipped)) for x in first]))
        if stride == 1:  # else a row is in one map
            map_size = vectors.places.repeat(vectors.place(map_size))
            begin = builder.select(builder.icmp_signed(">=", begin, map_size), builder.sub(begin, map_size), begin)
        pixels = [builder.add(begin, vectors.places.constant(f)) for f in range(stride)]
        along = vectors.places.constant([i % lanes for i in range(vectors.lanes)])
        along = builder.add(along, vectors.places.repeat(vectors.place(v)))
        sums = [cgutils.alloca_once_value(builder, vectors.numbers.constant(0)) for _ in range(stride)]
        taps = builder.sdiv(builder.add(size, integer(stride - 1)), integer(stride))
        most = builder.select(builder.icmp_signed(">", rows[0], rows[-1]), rows[0], rows[-1])
        with cgutils.for_range(builder, most, intp=integer) as row:
            back = builder.mul(row.index, reach)
            starts = [builder.sub(here, builder.mul(row.index, wide)) for here in heres]
            with cgutils.for_range(builder, taps, intp=integer) as tap:
                windows = [builder.sub(start, tap.index) for start in starts]
                there = builder.sub(along, vectors.places.repeat(vectors.place(builder.add(back, tap.index))))
                mask = vectors.within(there, count)
                if pair:
                    left = [vectors.place(builder.sub(many, row.index)) for many in rows]
                    mask = builder.and_(
                        mask, builder.icmp_signed(">", of_each(left), vectors.places.constant(0)))
                terms, inside = load(few, dy, windows, mask, 0), mask
                largest = load(few_places, argmax, windows, mask, NOWHERE) if argmax else None
                for f, (sum_, pixel) in enumerate(zip(sums, pixels, strict=True)):
                    mask = builder.icmp_signed("==", largest, pixel) if argmax else inside
                    if f:  # the window may have ended
                        enough = builder.icmp_signed(
                            "<", builder.add(builder.mul(tap.index, integer(stride)), integer(f)), size)
                        mask = builder.and_(mask, vectors.numbers.repeat(enough))
                    sum_before = builder.load(sum_)
                    builder.store(builder.select(mask, builder.fadd(sum_before, terms), sum_before), sum_)
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


back_1, back_2 = (_back(stride) for stride in STRIDES)


@overload(passed_back, inline="always")  # type: ignore[untyped-decorator]
def _passed_back(
    dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, stride: Any, v: Any,
    first: Any, pixels: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any
) -> Any:
    def choose(
        dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, stride: Any, v: Any,
        first: Any, pixels: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any
    ) -> None:
        if stride == 1 and size == 3:
            back_1(dy, argmax, at, rows, reach, wide, count, 3, v, first, pixels, pad, limit, dx, place, end)
        elif stride == 1:
            back_1(dy, argmax, at, rows, reach, wide, count, size, v, first, pixels, pad, limit, dx, place, end)
        elif stride == 2 and size == 3:
            back_2(dy, argmax, at, rows, reach, wide, count, 3, v, first, pixels, pad, limit, dx, place, end)
        elif stride == 2:
            back_2(dy, argmax, at, rows, reach, wide, count, size, v, first, pixels, pad, limit, dx, place, end)
        else:
            plain_back(dy, argmax, at, rows, reach, wide, count, size, stride, v, first, pixels, pad, limit, dx, place,
                       end, lanes)

    return choose


@overload(passed_back_pair, inline="always")  # type: ignore[untyped-decorator]
def _passed_back_pair(
    dy: Any, argmax: Any, at: Any, rows: Any, other_at: Any, other_rows: Any, wide: Any, size: Any, stride: Any,
    first: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any
) -> Any:
    def choose(
        dy: Any, argmax: Any, at: Any, rows: Any, other_at: Any, other_rows: Any, wide: Any, size: Any, stride: Any,
        first: Any, pad: Any, limit: Any, dx: Any, place: Any, end: Any, lanes: Any
    ) -> None:
        if size == 3:
            back_2(dy, argmax, (at, other_at), (rows, other_rows), 0, wide, wide, 3, 0, (first, first + limit), limit,
                   pad, limit, dx, (place, place + limit), end)
        else:
            back_2(dy, argmax, (at, other_at), (rows, other_rows), 0, wide, wide, size, 0, (first, first + limit),
                   limit, pad, limit, dx, (place, place + limit), end)

    return choose


plain_back = serial(passed_back)
