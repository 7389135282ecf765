"""Average pooling at a stride of 3 and more, with which GoogLeNet's heads begin: 5 × 5 pixels, 3 apart.

Of each row of windows, the rows of pixels that it sees are added up, as they lie; then some neighbours in that, at
every pixel, and every so manyth of these sums is a window's. Back, a row of windows makes one row of what it passes on
to any row of pixels that it sees, and a row of pixels is the sum of some of those.

Some maps are taken at a time, so that what is made in between stays in the first-level cache. Plain loops stand beside
LLVM's instructions, as in `tile`.
"""
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .arrays import planning, steps
from .compile import overload, serial
from .reductions import sum_rows
from .tile import Registers, data, in_vector, mask_of
from .tile import lanes as lanes_of
from .vectors import will_read, will_write

Floats = NDArray[Any]
Numbers = NDArray[np.int64]
Mask = NDArray[Any]  # −1 for yes, of `tile.MASK`

AHEAD = 8192  # bytes: how far ahead of what is read or written
NUMBERS = 2048  # of each kind that are kept in between


class Strided(NamedTuple):
    """How maps are pooled."""

    size: int
    stride: int
    pad: int
    height: int  # of the input's maps
    width: int
    tall: int  # of the output's
    wide: int
    pitch: int  # from one row of what is kept in between to the next
    together: int  # maps at a time
    room: int  # numbers that these need
    taps: Numbers  # of neighbours, from the first on
    places: Numbers  # of the windows of so many maps among all sums of neighbours
    seen: Numbers  # of each row of pixels, the first row of windows that sees it, and how many do
    seeing: Numbers  # of each vector of pixels in a row, which windows see one, from where to where
    sees: Mask  # and for each of them, which


