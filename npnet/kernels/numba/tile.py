"""A tile of a matrix product, held in the processor's registers: what is fast here is made of it.

A processor core multiplies and adds two vectors of 16 float32 (AVX-512) in each cycle, but reads two and writes one. A
product stays at full speed only if what is read is used several times before the next is: ROWS × 3 vectors of the
result stay in registers while the sum runs, and each step of it reads 3 vectors of b and ROWS numbers of a, for
ROWS · 3 multiplications. Compilers do not find this arrangement by themselves; `_registers` spells it out.
"""
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload, register_jitable
from numpy.typing import NDArray

Floats = NDArray[Any]
Numbers = NDArray[np.int64]


def _registers_of_this_machine() -> tuple[int, int]:
    """Rows of a tile, and bytes in a vector: with 3 vectors a row, as many as there are registers for."""
    has = llvm.get_host_cpu_features()
    if has.get("avx512f"):
        return 8, 64  # 24 of 32 registers
    if has.get("avx2"):
        return 4, 32  # 12 of 16
    return (8 if has.get("neon") else 4), 16


ROWS, BYTES = _registers_of_this_machine()


def lanes(itemsize: int) -> int:
    """Numbers in a vector register."""
    return BYTES // itemsize


def widest(itemsize: int) -> int:
    """Columns of a tile of three vectors."""
    return 3 * lanes(itemsize)


@register_jitable  # type: ignore[untyped-decorator]
def whole(columns: int, lanes: int) -> int:
    """The width of the tile for so many columns more: whole vectors, three at most."""
    return -(-min(columns, 3 * lanes) // lanes) * lanes


FIRST_ROWS = np.arange(ROWS)


def tile(a: Floats, rows: Numbers, step: int, b: Floats, offsets: Numbers, anew: bool, c: Floats) -> None:
    """c[r, v] += Σ_t a[rows[r] + t·step] · b[offsets[t] + v]; `anew`: = in place of +=, whatever c was before.

    a, b : of one dimension.  rows (ROWS,).  c : (ROWS, width), width one, two or three times `lanes`.
    """
    if anew:
        c[...] = 0
    for t in range(offsets.size):
        for r in range(ROWS):
            for v in range(c.shape[1]):
                c[r, v] += a[rows[r] + t * step] * b[offsets[t] + v]


@cache
def _registers(vectors: int) -> Callable[..., None]:
    """`tile` with c of so many vectors in a row, in instructions: LLVM's, from which those of the machine are made."""

    @intrinsic  # type: ignore[untyped-decorator]
    def multiply(context: Any, a: Any, rows: Any, step: Any, b: Any, offsets: Any, anew: Any, c: Any) -> Any:
        return types.void(a, rows, step, b, offsets, anew, c), generate

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        def data(i: int) -> Any:
            return context.make_array(signature.args[i])(context, builder, arguments[i]).data

        a, rows, step, b, offsets, c = data(0), data(1), arguments[2], data(3), data(4), data(6)
        count = context.make_array(signature.args[4])(context, builder, arguments[4]).nitems
        number, integer = context.get_value_type(signature.args[0].dtype), ir.IntType(64)
        itemsize = signature.args[0].dtype.bitwidth // 8
        vector = ir.VectorType(number, lanes(itemsize))

        def at(start: Any, index: Any) -> Any:
            return builder.gep(start, [ir.Constant(integer, index) if isinstance(index, int) else index])

        def load(start: Any, index: int) -> Any:
            return builder.load(builder.bitcast(at(start, index), vector.as_pointer()), align=itemsize)

        def store(value: Any, start: Any, index: int) -> None:
            builder.store(value, builder.bitcast(at(start, index), vector.as_pointer()), align=itemsize)

        def repeat(value: Any) -> Any:
            """The number in every lane."""
            nothing, zeros = ir.Constant(vector, ir.Undefined), ir.VectorType(ir.IntType(32), vector.count)
            one = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(one, nothing, ir.Constant(zeros, [0] * vector.count))

        anew = context.cast(builder, arguments[5], signature.args[5], types.boolean)
        places = [(r, v) for r in range(ROWS) for v in range(vectors)]
        sums = {place: cgutils.alloca_once(builder, vector) for place in places}  # LLVM makes registers of these
        for r, v in places:
            before = load(c, (r * vectors + v) * vector.count)
            builder.store(builder.select(anew, ir.Constant(vector, [0.0] * vector.count), before), sums[r, v])
        starts = [at(a, builder.load(at(rows, r))) for r in range(ROWS)]
        with cgutils.for_range(builder, count, intp=integer) as loop:
            row = at(b, builder.load(at(offsets, loop.index)))
            columns = [load(row, v * vector.count) for v in range(vectors)]
            along = builder.mul(loop.index, step)
            for r in range(ROWS):
                factor = repeat(builder.load(at(starts[r], along)))
                for v in range(vectors):
                    product = builder.fmul(factor, columns[v], flags=("contract",))  # with the sum: one instruction
                    builder.store(builder.fadd(product, builder.load(sums[r, v]), flags=("contract",)), sums[r, v])
        for r, v in places:
            store(builder.load(sums[r, v]), c, (r * vectors + v) * vector.count)
        return context.get_dummy_value()

    multiply.__name__ = f"tile_of_{vectors}"
    return multiply  # type: ignore[no-any-return]


one, two, three = (_registers(vectors) for vectors in (1, 2, 3))


@overload(tile)  # type: ignore[untyped-decorator]
def _tile(a: Any, rows: Any, step: Any, b: Any, offsets: Any, anew: Any, c: Any) -> Any:
    """Compiled code that calls `tile` gets those instructions."""
    single = lanes(a.dtype.bitwidth // 8)

    def choose(a: Any, rows: Any, step: Any, b: Any, offsets: Any, anew: Any, c: Any) -> None:
        if c.shape[1] == 3 * single:
            three(a, rows, step, b, offsets, anew, c)
        elif c.shape[1] == 2 * single:
            two(a, rows, step, b, offsets, anew, c)
        else:
            one(a, rows, step, b, offsets, anew, c)

    return choose
