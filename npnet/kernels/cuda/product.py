r"""The matrix product of a GPU, of which convolutions and dense layers are made: C = A B, tile by tile.

A block computes a tile of C. It takes the sum's terms a few at a time (`depth` of a `Tile`): that many columns of A and
rows of B are fetched into shared memory, where all threads of the block read them; each thread keeps `block` × `block`
sums of its own in registers, so that a number read from shared memory is used `block` times. While the block computes
with one buffer of shared memory, what comes next is on its way into the other (double buffering).

A and B need not exist. What their elements are is said by functions: ``row(m, g)``, ``term(k, g)`` and ``column(n, g)``
turn a place in the product into places in arrays (three numbers; what they mean is between these functions), and
``a_at(a, row, term, group, g)`` and ``b_at(b, term, column, group, g)`` fetch an element at such places. So
convolution's patches are read straight from the image: im2col without its memory. ``put(c, bias, row, column, value,
group, g)`` writes an element of C.

With few tiles and long sums most of a GPU would be idle: then sums are cut into parts, each computed by a block of its
own, and added up afterwards in the order of the parts (`finish`). Every sum has one order, so that the same run gives
the same bits.
"""
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from numba import cuda, int64

from .launch import MOST, SIMULATED, compiled, each, inlined, launch, processors, split
from .memory import scratch

Function = Callable[..., Any]


@dataclass(frozen=True)
class Tile:
    """rows, columns : of C, of a block.  depth : terms of the sums that are fetched at a time.
    block : rows and columns of C, of a thread; it takes them `vector` next to each other, the next `vector` further on,
        so that a warp reads shared memory without conflicts, four numbers in an instruction.
    """

    rows: int
    columns: int
    depth: int
    block: int
    vector: int

    @property
    def threads(self) -> int:
        return self.rows * self.columns // self.block**2


TILES = (Tile(4, 4, 2, 2, 1), Tile(8, 4, 2, 2, 2)) if SIMULATED else (Tile(64, 64, 8, 4, 4), Tile(128, 128, 8, 8, 4))
"""The small one, and the one that takes more of a processor's registers, for products with enough rows and columns."""

GAP = 4
"""Numbers between the terms of a tile. Neighbouring threads that fetch neighbouring terms would put them 64 or 128
numbers apart, all into one of the 32 banks of shared memory, one after the other."""


@dataclass(frozen=True, eq=False)
class Product:
    """What is multiplied, and where it goes; the module tells how. Each is equal to itself alone, and compiled once.

    a_along, b_along : do neighbouring terms of A (B) lie next to each other in memory, rather than neighbouring rows
        (columns)? Neighbouring threads fetch what does.
    """

    row: Function
    term: Function
    column: Function
    a_at: Function
    b_at: Function
    put: Function
    a_along: bool
    b_along: bool