@planning
def strided(fine: Any, coarse: Any, size: int, stride: int, pad: int, itemsize: int) -> Strided:
    (height, width), (tall, wide), lanes = fine, coarse, lanes_of(itemsize)
    size, stride, pad = int(size), int(stride), int(pad)
    pitch = max((wide - 1) * stride + size, pad + width)
    together = max(1, NUMBERS // (tall * pitch))
    places = np.arange(together * tall)[:, None] * pitch + np.arange(wide) * stride

    def windows(first_pixel: Any, last_pixel: Any, count: int) -> Any:
        """That see one of these, from one to another."""
        first = np.maximum(0, -(-(first_pixel + pad - size + 1) // stride))
        return np.stack([first, np.minimum(count, (last_pixel + pad) // stride + 1)], axis=-1)

    rows, vectors = np.arange(height), np.arange(0, width, lanes)
    seen, seeing = windows(rows, rows, tall), windows(vectors, vectors + lanes - 1, wide)
    most = max(1, (seeing[:, 1] - seeing[:, 0]).max())
    window = seeing[:, 0, None] + np.arange(most)
    column = (vectors[:, None] + np.arange(lanes))[:, None] + pad - window[..., None] * stride
    return Strided(
        size, stride, pad, height, width, tall, wide, pitch, together, together * tall * pitch + lanes, steps(size, 1),
        places.ravel(), np.stack([seen[:, 0], seen[:, 1] - seen[:, 0]], axis=1),
        np.column_stack([seeing, np.arange(len(vectors)) * most * lanes]),
        mask_of((column >= 0) & (column < size)))


def sum_columns(
    x: Floats, start: int, apart: int, rows: int, count: int, total: Floats, place: int, end: int, lanes: int
) -> None:
    """total[place + j] = Σ_k x[start + k · apart + j], k < rows, for j < count, `lanes` of them at most. What lies
    behind, before `end`, may become 0."""
    for j in range(min(count, lanes)):
        total[place + j] = 0
        for k in range(rows):
            total[place + j] += x[start + k * apart + j]


@intrinsic  # type: ignore[untyped-decorator]
def _sum_columns(
    context: Any, x: Any, start: Any, apart: Any, rows: Any, count: Any, total: Any, place: Any, end: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        x, total = (data(context, builder, signature, arguments, i) for i in (0, 5))
        start, apart, rows, count, place, end = (arguments[i] for i in (1, 2, 3, 4, 6, 7))
        registers = Registers(context, builder, signature.args[0].dtype)
        mask, sum_ = registers.first(count), cgutils.alloca_once_value(builder, registers.constant(0))
        with cgutils.for_range(builder, rows, intp=ir.IntType(64)) as loop:
            row = registers.load(x, builder.add(start, builder.mul(loop.index, apart)), mask)
            builder.store(builder.fadd(builder.load(sum_), row), sum_)
        registers.store_first(builder.load(sum_), total, place, count, end)
        return context.get_dummy_value()

    return types.void(x, start, apart, rows, count, total, place, end), generate


@overload(sum_columns, inline="always")
def _over_sum_columns(
    x: Any, start: Any, apart: Any, rows: Any, count: Any, total: Any, place: Any, end: Any, lanes: Any
) -> Any:
    def in_vectors(
        x: Any, start: Any, apart: Any, rows: Any, count: Any, total: Any, place: Any, end: Any, lanes: Any
    ) -> None:
        _sum_columns(x, start, apart, rows, count, total, place, end)

    return in_vectors


def spread(
    shares: Floats, first: int, count: int, sees: Mask, where: int, row: Floats, place: int, lanes: int
) -> None:
    """row[place + j] = Σ_w shares[first + w], w < count, of those for which sees[where + w · lanes + j] is set; for
    `lanes` j."""
    for j in range(lanes):
        row[place + j] = 0
        for w in range(count):
            if sees[where + w * lanes + j]:
                row[place + j] += shares[first + w]


@intrinsic  # type: ignore[untyped-decorator]
def _spread(
    context: Any, shares: Any, first: Any, count: Any, sees: Any, where: Any, row: Any, place: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        shares, sees, row = (data(context, builder, signature, arguments, i) for i in (0, 3, 5))
        first, count, where, place = (arguments[i] for i in (1, 2, 4, 6))
        registers, integer = Registers(context, builder, signature.args[0].dtype), ir.IntType(64)
        sum_ = cgutils.alloca_once_value(builder, registers.constant(0))
        with cgutils.for_range(builder, count, intp=integer) as loop:
            value = registers.repeat(builder.load(builder.gep(shares, [builder.add(first, loop.index)])))
            table = builder.add(where, builder.mul(loop.index, integer(registers.vector.count)))
            builder.store(registers.added(builder.load(sum_), value, registers.read_mask(sees, table)), sum_)
        registers.store(builder.load(sum_), row, place)
        return context.get_dummy_value()

    return types.void(shares, first, count, sees, where, row, place), generate


@overload(spread, inline="always")
def _over_spread(
    shares: Any, first: Any, count: Any, sees: Any, where: Any, row: Any, place: Any, lanes: Any
) -> Any:
    def in_vectors(
        shares: Any, first: Any, count: Any, sees: Any, where: Any, row: Any, place: Any, lanes: Any
    ) -> None:
        _spread(shares, first, count, sees, where, row, place)

    return in_vectors


def _sum_windows(
    x: Floats, plan: Strided, plane: int, planes: int, columns: Floats, sums: Floats
) -> None:
    """sums[plan.places[w]] = Σ window w, of so many maps.  columns : of each row of windows the sums of rows of pixels,
    with 0 beside them."""
    size, stride, height, width, lanes = plan.size, plan.stride, plan.height, plan.width, in_vector(x)
    for m in range(planes):
        will_read(x, (plane + m) * height * width + AHEAD // x.itemsize, height * width)
        for v in range(0, width, lanes):
            for i in range(plan.tall):
                top = i * stride - plan.pad
                first, last = max(0, top), min(height, top + size)
                row = (m * plan.tall + i) * plan.pitch
                sum_columns(x, ((plane + m) * height + first) * width + v, width, last - first, width - v, columns,
                            row + plan.pad + v, row + plan.pitch, lanes)
    sum_rows(columns, plan.taps, sums, 0, planes * plan.tall * plan.pitch - size + 1)


def _spread_windows(
    shares: Floats, plan: Strided, plane: int, planes: int, rows: Floats, dx: Floats, end: int
) -> None:
    """To the pixels of so many maps what their windows pass on, `shares`."""
    height, width, tall, pitch, lanes = plan.height, plan.width, plan.tall, plan.pitch, in_vector(dx)
    seen, seeing = plan.seen, plan.seeing
    for row in range(planes * tall):
        for v in range(0, width, lanes):
            first, last, where = seeing[v // lanes]
            spread(shares, row * plan.wide + first, last - first, plan.sees, where, rows, row * pitch + v, lanes)
    for m in range(planes):
        will_write(dx, (plane + m) * height * width + AHEAD // dx.itemsize, height * width)
        v = (width - 1) // lanes * lanes
        while v >= 0:  # from right to left: what is written behind a row is of the next
            for r in range(height):
                sum_columns(rows, (m * tall + seen[r, 0]) * pitch + v, pitch, seen[r, 1], width - v, dx,
                            ((plane + m) * height + r) * width + v, end, lanes)
            v -= lanes


sum_windows, spread_windows = serial(_sum_windows), serial(_spread_windows)
