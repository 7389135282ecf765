"""Pooling at a stride of 2, which is AlexNet's (§3.4) and most of GoogLeNet's.

Forward, a vector holds the numbers of windows side by side. Each of a window's pixels is a vector too, the even or the
odd ones of twice as many, and they are compared, or added, in the equation's order: row by row. (A row by itself, and
then what has come of the rows: a comparison waits for the one before it, and so only four do, not nine.) Back, two rows
of pixels are made at a time, their even and their odd ones: in all, of each of a window's pixels it is asked once
whether the window names it. Either way memory is read and written as it lies, and nothing is kept in between.

If half a vector is enough for a row of windows, it holds two: of 13 pixels 6 are made, of 14, 7.

Which pixels are in a row, and which windows, does not depend on the row: tables say so (`Halving.inside`, `there`,
`kept`). Plain loops stand beside LLVM's instructions, as in `tile`.
"""
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .arrays import LINE, planning
from .compile import overload, serial
from .sweeps import SOON, Floats, Mask, Places, Sum, Vectors, changing, nothing, results, size_of
from .tile import BYTES, Registers, ask_for, data, in_vector, mask_of
from .tile import lanes as lanes_of
from .vectors import will_read

AHEAD = 4096  # bytes: how far ahead of what is read
FAR = 3072  # and of what is written, on the way back: it is most of all
NUMBERS = 2048  # of some maps that are taken together: they stay in the first-level cache


class Halving(NamedTuple):
    """How maps are pooled, and what counts. Of a table, what is for two rows in a vector is behind the rest."""

    size: int
    pad: int
    height: int  # of the input's maps
    width: int
    tall: int  # of the output's
    wide: int
    pairs: bool  # is half a vector enough for a row of windows?
    pairs_back: bool  # and for all that a row of pixels sees?
    clear: int  # a vector of windows whose first is at pixel `pad` or behind it, up to here, sees the row's pixels only
    inside: Mask  # of a row of each window, for every two pixels: which are in the row of pixels?
    apart: int  # from two pixels to the next two in that
    before: Places  # how many of each window's first pixels are not in the row
    columns: int  # of windows, from the first that sees a pixel of a row to the last that could
    there: Mask  # is window j − d one of the row's?
    room: int  # from one d to the next in that
    kept: Mask  # is pixel t − pad in the row?
    together: int  # maps at a time, of what is done in several steps
    three: tuple[int, ...]  # something, if windows are three pixels wide


