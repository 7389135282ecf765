"""Max pooling's sweeps, each for one vector of windows at a time: along rows, down columns, and the way back.

The largest pixel of a window is the largest of its rows' largest. What a sweep reads and writes lies in one piece, as
memory likes it best. For the strides of the papers' nets, 1 and 2, a vector holds neighbours: at stride 2, the even or
the odd ones of twice as many pixels. Plain loops with LLVM's instructions beside them, as `tile` is.

At stride 1 a window's place in memory is a pixel's, so the rows of many small maps may be swept as one: a vector then
holds the end of a map and the beginning of the next, and 7 × 7 pixels take half the time.

Each sweep asks for what it will need a little later: in a first version, maps of 112 × 112 pixels took 11.4 ms without,
4.6 asking for what is read, 3.9 for what is written too.
"""
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from .compile import serial
from .tile import Registers, ask_for, data

Floats = NDArray[Any]
Places = NDArray[np.int32]
Mask = NDArray[np.bool_]

AHEAD = 4096  # bytes: how far ahead of the sweep along rows, which reads most
SOON = 512  # how far ahead of what is written
NOWHERE = -(2**31)  # the number of no pixel, not even of one in the margin: those are negative too


def largest_across(
    x: Floats, start: int, inside: Mask, at: int, apart: int, before: Places, v: int, count: int, size: int,
    stride: int, first: int, best: Floats, which: Places | None, place: int, lanes: int
) -> None:
    """best[place + j] = the largest of x[start + j · stride + l], l < size, for j from v on, as many as `lanes` if
    there are so many of `count`; and which[place + j] = first + j · stride + l, the first of equal ones. A NaN is
    larger than all. With no `which`, only the numbers.

    inside[at + (l // stride) · apart + (j − v) · stride + l % stride] says if that pixel counts, before[at // stride +
    j − v] how many of the window's first do not: if all are −∞, the first is meant that does. Whole vectors are read of
    both, and of best and which written: what lies behind is lost.
    """
    for j in range(v, min(v + lanes, count)):
        largest, where = -np.inf, before[at // stride + j - v]
        for l in range(size):  # noqa: E741 (as in the equation)
            if inside[at + l // stride * apart + (j - v) * stride + l % stride]:
                number = x[start + j * stride + l]
                if not number <= largest and largest == largest:
                    largest, where = number, l
        best[place + j] = largest
        if which is not None:
            which[place + j] = first + j * stride + where


def largest_down(
    best: Floats, which: Places | None, place: int, apart: int, size: int, y: Floats, argmax: Places | None, out: int,
    count: int, lanes: int
) -> None:
    """y[out + j] = the largest of best[place + k · apart + j], k < size, for j < count, `lanes` of them at most; and
    argmax[out + j] is what `which` says of it, if it is asked. Whole vectors of best and which are read."""
    for j in range(min(count, lanes)):
        largest, where = best[place + j], place + j
        for k in range(1, size):
            number = best[place + k * apart + j]
            if not number <= largest and largest == largest:
                largest, where = number, place + k * apart + j
        y[out + j] = largest
        if which is not None and argmax is not None:
            argmax[out + j] = which[where]


def largest_down_maps(
    best: Floats, which: Places | None, place: int, width: int, size: int, pad: int, rows: Places, height: int,
    before: int, left: int, pixels: int, y: Floats, argmax: Places | None, out: int, count: int, lanes: int
) -> None:
    """The same where the rows of many maps lie one after another: y[out + j] = the largest of
    best[place + (k − pad) · width + j], k < size, of those k that lie in the map: 0 ≤ rows[j] + k − pad < height.

    which : of the pixels of all maps; argmax is to be of each, so `before` is taken off, and `pixels` more from the
    pixel `left` on, with which the next map begins.
    """
    for j in range(min(count, lanes)):
        largest, where = -np.inf, place
        for k in range(size - 1, -1, -1):  # backwards: of equal ones, and of those that are −∞, the first is meant
            at = place + (k - pad) * width + j
            if 0 <= rows[j] + k - pad < height and (best[at] >= largest or best[at] != best[at]):
                largest, where = best[at], at
        y[out + j] = largest
        if which is not None and argmax is not None:
            argmax[out + j] = which[where] - before - (pixels if j >= left else 0)


def passed_back(
    dy: Floats, argmax: Places, at: int, rows: int, reach: int, wide: int, count: int, size: int, stride: int, v: int,
    first: int, pixels: int, pad: int, limit: int, dx: Floats, place: int, lanes: int
) -> None:
    """dx[place + t] = Σ dy of the windows whose largest is pixel first + t, for t = j · stride + f, j from v on, as
    many as `lanes`, f < stride; only where 0 ≤ t − pad < limit. With a stride of 1, pixel `pixels` is the first of
    the next map.

    Those windows are at + j − d − k · wide, for k < rows and d · stride + f < size, and only if
    0 ≤ j − d − k · reach < count.
    """
    for j in range(v, v + lanes):
        for f in range(stride):
            t, total = j * stride + f, dy.dtype.type(0)
            here = first + t - (pixels if first + t >= pixels else 0)
            if 0 <= t - pad < limit:
                for k in range(rows):
                    for d in range(-(-(size - f) // stride)):
                        window = at + j - d - k * wide
                        if 0 <= j - d - k * reach < count and argmax[window] == here:
                            total += dy[window]
                dx[place + t] = total


STRIDES = 1, 2  # those of the papers' nets; others are done by plain loops


class _Vectors:
    """Of numbers, as many as there are lanes; `stride` times as many; and of places."""

    def __init__(self, context: Any, builder: ir.IRBuilder, number: Any, stride: int) -> None:
        self.builder = builder
        self.numbers = Registers(context, builder, number)
        self.lanes = self.numbers.vector.count
        self.wide = Registers(context, builder, number, stride * self.lanes)
        self.places = Registers(context, builder, types.int32, self.lanes)
        self.wide_places = Registers(context, builder, types.int32, stride * self.lanes)

    def place(self, value: Any) -> Any:
        return self.builder.trunc(value, ir.IntType(32))

    def within(self, places: Any, count: Any) -> Any:
        """A mask: 0 ≤ place < count."""
        registers = self.places if places.type.count == self.lanes else self.wide_places
        return self.builder.icmp_unsigned("<", places, registers.repeat(self.place(count)))

    def each(self, values: Any, first: int, step: int) -> Any:
        """Of a wide vector every so manyth."""
        return self.numbers.shuffle(values, values, range(first, values.type.count, step))

    def larger(self, new: tuple[Any, ...], old: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of two numbers, with their places or without; the old one if they are equal, or if it is NaN."""
        build, number, largest = self.builder, new[0], old[0]
        if_larger = build.and_(
            build.fcmp_unordered(">", number, largest), build.fcmp_ordered("ord", largest, largest))
        return tuple(build.select(if_larger, one, other) for one, other in zip(new, old, strict=True))


def _changing(builder: ir.IRBuilder, values: tuple[Any, ...]) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Values that a loop changes: how to get them and how to set them. LLVM makes registers of these."""
    places = [cgutils.alloca_once_value(builder, value) for value in values]

    def get() -> Any:
        return tuple(builder.load(place) for place in places)

    def set_to(values: Any) -> None:
        for value, place in zip(values, places, strict=True):
            builder.store(value, place)

    return get, set_to


@cache
def _across(stride: int) -> Callable[..., None]:
    @intrinsic  # type: ignore[untyped-decorator]
    def largest(
        context: Any, x: Any, start: Any, inside: Any, at: Any, apart: Any, before: Any, v: Any, count: Any, size: Any,
        first: Any, best: Any, which: Any, place: Any
    ) -> Any:
        return types.void(
            x, start, inside, at, apart, before, v, count, size, first, best, which, place), generate

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        x, inside, before, best, which = (data(context, builder, signature, arguments, i) for i in (0, 2, 5, 10, 11))
        start, at, apart, v, count, size, first, place = (arguments[i] for i in (1, 3, 4, 6, 7, 8, 9, 12))
        vectors = _Vectors(context, builder, signature.args[0].dtype, stride)
        integer, number = ir.IntType(64), signature.args[0].dtype.bitwidth // 8
        here = builder.add(start, builder.mul(v, integer(stride)))
        for i in range(stride):  # lines that are as many pixels as these
            ask_for(builder, x, builder.add(here, integer((AHEAD + i * 64) // number)), write=False)
        some = vectors.wide.some(builder.mul(builder.sub(count, v), integer(stride)))
        places = builder.add(
            vectors.places.constant(range(0, stride * vectors.lanes, stride)),
            vectors.places.repeat(vectors.place(builder.add(first, builder.mul(v, integer(stride))))))

        def group(tap: Any) -> Any:
            """As many pixels of each window as the stride is."""
            there = builder.add(at, builder.mul(builder.sdiv(tap, integer(stride)), apart))
            mask = builder.and_(vectors.wide.read_mask(inside, there), some)
            return vectors.wide.load(x, builder.add(here, tap), mask, -np.inf)

        def seen(pixels: Any, tap: Any, q: int) -> tuple[Any, ...]:
            tap = builder.add(tap, integer(q))
            where = builder.add(places, vectors.places.repeat(vectors.place(tap)))
            values = vectors.each(pixels, q, stride)
            if q:  # the window may have ended
                values = builder.select(builder.icmp_signed("<", tap, size), values, vectors.numbers.constant(-np.inf))
            return (values, where) if which else (values,)

        pixels = group(integer(0))
        begin = vectors.each(pixels, 0, stride), None
        if which:
            skipped = vectors.places.load(before, builder.sdiv(at, integer(stride)))
            begin = begin[0], builder.add(places, skipped)
        get, set_to = _changing(builder, begin if which else begin[:1])
        for q in range(1, stride):
            set_to(vectors.larger(seen(pixels, integer(0), q), get()))
        with cgutils.for_range_slice(builder, integer(stride), size, integer(stride), intp=integer) as (tap, _):
            pixels = group(tap)
            for q in range(stride):
                set_to(vectors.larger(seen(pixels, tap, q), get()))
        largest = get()
        vectors.numbers.store(largest[0], best, builder.add(place, v))
        if which:
            vectors.places.store(largest[1], which, builder.add(place, v))
        return context.get_dummy_value()

    largest.__name__ = f"largest_across_{stride}"
    return largest  # type: ignore[no-any-return]


across_1, across_2 = (_across(stride) for stride in STRIDES)


@overload(largest_across, inline="always")  # type: ignore[untyped-decorator]
def _largest_across(
    x: Any, start: Any, inside: Any, at: Any, apart: Any, before: Any, v: Any, count: Any, size: Any, stride: Any,
    first: Any, best: Any, which: Any, place: Any, lanes: Any
) -> Any:
    """With three pixels to a window said apart: the loop over them is written out then, which takes a quarter less."""
    def choose(
        x: Any, start: Any, inside: Any, at: Any, apart: Any, before: Any, v: Any, count: Any, size: Any, stride: Any,
        first: Any, best: Any, which: Any, place: Any, lanes: Any
    ) -> None:
        if stride == 1 and size == 3:
            across_1(x, start, inside, at, apart, before, v, count, 3, first, best, which, place)
        elif stride == 1:
            across_1(x, start, inside, at, apart, before, v, count, size, first, best, which, place)
        elif stride == 2 and size == 3:
            across_2(x, start, inside, at, apart, before, v, count, 3, first, best, which, place)
        elif stride == 2:
            across_2(x, start, inside, at, apart, before, v, count, size, first, best, which, place)
        else:
            plain_across(x, start, inside, at, apart, before, v, count, size, stride, first, best, which, place, lanes)

    return choose


@intrinsic  # type: ignore[untyped-decorator]
def _down(
    context: Any, best: Any, which: Any, place: Any, apart: Any, size: Any, y: Any, argmax: Any, out: Any, count: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        best, which, y, argmax = (data(context, builder, signature, arguments, i) for i in (0, 1, 5, 6))
        place, apart, size, out, count = (arguments[i] for i in (2, 3, 4, 7, 8))
        vectors, integer = _Vectors(context, builder, signature.args[0].dtype, 1), ir.IntType(64)
        for written, itemsize in ((y, signature.args[5].dtype.bitwidth // 8), (argmax, 4)):
            if written:
                ask_for(builder, written, builder.add(out, integer(SOON // itemsize)), write=True)

        def there(row: Any) -> tuple[Any, ...]:
            number = vectors.numbers.load(best, row)
            return (number, vectors.places.load(which, row)) if which else (number,)

        get, set_to = _changing(builder, there(place))
        with cgutils.for_range(builder, size, start=integer(1), intp=integer) as loop:
            set_to(vectors.larger(there(builder.add(place, builder.mul(loop.index, apart))), get()))
        largest, mask = get(), vectors.numbers.first(count)
        vectors.numbers.store(largest[0], y, out, mask)
        if which:
            vectors.places.store(largest[1], argmax, out, mask)
        return context.get_dummy_value()

    return types.void(best, which, place, apart, size, y, argmax, out, count), generate


@overload(largest_down, inline="always")  # type: ignore[untyped-decorator]
def _largest_down(
    best: Any, which: Any, place: Any, apart: Any, size: Any, y: Any, argmax: Any, out: Any, count: Any, lanes: Any
) -> Any:
    def choose(
        best: Any, which: Any, place: Any, apart: Any, size: Any, y: Any, argmax: Any, out: Any, count: Any, lanes: Any
    ) -> None:
        if size == 3:
            _down(best, which, place, apart, 3, y, argmax, out, count)
        else:
            _down(best, which, place, apart, size, y, argmax, out, count)

    return choose


@intrinsic  # type: ignore[untyped-decorator]
def _down_maps(
    context: Any, best: Any, which: Any, place: Any, width: Any, size: Any, pad: Any, rows: Any, height: Any,
    before: Any, left: Any, pixels: Any, y: Any, argmax: Any, out: Any, count: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        best, which, rows, y, argmax = (data(context, builder, signature, arguments, i) for i in (0, 1, 6, 11, 12))
        place, width, size, pad, height, before, left, pixels, out, count = (
            arguments[i] for i in (2, 3, 4, 5, 7, 8, 9, 10, 13, 14))
        vectors, integer = _Vectors(context, builder, signature.args[0].dtype, 1), ir.IntType(64)
        for written, itemsize in ((y, signature.args[11].dtype.bitwidth // 8), (argmax, 4)):
            if written:
                ask_for(builder, written, builder.add(out, integer(SOON // itemsize)), write=True)
        begin = vectors.numbers.constant(-np.inf), vectors.places.constant(0)
        get, set_to = _changing(builder, begin if which else begin[:1])
        row = vectors.places.load(rows, integer(0))
        with cgutils.for_range(builder, size, intp=integer) as loop:
            tap = builder.sub(builder.sub(size, integer(1)), builder.add(loop.index, pad))  # k − pad, backwards
            inside = vectors.within(builder.add(row, vectors.places.repeat(vectors.place(tap))), height)
            at, old = builder.add(place, builder.mul(tap, width)), get()
            number = vectors.numbers.load(best, at, inside, -np.inf)
            larger = builder.and_(inside, builder.or_(
                builder.fcmp_ordered(">=", number, old[0]), builder.fcmp_unordered("uno", number, number)))
            new = (number, vectors.places.load(which, at, inside)) if which else (number,)
            set_to(builder.select(larger, one, other) for one, other in zip(new, old, strict=True))
        largest, mask = get(), vectors.numbers.first(count)
        vectors.numbers.store(largest[0], y, out, mask)
        if which:
            lane = vectors.places.constant(range(vectors.lanes))
            next_map = builder.icmp_signed(">=", lane, vectors.places.repeat(vectors.place(left)))
            first, second = (
                vectors.places.repeat(vectors.place(value)) for value in (before, builder.add(before, pixels)))
            number = builder.sub(largest[1], builder.select(next_map, second, first))
            vectors.places.store(number, argmax, out, mask)
        return context.get_dummy_value()

    return types.void(
        best, which, place, width, size, pad, rows, height, before, left, pixels, y, argmax, out, count), generate


@overload(largest_down_maps, inline="always")  # type: ignore[untyped-decorator]
def _largest_down_maps(
    best: Any, which: Any, place: Any, width: Any, size: Any, pad: Any, rows: Any, height: Any, before: Any, left: Any,
    pixels: Any, y: Any, argmax: Any, out: Any, count: Any, lanes: Any
) -> Any:
    def choose(
        best: Any, which: Any, place: Any, width: Any, size: Any, pad: Any, rows: Any, height: Any, before: Any,
        left: Any, pixels: Any, y: Any, argmax: Any, out: Any, count: Any, lanes: Any
    ) -> None:
        if size == 3:
            _down_maps(best, which, place, width, 3, pad, rows, height, before, left, pixels, y, argmax, out, count)
        else:
            _down_maps(best, which, place, width, size, pad, rows, height, before, left, pixels, y, argmax, out, count)

    return choose


@cache
def _back(stride: int) -> Callable[..., None]:
    @intrinsic  # type: ignore[untyped-decorator]
    def back(
        context: Any, dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, v: Any,
        first: Any, pixels: Any, pad: Any, limit: Any, dx: Any, place: Any
    ) -> Any:
        return types.void(
            dy, argmax, at, rows, reach, wide, count, size, v, first, pixels, pad, limit, dx, place), generate

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        dy, argmax, dx = (data(context, builder, signature, arguments, i) for i in (0, 1, 13))
        at, rows, reach, wide, count, size, v, first, map_size, pad, limit, place = (
            arguments[i] for i in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14))
        vectors, integer = _Vectors(context, builder, signature.args[0].dtype, stride), ir.IntType(64)
        number = signature.args[0].dtype.bitwidth // 8
        skipped = builder.mul(v, integer(stride))
        for i in range(stride):
            ask_for(builder, dx, builder.add(builder.add(place, skipped), integer((SOON + i * 64) // number)),
                    write=True)
        here = builder.add(at, v)
        for read, itemsize in ((dy, number), (argmax, 4)):
            ask_for(builder, read, builder.add(here, integer(2 * SOON // itemsize)), write=False)
        steps = vectors.places.constant(range(0, stride * vectors.lanes, stride))
        begin = builder.add(steps, vectors.places.repeat(vectors.place(builder.add(first, skipped))))
        if stride == 1:  # else a row is in one map
            map_size = vectors.places.repeat(vectors.place(map_size))
            begin = builder.select(builder.icmp_signed(">=", begin, map_size), builder.sub(begin, map_size), begin)
        pixels = [builder.add(begin, vectors.places.constant(f)) for f in range(stride)]
        along = builder.add(vectors.places.constant(range(vectors.lanes)), vectors.places.repeat(vectors.place(v)))
        sums = [cgutils.alloca_once_value(builder, vectors.numbers.constant(0)) for _ in range(stride)]
        taps = builder.sdiv(builder.add(size, integer(stride - 1)), integer(stride))
        with cgutils.for_range(builder, rows, intp=integer) as row:
            back = builder.mul(row.index, reach)
            start = builder.sub(here, builder.mul(row.index, wide))
            with cgutils.for_range(builder, taps, intp=integer) as tap:
                window = builder.sub(start, tap.index)
                there = builder.sub(along, vectors.places.repeat(vectors.place(builder.add(back, tap.index))))
                largest = vectors.places.load(argmax, window, vectors.within(there, count), NOWHERE)
                for f, (sum_, pixel) in enumerate(zip(sums, pixels, strict=True)):
                    mask = builder.icmp_signed("==", largest, pixel)
                    if f:  # the window may have ended
                        enough = builder.icmp_signed(
                            "<", builder.add(builder.mul(tap.index, integer(stride)), integer(f)), size)
                        mask = builder.and_(mask, vectors.numbers.repeat(enough))
                    term = vectors.numbers.load(dy, window, mask)
                    builder.store(builder.fadd(builder.load(sum_), term), sum_)
        values = builder.load(sums[0])
        if stride == 2:  # side by side again
            order = [i // 2 + i % 2 * vectors.lanes for i in range(2 * vectors.lanes)]
            values = vectors.wide.shuffle(values, builder.load(sums[1]), order)
        t = builder.add(vectors.wide_places.constant(range(stride * vectors.lanes)),
                        vectors.wide_places.repeat(vectors.place(builder.sub(skipped, pad))))
        vectors.wide.store(values, dx, builder.add(place, skipped), vectors.within(t, limit))
        return context.get_dummy_value()

    back.__name__ = f"passed_back_{stride}"
    return back  # type: ignore[no-any-return]


back_1, back_2 = (_back(stride) for stride in STRIDES)


@overload(passed_back, inline="always")  # type: ignore[untyped-decorator]
def _passed_back(
    dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, stride: Any, v: Any,
    first: Any, pixels: Any, pad: Any, limit: Any, dx: Any, place: Any, lanes: Any
) -> Any:
    def choose(
        dy: Any, argmax: Any, at: Any, rows: Any, reach: Any, wide: Any, count: Any, size: Any, stride: Any, v: Any,
        first: Any, pixels: Any, pad: Any, limit: Any, dx: Any, place: Any, lanes: Any
    ) -> None:
        if stride == 1 and size == 3:
            back_1(dy, argmax, at, rows, reach, wide, count, 3, v, first, pixels, pad, limit, dx, place)
        elif stride == 1:
            back_1(dy, argmax, at, rows, reach, wide, count, size, v, first, pixels, pad, limit, dx, place)
        elif stride == 2 and size == 3:
            back_2(dy, argmax, at, rows, reach, wide, count, 3, v, first, pixels, pad, limit, dx, place)
        elif stride == 2:
            back_2(dy, argmax, at, rows, reach, wide, count, size, v, first, pixels, pad, limit, dx, place)
        else:
            plain_back(dy, argmax, at, rows, reach, wide, count, size, stride, v, first, pixels, pad, limit, dx, place,
                       lanes)

    return choose


plain_across, plain_back = serial(largest_across), serial(passed_back)