def multiply(
    product: Product, a: Any, b: Any, bias: Any, c: Any, g: tuple[int, ...], shape: tuple[int, int, int],
    groups: int = 1,
) -> None:
    """Compute it. shape : rows and columns of C and terms of a sum, in each of `groups`.  g : for its functions."""
    rows, columns, depth = shape
    if max(groups * rows * columns, depth) > MOST:  # `split` counts so far
        raise ValueError(f"a product of {rows} × {columns} sums of {depth} terms, {groups} times: numbers and terms "
                         f"must be at most {MOST}: take smaller batches")
    tile = TILES[rows > TILES[0].rows and columns > TILES[0].columns]
    blocks = -(-columns // tile.columns), -(-rows // tile.rows)
    parts = _parts(blocks[0] * blocks[1] * groups, -(-depth // tile.depth))
    share = -(-depth // (parts * tile.depth)) * tile.depth
    parts = max(1, -(-depth // share))
    kernel, finish = _kernels(product, tile, parts > 1)
    if parts == 1:
        launch(kernel, (*blocks, groups), tile.threads, a, b, bias, c, g, rows, columns, depth, share, 1)
        return
    count = groups * rows * columns
    with scratch(parts * count, c.dtype) as sums:
        launch(kernel, (*blocks, groups * parts), tile.threads, a, b, bias, sums, g, rows, columns, depth, share, parts)
        each(finish, count, sums, bias, c, g, rows, columns, count, parts)


def _parts(blocks: int, steps: int) -> int:
    """Into how many parts the sums are cut: until two blocks wait for each processor, and each has 16 steps to do."""
    wanted = -(-2 * processors() // blocks)
    return max(1, min(wanted, steps // (2 if SIMULATED else 16)))


@inlined
def first(thread: int, at_once: int, length: int, along: bool) -> Any:
    """Which row (column) and term of a tile a thread fetches first."""
    if along:
        return split(thread, at_once)
    t, row = split(thread, length)
    return row, t


@cache
def _kernels(product: Product, tile: Tile, in_parts: bool) -> tuple[Any, Any]:
    """The kernel of a tile, and the one that adds parts up."""
    row, term, column, put = (inlined(f) for f in (product.row, product.term, product.column, product.put))
    a_at, b_at = inlined(product.a_at), inlined(product.b_at)
    rows_of_tile, columns_of_tile, at_once, block, vector = (
        tile.rows, tile.columns, tile.depth, tile.block, tile.vector)
    threads, threads_across = tile.threads, tile.columns // tile.block
    # What a thread fetches of A in a step: `a_count` elements, the first at its own place, the next so many rows and
    # terms on. The same for B.
    a_count, b_count = rows_of_tile * at_once // threads, columns_of_tile * at_once // threads
    a_rows, a_terms = (threads // at_once, 0) if product.a_along else (0, threads // rows_of_tile)
    b_columns, b_terms = (threads // at_once, 0) if product.b_along else (0, threads // columns_of_tile)
    a_along, b_along = product.a_along, product.b_along
    a_line, b_line = rows_of_tile + GAP, columns_of_tile + GAP
    row_jump, column_jump = rows_of_tile * vector // block, columns_of_tile * vector // block

    def tile_of_c(
        a: Any, b: Any, bias: Any, c: Any, g: Any, rows: int, columns: int, depth: int, share: int, parts: int
    ) -> None:
        a_tile = cuda.shared.array((2, at_once, a_line), c.dtype, 16)  # aligned: four numbers at a time
        b_tile = cuda.shared.array((2, at_once, b_line), c.dtype, 16)
        sums = cuda.local.array((block, block), c.dtype)
        a_next = cuda.local.array(a_count, c.dtype)
        b_next = cuda.local.array(b_count, c.dtype)
        own_a = cuda.local.array(block, c.dtype)
        own_b = cuda.local.array(block, c.dtype)
        a_places = cuda.local.array((a_count, 3), int64)
        b_places = cuda.local.array((b_count, 3), int64)
        thread = cuda.threadIdx.x
        group, part = split(cuda.blockIdx.z, parts)
        groups, _ = split(cuda.gridDim.z, parts)
        first_row, first_column = cuda.blockIdx.y * rows_of_tile, cuda.blockIdx.x * columns_of_tile
        begin = part * share
        end = min(begin + share, depth)

        # where this thread's fetches begin, as places in the arrays
        a_row, a_term = first(thread, at_once, rows_of_tile, a_along)
        b_column, b_term = first(thread, at_once, columns_of_tile, b_along)
        for i in range(a_count):
            p, q, r = row(first_row + a_row + i * a_rows, g)
            a_places[i, 0], a_places[i, 1], a_places[i, 2] = p, q, r
        for i in range(b_count):
            p, q, r = column(first_column + b_column + i * b_columns, g)
            b_places[i, 0], b_places[i, 1], b_places[i, 2] = p, q, r
        # and which of the tile's sums are its own
        down, across = split(thread, threads_across)
        down, across = down * vector, across * vector

        for i in range(block):
            for j in range(block):
                sums[i, j] = 0

        buffer = 0
        for k in range(begin - at_once, end, at_once):
            ahead = k + at_once
            if ahead < end:  # begin to fetch what comes next; the numbers are not waited for yet
                a_first, b_first = term(ahead + a_term, g), term(ahead + b_term, g)
                for i in range(a_count):
                    t = ahead + a_term + i * a_terms
                    a_next[i] = 0
                    if first_row + a_row + i * a_rows < rows and t < end:
                        here = a_places[i, 0], a_places[i, 1], a_places[i, 2]
                        a_next[i] = a_at(a, here, a_first if a_along else term(t, g), group, g)
                for i in range(b_count):
                    t = ahead + b_term + i * b_terms
                    b_next[i] = 0
                    if first_column + b_column + i * b_columns < columns and t < end:
                        here = b_places[i, 0], b_places[i, 1], b_places[i, 2]
                        b_next[i] = b_at(b, b_first if b_along else term(t, g), here, group, g)
            if k >= begin:
                for t in range(at_once):
                    for i in range(block):
                        own_a[i] = a_tile[buffer, t, (i // vector) * row_jump + down + i % vector]
                        own_b[i] = b_tile[buffer, t, (i // vector) * column_jump + across + i % vector]
                    for i in range(block):
                        for j in range(block):
                            sums[i, j] += own_a[i] * own_b[j]
                buffer = 1 - buffer
            if ahead < end:
                for i in range(a_count):
                    a_tile[buffer, a_term + i * a_terms, a_row + i * a_rows] = a_next[i]
                for i in range(b_count):
                    b_tile[buffer, b_term + i * b_terms, b_column + i * b_columns] = b_next[i]
            cuda.syncthreads()

        for j in range(block):  # where a column is takes divisions, where a row is none
            n = first_column + (j // vector) * column_jump + across + j % vector
            there = column(n, g)
            for i in range(block):
                m = first_row + (i // vector) * row_jump + down + i % vector
                if m < rows and n < columns:
                    if in_parts:
                        c[((part * groups + group) * rows + m) * columns + n] = sums[i, j]
                    else:
                        put(c, bias, row(m, g), there, sums[i, j], group, g)

    def finish(sums: Any, bias: Any, c: Any, g: Any, rows: int, columns: int, count: int, parts: int) -> None:
        for e in range(cuda.grid(1), count, cuda.gridsize(1)):
            total = sums[e]
            for part in range(1, parts):
                total += sums[part * count + e]
            rest, n = split(e, columns)
            group, m = split(rest, rows)
            put(c, bias, row(m, g), column(n, g), total, group, g)

    return compiled(tile_of_c), compiled(finish)