@planning
def halving(fine: Any, coarse: Any, size: int, pad: int, itemsize: int) -> Halving:
    (height, width), (tall, wide), lanes = fine, coarse, lanes_of(itemsize)
    size, pad, half = int(size), int(pad), lanes // 2
    columns = -(-(width + pad) // 2)

    def places(windows: int) -> Any:
        """Of as many windows as whole vectors hold, then of a vector with two rows."""
        return np.concatenate([np.arange(-(-windows // lanes) * lanes), np.arange(lanes) % half])

    window, grid = places(wide), places(columns)
    pixel = 2 * np.repeat(window, 2) + np.tile([0, 1], window.size)
    column = pixel + np.arange(0, size, 2)[:, None] - pad
    inside = (column >= 0) & (column < width) & (pixel // 2 < wide)
    shifted = grid - np.arange((size + 1) // 2)[:, None]
    pixel = 2 * np.repeat(grid, 2) + np.tile([0, 1], grid.size)
    return Halving(
        size, pad, height, width, tall, wide, wide <= half, columns <= half,
        width + pad - 2 * lanes - (size - 1) // 2 * 2, mask_of(inside), inside.shape[1],
        np.maximum(0, pad - 2 * window).astype(np.int32), columns, mask_of((shifted >= 0) & (shifted < wide)),
        grid.size, mask_of((pixel >= pad) & (pixel < width + pad)), max(1, NUMBERS // (tall * wide)),
        (0,) * (size == 3))


def pooled(
    x: Floats, start: int, width: int, next_row: int | None, inside: Mask | None, apart: int, at: int, before: Places,
    first: int, last: int, size: int, y: Floats, argmax: Places | None, out: int, wide: int, count: int, end: int,
    lanes: int, what: Sum | None
) -> None:
    """y[out + j] = the largest of x[start + k · width + 2 j + l], first ≤ k < last, l < size, for j < count, `lanes` of
    them at most; and argmax[out + j] = k · size + l, the first of equal ones, if it is asked. A NaN is larger than all.
    Or their sum. With a `next_row`, half of the lanes are windows of that, whose pixels are so far away: of `count`
    windows, those behind the first `wide`.

    inside[l // 2 · apart + at + 2 j + l % 2] says if that pixel counts, before[at / 2 + j] how many of the row's first
    do not: if all are −∞, the first is meant that does. With no `inside` all do, and they are read in whole vectors.
    Whole vectors may be written before `end`: what lies behind is to be written later.
    """
    for j in range(min(count, lanes)):
        row, column = (0, j) if next_row is None else divmod(j, wide)
        lane, begin = row * (lanes // 2) + column, start + row * (next_row or 0) + 2 * column
        value = -np.inf if what is None else 0.0
        where = first * size + (0 if inside is None else before[at // 2 + lane])
        for k in range(first, last):
            for l in range(size):  # noqa: E741 (as in the equation)
                if inside is None or inside[l // 2 * apart + at + 2 * lane + l % 2]:
                    number = x[begin + k * width + l]
                    if what is not None:
                        value += number
                    elif not number <= value and value == value:
                        value, where = number, k * size + l
        y[out + j] = value
        if argmax is not None:
            argmax[out + j] = where


@intrinsic  # type: ignore[untyped-decorator]
def _pooled(
    context: Any, x: Any, start: Any, width: Any, next_row: Any, inside: Any, apart: Any, at: Any, before: Any,
    first: Any, last: Any, size: Any, y: Any, argmax: Any, out: Any, wide: Any, count: Any, end: Any, what: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        x, inside, before, y, argmax = (data(context, builder, signature, arguments, i) for i in (0, 4, 7, 11, 12))
        start, width, next_row, apart, at, first, last, size, out, wide, count, end = (
            arguments[i] for i in (1, 2, 3, 5, 6, 8, 9, 10, 13, 14, 15, 16))
        vectors, integer = Vectors(context, builder, signature.args[0].dtype), ir.IntType(64)
        lanes, pair = vectors.lanes, signature.args[3] != types.none
        half, outside = lanes // 2, nothing(what)
        places = vectors.places
        if argmax and BYTES == 64:  # a place of one byte is chosen by the same mask as a number of four
            places = Registers(context, builder, signature.args[12].dtype, lanes)

        def place(value: Any) -> Any:
            return places.repeat(builder.trunc(value, places.number))

        parts = [integer(0), next_row if pair else integer(lanes)]
        order = vectors.numbers.order_of_halves()  # of windows, until they are written
        groups = builder.sdiv(builder.add(size, integer(1)), integer(2))

        def group(row: Any, g: Any) -> list[Any]:
            """Of each window two pixels that lie side by side: two vectors of pixels."""
            pixels, table = [], builder.add(builder.mul(g, apart), at)
            for i, part in enumerate(parts):
                mask = inside and vectors.numbers.read_mask(inside, builder.add(table, integer(i * lanes)))
                here = builder.add(builder.add(row, builder.mul(g, integer(2))), part)
                pixels.append(vectors.numbers.load(x, here, mask, outside))
            return pixels

        def seen(pixels: list[Any], k: Any, column: Any, q: int) -> tuple[Any, ...]:
            values = vectors.numbers.shuffle(pixels[0], pixels[1], [2 * window + q for window in order])
            if q:  # the window may have ended
                values = builder.select(
                    builder.icmp_signed("<", column, size), values, vectors.numbers.constant(outside))
            return (values, place(builder.add(builder.mul(k, size), column))) if argmax else (values,)

        def seen_of_row(k: Any) -> tuple[Any, ...]:
            row = builder.add(start, builder.mul(k, width))
            pixels = group(row, integer(0))
            get, set_to = changing(builder, seen(pixels, k, integer(0), 0))
            set_to(vectors.taken(what, seen(pixels, k, integer(1), 1), get()))
            with cgutils.for_range(builder, groups, start=integer(1), intp=integer) as more:
                pixels, column = group(row, more.index), builder.mul(more.index, integer(2))
                for q in (0, 1):
                    set_to(vectors.taken(what, seen(pixels, k, builder.add(column, integer(q)), q), get()))
            return get()  # type: ignore[no-any-return]

        begin: tuple[Any, ...] = (vectors.numbers.constant(outside),)
        done = integer(0)
        if not inside:
            begin, done = seen_of_row(first), integer(1)
        elif argmax:
            skipped = vectors.places.load(before, builder.sdiv(at, integer(2)))
            skipped = places.narrowed(vectors.places.shuffle(skipped, skipped, order))
            begin = (*begin, builder.add(skipped, place(builder.mul(first, size))))
        get, set_to = changing(builder, begin)
        with cgutils.for_range(builder, builder.sub(last, first), start=done, intp=integer) as rows:
            # each row by itself: a comparison waits for the one before it
            set_to(vectors.taken(what, seen_of_row(builder.add(first, rows.index)), get()))
        first_row = builder.select(builder.icmp_signed("<", count, wide), count, wide) if pair else count
        for (target, registers), values in zip(
                results(vectors, context, y, argmax, signature.args[12], out), get(), strict=True):
            in_order = registers.shuffle(values, values, [order.index(i) for i in range(lanes)])
            values = registers.narrowed(in_order)
            registers.store_first(values, target, out, first_row, end)
            if pair:
                values = registers.shuffle(values, values, [*range(half, lanes), *range(half)])
                registers.store_first(
                    values, target, builder.add(out, wide), builder.sub(count, first_row), end)
        return context.get_dummy_value()

    return types.void(x, start, width, next_row, inside, apart, at, before, first, last, size, y, argmax, out, wide,
                      count, end, what), generate


@overload(pooled, inline="always")
def _over_pooled(
    x: Any, start: Any, width: Any, next_row: Any, inside: Any, apart: Any, at: Any, before: Any, first: Any, last: Any,
    size: Any, y: Any, argmax: Any, out: Any, wide: Any, count: Any, end: Any, lanes: Any, what: Any
) -> Any:
    def in_vectors(
        x: Any, start: Any, width: Any, next_row: Any, inside: Any, apart: Any, at: Any, before: Any, first: Any,
        last: Any, size: Any, y: Any, argmax: Any, out: Any, wide: Any, count: Any, end: Any, lanes: Any, what: Any
    ) -> None:
        _pooled(x, start, width, next_row, inside, apart, at, before, first, last, size, y, argmax, out, wide, count,
                end, what)

    return in_vectors


def passed_back(
    dy: Floats, argmax: Places | None, at: int, next_row: int | None, first: int, last: int, size: int, there: Mask,
    room: int, begin: int, kept: Mask, wide: int, dx: Floats, place: int, width: int, upper: bool, lower: bool,
    whole: bool, end: int, lanes: int
) -> None:
    """dx[place + f · width + 2 j + g] = Σ dy of the windows that name that pixel, or without argmax of those that see
    it, for f, g < 2, j < `lanes`: of the pixels of two rows, if they are wanted, `upper` and `lower`, those in the row.

    Those windows are at + j - d - b · wide, for first ≤ b < last, and the pixel's place in them is
    (2 b + f, 2 d + g), if that is less than `size`. With a `next_row` half of the lanes are the next row of windows,
    and the next two rows of pixels, which begin so far away.

    there[d · room + begin + j] says if that window is in its row, kept[2 · begin + 2 j + g] if the pixel is. If `whole`
    is set, whole vectors may be written before `end`: what lies behind is to be written later.
    """
    half = lanes if next_row is None else lanes // 2
    for lane in range(lanes):
        row, j = divmod(lane, half)
        for f in range(2):
            for g in range(2):
                if kept[2 * (begin + lane) + g] and (lower if f else upper):
                    total = dy.dtype.type(0)
                    for b in range(first, min(last, (size - f + 1) // 2)):
                        for d in range((size - g + 1) // 2):
                            window, here = at + (row - b) * wide + j - d, (2 * b + f) * size + 2 * d + g
                            if there[d * room + begin + lane] and (argmax is None or argmax[window] == here):
                                total += dy[window]
                    dx[place + row * (next_row or 0) + f * width + 2 * j + g] = total


@intrinsic  # type: ignore[untyped-decorator]
def _passed_back(
    context: Any, dy: Any, argmax: Any, at: Any, next_row: Any, first: Any, last: Any, size: Any, there: Any, room: Any,
    begin: Any, kept: Any, wide: Any, dx: Any, place: Any, width: Any, upper: Any, lower: Any, whole: Any, end: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        dy, argmax, there, kept, dx = (data(context, builder, signature, arguments, i) for i in (0, 1, 7, 10, 12))
        at, next_row, first, last, size, room, begin, wide, place, width, upper, lower, whole, end = (
            arguments[i] for i in (2, 3, 4, 5, 6, 8, 9, 11, 13, 14, 15, 16, 17, 18))
        vectors, integer = Vectors(context, builder, signature.args[0].dtype), ir.IntType(64)
        lanes, pair = vectors.lanes, signature.args[3] != types.none
        lanes_in_row = lanes // 2 if pair else lanes
        few = Registers(context, builder, signature.args[0].dtype, lanes_in_row)
        taps = builder.sdiv(builder.add(size, integer(1)), integer(2))
        heres = [at, builder.add(at, wide)] if pair else [at]
        if argmax:
            small = Registers(context, builder, signature.args[1].dtype, lanes_in_row)
            windows = context.make_array(signature.args[1])(context, builder, arguments[1]).nitems
            before = builder.add(builder.mul(builder.sub(last, integer(1)), wide), builder.sub(taps, integer(1)))
            all_there = builder.and_(
                builder.icmp_signed("<=", before, heres[0]),
                builder.icmp_signed("<=", builder.add(heres[-1], integer(lanes_in_row)), windows))
        for f in (0, 1):
            for i in range(0, 2 * lanes, LINE // few.itemsize):
                soon = builder.add(builder.add(place, builder.mul(width, integer(f))), integer(FAR // few.itemsize + i))
                ask_for(builder, dx, soon, write=True)
        ask_for(builder, dy, builder.add(at, integer(2 * SOON // few.itemsize)), write=False)

        def load(registers: Registers, array: Any, places: list[Any], mask: Any) -> Any:
            """Of dy or argmax what is there; 0 where a gradient is not, for a place anything."""
            values = []
            for i, window in enumerate(places):
                part = few.shuffle(mask, mask, range(i * lanes_in_row, (i + 1) * lanes_in_row)) if pair else mask
                if registers is few:
                    values.append(registers.load(array, window, part))
                else:
                    values.append(registers.load_some(array, window, part, all_there, windows))
            return few.shuffle(values[0], values[1], range(lanes)) if pair else values[0]

        sums = {(f, g): cgutils.alloca_once_value(builder, vectors.numbers.constant(0))
                for f in (0, 1) for g in (0, 1)}
        with cgutils.for_range(builder, builder.sub(last, first), intp=integer) as row:
            b = builder.add(first, row.index)
            up = builder.mul(b, wide)
            with cgutils.for_range(builder, taps, intp=integer) as tap:
                d, back = tap.index, builder.add(up, tap.index)
                mask = vectors.numbers.read_mask(there, builder.add(builder.mul(d, room), begin))
                seen = [builder.sub(here, back) for here in heres]
                terms = load(few, dy, seen, mask)
                if argmax:
                    named = load(small, argmax, seen, mask)
                    kind = named.type.element
                    if BYTES < 64 and kind.width < 32:  # as wide as the gradients' masks
                        named, kind = builder.zext(named, vectors.places.vector), ir.IntType(32)
                for (f, g), sum_ in sums.items():
                    k, l = (  # noqa: E741
                        builder.add(builder.mul(i, integer(2)), integer(j)) for i, j in ((b, f), (d, g)))
                    enough = builder.and_(builder.icmp_signed("<", k, size), builder.icmp_signed("<", l, size))
                    counts = vectors.numbers.repeat(enough)
                    if argmax:
                        here = builder.trunc(builder.add(builder.mul(k, size), l), kind)
                        named_here = builder.icmp_signed("==", named, vectors.places.repeat(here))
                        counts = builder.and_(counts, named_here)
                    builder.store(vectors.numbers.added(builder.load(sum_), terms, counts), sum_)
        upper, lower, whole = (
            builder.icmp_unsigned("!=", flag, ir.Constant(flag.type, 0)) for flag in (upper, lower, whole))
        # in the order of memory, rows of two windows' rows too: what is written behind a row is of the next
        for f, i in ((f, i) for i in (0, 1) for f in (0, 1)) if pair else ((f, i) for f in (0, 1) for i in (0, 1)):
            with builder.if_then(lower if f else upper, likely=True):
                order = [i * lanes // 2 + j // 2 + j % 2 * lanes for j in range(lanes)]
                values = vectors.numbers.shuffle(builder.load(sums[f, 0]), builder.load(sums[f, 1]), order)
                mask = vectors.numbers.read_mask(
                    kept, builder.add(builder.mul(begin, integer(2)), integer(i * lanes)))
                here = builder.add(place, builder.mul(width, integer(f)))
                if i:
                    here = builder.add(here, next_row if pair else integer(lanes))
                vectors.numbers.store_some(
                    values, dx, here, mask, builder.and_(whole, vectors.numbers.ends_before(end, here)))
        return context.get_dummy_value()

    return types.void(dy, argmax, at, next_row, first, last, size, there, room, begin, kept, wide, dx, place, width,
                      upper, lower, whole, end), generate


@overload(passed_back, inline="always")
def _over_passed_back(
    dy: Any, argmax: Any, at: Any, next_row: Any, first: Any, last: Any, size: Any, there: Any, room: Any, begin: Any,
    kept: Any, wide: Any, dx: Any, place: Any, width: Any, upper: Any, lower: Any, whole: Any, end: Any, lanes: Any
) -> Any:
    def in_vectors(
        dy: Any, argmax: Any, at: Any, next_row: Any, first: Any, last: Any, size: Any, there: Any, room: Any,
        begin: Any, kept: Any, wide: Any, dx: Any, place: Any, width: Any, upper: Any, lower: Any, whole: Any, end: Any,
        lanes: Any
    ) -> None:
        _passed_back(dy, argmax, at, next_row, first, last, size, there, room, begin, kept, wide, dx, place, width,
                     upper, lower, whole, end)

    return in_vectors


def _pool(
    x: Floats, plan: Halving, plane: int, last_plane: int, y: Floats, argmax: Places | None, what: Sum | None
) -> None:
    """Of maps from one to another the largest of each window, or the sum. All of one dimension."""
    size, pad, height, width, tall, wide = size_of(plan), plan.pad, plan.height, plan.width, plan.tall, plan.wide
    lanes, end, clear = in_vector(x), last_plane * plan.tall * plan.wide, plan.clear
    inside, apart, before = plan.inside, plan.apart, plan.before
    of_pairs = plan.apart - 2 * in_vector(x)  # where in `inside` what is for two rows in a vector begins
    for m in range(plane, last_plane):
        i = 0
        while i < tall:
            top, out = 2 * i - pad, (m * tall + i) * wide
            start = (m * height + top) * width - pad
            pair = plan.pairs and top >= 0 and top + 2 + size <= height and i + 1 < tall
            # row by row, as they lie: a piece of both before each vector, and maps of 112 × 112 took half as long again
            will_read(x, start + AHEAD // x.itemsize, (4 if pair else 2) * width)
            if pair:
                pooled(x, start, width, 2 * width, inside, apart, of_pairs, before, 0, size, size, y, argmax, out, wide,
                       2 * wide, end, lanes, what)
            elif top >= 0 and top + size <= height:  # said apart, for loops over known rows are written out
                for v in range(0, wide, lanes):
                    if pad <= 2 * v <= clear:  # said apart as well: most vectors need no masks
                        pooled(x, start + 2 * v, width, None, None, apart, 2 * v, before, 0, size, size, y, argmax,
                               out + v, wide, wide - v, end, lanes, what)
                    else:
                        pooled(x, start + 2 * v, width, None, inside, apart, 2 * v, before, 0, size, size, y, argmax,
                               out + v, wide, wide - v, end, lanes, what)
            else:
                for v in range(0, wide, lanes):
                    pooled(x, start + 2 * v, width, None, inside, apart, 2 * v, before, max(0, -top),
                           min(size, height - top), size, y, argmax, out + v, wide, wide - v, end, lanes, what)
            i += 2 if pair else 1


def _pass_back(
    dy: Floats, argmax: Places | None, start: int, plan: Halving, plane: int, last_plane: int, dx: Floats
) -> None:
    """To the pixels of maps from one to another. Their windows are in dy from `start` on."""
    size, pad, height, width, tall, wide = size_of(plan), plan.pad, plan.height, plan.width, plan.tall, plan.wide
    lanes, end, columns, there, room, kept = (
        in_vector(dx), last_plane * plan.height * plan.width, plan.columns, plan.there, plan.room, plan.kept)
    rows = (size + 1) // 2
    of_pairs = plan.room - in_vector(dx)  # likewise in `there`
    for m in range(plane, last_plane):
        i = 0
        while 2 * i < height + pad:
            at, top = start + ((m - plane) * tall + i) * wide, 2 * i - pad
            place = (m * height + top) * width - pad
            if plan.pairs_back and top >= 0 and top + 4 <= height and i >= rows - 1 and i + 1 < tall:
                passed_back(dy, argmax, at, 2 * width, 0, rows, size, there, room, of_pairs, kept, wide, dx, place,
                            width, True, True, pad == 0, end, lanes)
                i += 2
            else:
                first, last = max(0, i - tall + 1), min(rows, i + 1)
                v = (columns - 1) // lanes * lanes
                while v >= 0:  # from right to left: what is written behind the upper row is the lower one's
                    if last - first == rows:  # said apart, as above
                        passed_back(dy, argmax, at + v, None, 0, rows, size, there, room, v, kept, wide, dx,
                                    place + 2 * v, width, top >= 0, 0 <= top + 1 < height, 2 * v >= pad, end, lanes)
                    else:
                        passed_back(dy, argmax, at + v, None, first, last, size, there, room, v, kept, wide, dx,
                                    place + 2 * v, width, top >= 0, 0 <= top + 1 < height, 2 * v >= pad, end, lanes)
                    v -= lanes
                i += 1


pool, pass_back = serial(_pool), serial(_pass_back)
