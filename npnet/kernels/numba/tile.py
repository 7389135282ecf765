"""A tile of a matrix product, held in the processor's registers: what is fast here is made of it.

A processor core multiplies and adds two vectors of 16 float32 (AVX-512) in each cycle, but reads two and writes one. A
product stays at full speed only if what is read is used several times before the next is: ROWS × 3 vectors of the
result stay in registers while the sum runs, and each step of it reads 3 vectors of b and ROWS numbers of a, for
ROWS · 3 multiplications. Compilers do not find this arrangement by themselves; `_registers` spells it out.
"""
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numba
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
ESTIMATES = BYTES == 64 and numba.config.CPU_NAME is None and numba.config.CPU_FEATURES is None
"""Has the processor that numba compiles for AVX-512's instruction for 1 / √x? (Its user may have named another.)"""


def lanes(itemsize: int) -> int:
    """Numbers in a vector register."""
    return BYTES // itemsize


def in_vector(x: Floats) -> int:
    """The same, of those that x holds. Compiled code knows the number: a loop in steps of one that it does not know
    begins with a division, which takes as long as a row of a small map."""
    return lanes(x.itemsize)


@overload(in_vector, inline="always")  # type: ignore[untyped-decorator]
def _in_vector(x: Any) -> Any:
    count = lanes(x.dtype.bitwidth // 8)

    def known(x: Any) -> int:
        return count

    return known


def widest(itemsize: int) -> int:
    """Columns of a tile of three vectors."""
    return 3 * lanes(itemsize)


@register_jitable  # type: ignore[untyped-decorator]
def whole(columns: int, lanes: int) -> int:
    """The width of the tile for so many columns more: whole vectors, three at most."""
    return -(-min(columns, 3 * lanes) // lanes) * lanes


FIRST_ROWS = np.arange(ROWS)


def tile(
    a: Floats, rows: Numbers, step: int, b: Floats, offsets: Numbers, anew: bool, c: Floats, width: int,
    ahead: int | None = None
) -> None:
    """c[r · width + v] += Σ_t a[rows[r] + t · step] · b[offsets[t] + v] for v < width, one, two or three times `lanes`.
    `anew`: = in place of +=, whatever c was before.

    a, b, c : of one dimension.  rows (ROWS,).  ahead : what is read next, so far behind what is read now: a line of it
    is asked for at each step.
    """
    if anew:
        c[: ROWS * width] = 0
    for t in range(offsets.size):
        for r in range(ROWS):
            for v in range(width):
                c[r * width + v] += a[rows[r] + t * step] * b[offsets[t] + v]


class Registers:
    """Reads and writes vectors of the numbers that an array holds: so many, or as many as a register does."""

    def __init__(self, context: Any, builder: ir.IRBuilder, number: Any, count: int | None = None) -> None:
        self.builder, self.number = builder, context.get_value_type(number)
        self.itemsize = number.bitwidth // 8
        self.vector = ir.VectorType(self.number, count or lanes(self.itemsize))
        self.align = ir.Constant(ir.IntType(32), self.itemsize)

    def at(self, start: Any, index: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(start, [index]), self.vector.as_pointer())

    def load(self, start: Any, index: Any, mask: Any = None, other: float = 0) -> Any:
        """The vector there; with a mask, `other` where that is not set, and nothing is read."""
        place = self.at(start, index)
        if mask is None:
            return self.builder.load(place, align=self.itemsize)
        return self._masked("load", self.vector, [place, self.align, mask, self.constant(other)])

    def store(self, value: Any, start: Any, index: Any, mask: Any = None, past_caches: bool = False) -> None:
        place = self.at(start, index)
        if past_caches:
            stored = self.builder.store(value, place, align=self.itemsize * self.vector.count)
            one = ir.Constant(ir.IntType(32), 1)
            stored.set_metadata("nontemporal", self.builder.module.add_metadata([one]))
        elif mask is None:
            self.builder.store(value, place, align=self.itemsize)
        else:
            self._masked("store", ir.VoidType(), [value, place, self.align, mask])

    def _masked(self, way: str, result: Any, arguments: list[Any]) -> Any:
        kind = "i" if isinstance(self.number, ir.IntType) else "f"
        name = f"llvm.masked.{way}.v{self.vector.count}{kind}{8 * self.itemsize}.p0"
        function = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, name), arguments)

    def root(self, value: Any) -> Any:
        kind, name = self.vector, f"llvm.sqrt.v{self.vector.count}f{8 * self.itemsize}"
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(kind, [kind]), name)
        return self.builder.call(function, [value])

    def inverse_root(self, value: Any) -> Any:
        """1 / √value of positive numbers.

        Roots and quotients of a vector take the processor ten cycles each, an estimate to 14 bits two; a step of
        Newton's, y ← y (3 − value y²) / 2, makes 28 bits of 14, more than float32 has.
        """
        build = self.builder
        if not ESTIMATES or self.itemsize != 4 or self.vector.count != 16:
            return build.fdiv(self.constant(1), self.root(value))
        kinds = [self.vector, self.vector, ir.IntType(16)]
        estimate = cgutils.get_or_insert_function(
            build.module, ir.FunctionType(self.vector, kinds), "llvm.x86.avx512.rsqrt14.ps.512")
        y = build.call(estimate, [value, self.constant(0), ir.Constant(ir.IntType(16), -1)])
        half = build.fmul(build.fmul(value, self.constant(-0.5)), y)
        return build.fmul(y, build.fadd(self.constant(1.5), build.fmul(half, y, flags=("contract",)),
                                        flags=("contract",)))

    def repeat(self, value: Any) -> Any:
        """The number in every lane."""
        vector, number = ir.VectorType(value.type, self.vector.count), ir.IntType(32)
        one = self.builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(number, 0))
        everywhere = ir.Constant(ir.VectorType(number, vector.count), [0] * vector.count)
        return self.builder.shuffle_vector(one, one, everywhere)

    def first(self, count: Any) -> Any:
        """A mask: the first `count` lanes. As bits of one number: to compare every lane takes longer."""
        lanes, integer = self.vector.count, ir.IntType(64)
        count = self.builder.sext(count, integer) if count.type.width < integer.width else count
        for way, limit in ((">", integer(0)), ("<", integer(lanes))):
            count = self.builder.select(self.builder.icmp_signed(way, count, limit), count, limit)
        if lanes < integer.width:
            ones = self.builder.sub(self.builder.shl(integer(1), count), integer(1))
            return self.builder.bitcast(
                self.builder.trunc(ones, ir.IntType(lanes)), ir.VectorType(ir.IntType(1), lanes))
        return self.builder.icmp_signed(
            "<", ir.Constant(ir.VectorType(integer, lanes), list(range(lanes))), self.repeat(count))

    def read_mask(self, start: Any, index: Any) -> Any:
        """A mask that lies in memory, a byte to a lane."""
        bytes_ = ir.VectorType(ir.IntType(8), self.vector.count)
        values = self.builder.load(
            self.builder.bitcast(self.builder.gep(start, [index]), bytes_.as_pointer()), align=1)
        return self.builder.icmp_signed("!=", values, ir.Constant(bytes_, [0] * self.vector.count))

    def constant(self, value: float | Sequence[float]) -> Any:
        """One number in every lane, or a number for each."""
        return ir.Constant(self.vector, list(value) if isinstance(value, Sequence) else [value] * self.vector.count)

    def apart(self, step: Any) -> list[Any]:
        """The places 0, step, 2 step, …, as many as there are numbers in a vector."""
        return [self.builder.mul(step, ir.Constant(step.type, i)) for i in range(self.vector.count)]

    def listed(self, places: Any, first: Any, i: int) -> Any:
        """places[first + i]"""
        return self.builder.load(self.builder.gep(self.builder.gep(places, [first]), [ir.Constant(ir.IntType(64), i)]))

    def shuffle(self, one: Any, other: Any, places: Sequence[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
        return self.builder.shuffle_vector(one, other, mask)


def data(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any, i: int) -> Any:
    """Where the numbers of an argument are that is an array; None, if it is None."""
    kind = signature.args[i]
    return None if kind == types.none else context.make_array(kind)(context, builder, arguments[i]).data


def ask_for(builder: ir.IRBuilder, start: Any, index: Any, write: bool) -> None:
    """The instruction for the line there."""
    pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    fetch = builder.module.declare_intrinsic(
        "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, number, number, number]))
    line = builder.bitcast(builder.gep(start, [index]), pointer)
    builder.call(fetch, [line, *(ir.Constant(number, i) for i in (int(write), 2, 1))])  # into the second-level cache


@cache
def _registers(vectors: int) -> Callable[..., None]:
    """`tile` with c of so many vectors in a row, in instructions: LLVM's, from which those of the machine are made."""

    @intrinsic  # type: ignore[untyped-decorator]
    def multiply(
        context: Any, a: Any, rows: Any, step: Any, b: Any, offsets: Any, anew: Any, c: Any, ahead: Any
    ) -> Any:
        return types.void(a, rows, step, b, offsets, anew, c, ahead), generate

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        a, rows, b, offsets, c = (data(context, builder, signature, arguments, i) for i in (0, 1, 3, 4, 6))
        step = arguments[2]
        count = context.make_array(signature.args[4])(context, builder, arguments[4]).nitems
        registers, integer = Registers(context, builder, signature.args[0].dtype), ir.IntType(64)
        vector = registers.vector

        def at(start: Any, index: Any) -> Any:
            return builder.gep(start, [ir.Constant(integer, index) if isinstance(index, int) else index])

        def place(r: int, v: int) -> Any:
            """Of c, a vector."""
            return ir.Constant(integer, (r * vectors + v) * vector.count)

        anew = context.cast(builder, arguments[5], signature.args[5], types.boolean)
        places = [(r, v) for r in range(ROWS) for v in range(vectors)]
        sums = {place: cgutils.alloca_once(builder, vector) for place in places}  # LLVM makes registers of these
        for r, v in places:
            before = registers.load(c, place(r, v))
            builder.store(builder.select(anew, registers.constant(0), before), sums[r, v])
        starts = [at(a, builder.load(at(rows, r))) for r in range(ROWS)]
        with cgutils.for_range(builder, count, intp=integer) as loop:
            row = at(b, builder.load(at(offsets, loop.index)))
            columns = [registers.load(row, place(0, v)) for v in range(vectors)]
            if signature.args[7] != types.none:
                ask_for(builder, row, arguments[7], write=False)
            along = builder.mul(loop.index, step)
            for r in range(ROWS):
                factor = registers.repeat(builder.load(at(starts[r], along)))
                for v in range(vectors):
                    product = builder.fmul(factor, columns[v], flags=("contract",))  # with the sum: one instruction
                    builder.store(builder.fadd(product, builder.load(sums[r, v]), flags=("contract",)), sums[r, v])
        for r, v in places:
            registers.store(builder.load(sums[r, v]), c, place(r, v))
        return context.get_dummy_value()

    multiply.__name__ = f"tile_of_{vectors}"
    return multiply  # type: ignore[no-any-return]


one, two, three = (_registers(vectors) for vectors in (1, 2, 3))


@overload(tile)  # type: ignore[untyped-decorator]
def _tile(
    a: Any, rows: Any, step: Any, b: Any, offsets: Any, anew: Any, c: Any, width: Any, ahead: Any = None
) -> Any:
    """Compiled code that calls `tile` gets those instructions."""
    single = lanes(a.dtype.bitwidth // 8)

    def choose(
        a: Any, rows: Any, step: Any, b: Any, offsets: Any, anew: Any, c: Any, width: Any, ahead: Any = None
    ) -> None:
        if width == 3 * single:
            three(a, rows, step, b, offsets, anew, c, ahead)
        elif width == 2 * single:
            two(a, rows, step, b, offsets, anew, c, None)
        else:
            one(a, rows, step, b, offsets, anew, c, None)

    return choose
