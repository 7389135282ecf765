"""A tile of a matrix product, held in the processor's registers: what is fast here is made of it.

A processor core multiplies and adds two vectors of 16 float32 (AVX-512) in each cycle, but reads two and writes one. A
product stays at full speed only if what is read is used several times before the next is: ROWS × VECTORS of the result
stay in registers while the sum runs, and each step of it reads VECTORS of b and ROWS numbers of a, for ROWS · VECTORS
multiplications. Compilers do not find this arrangement by themselves; `_registers` spells it out.
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
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic
from numpy.typing import NDArray

from .arrays import LINE
from .compile import jitable, overload

Floats = NDArray[Any]
Numbers = NDArray[np.int64]


def _registers_of_this_machine() -> tuple[int, int, int]:
    """Rows of a tile, vectors in a row, and bytes in a vector: for the sums, three quarters of the registers."""
    flags = numba.config.CPU_FEATURES  # what numba compiles for, which its user may have chosen
    has = set((get_host_cpu_features() if flags is None else flags).split(","))
    if "+avx512f" in has:
        return 8, 3, 64  # 24 of 32 registers
    if {"+avx2", "+fma"} <= has:
        return 4, 3, 32  # 12 of 16
    return (8, 3, 16) if "+neon" in has else (4, 2, 16)


ROWS, VECTORS, BYTES = _registers_of_this_machine()
if BYTES == 32:
    llvm.initialize_native_asmparser()  # for `_multiply_add`

MASK = np.dtype(np.int8 if BYTES == 64 else np.int32)
"""What a mask has for each lane in memory. AVX-512 makes one of bytes, and of a quarter as many of them the first-level
cache has room for the rest: max pooling forward became 1.15 to 1.35 times as fast. With AVX2 a mask is 32 bits a lane,
and to make it of bytes took a quarter longer."""



def mask_of(yes: NDArray[Any]) -> NDArray[Any]:
    """As `Registers.read_mask` reads it, in one row: −1 for yes."""
    return -yes.ravel().astype(MASK)


ESTIMATES = {64: "llvm.x86.avx512.rsqrt14.ps.512", 32: "llvm.x86.avx.rsqrt.ps.256"}.get(BYTES)
"""The instruction for about 1 / √x of a register of float32."""


def lanes(itemsize: int) -> int:
    """Numbers in a vector register."""
    return BYTES // itemsize


def in_vector(x: Floats) -> int:
    """The same, of those that x holds. Compiled code knows the number: a loop in steps of one that it does not know
    begins with a division, which takes as long as a row of a small map."""
    return lanes(x.itemsize)


def in_line(x: Floats) -> int:
    """Numbers in a line of the cache. What is no product takes as many at a time, in one register or in several: a step
    has its own costs, and only whole lines can be written past the caches."""
    return LINE // x.itemsize


def _known(numbers: Callable[[Floats], int], itemsize: Callable[[int], int]) -> None:
    @overload(numbers, inline="always")
    def in_compiled_code(x: Any) -> Any:
        count = itemsize(x.dtype.bitwidth // 8)

        def known(x: Any) -> int:
            return count

        return known


_known(in_vector, lanes)
_known(in_line, lambda itemsize: LINE // itemsize)


def widest(itemsize: int) -> int:
    """Columns of a tile."""
    return VECTORS * lanes(itemsize)


@jitable
def whole(columns: int, lanes: int) -> int:
    """The width of the tile for so many columns more: whole vectors, VECTORS at most."""
    return -(-min(columns, VECTORS * lanes) // lanes) * lanes


FIRST_ROWS = np.arange(ROWS)

PACKED = BYTES < 64
"""Are the columns of a tile brought close together first, and summed over in steps? With AVX-512, the second-level
cache gives a line in a cycle, and reading them where they lie is faster. Where it gives half a line, tiles would wait:
1 × 1 convolutions ran at 58 % of the best matrix product, and run at 70."""
STEPS = 160  # that are summed over at a time: so many columns stay in the first-level cache (32 KB), beside the rows


@jitable
def even_steps(count: int) -> int:
    """How many at a time, if as few times as possible, and about as many each time."""
    return -(-count // -(-count // STEPS))


def tile(
    a: Floats, rows: Numbers, step: int, b: Floats, offsets: Numbers, anew: bool, c: Floats, width: int,
    ahead: int | None = None
) -> None:
    """c[r · width + v] += Σ_t a[rows[r] + t · step] · b[offsets[t] + v] for v < width, `lanes` or some times as many.
    `anew`: = in place of +=, whatever c was before.

    a, b, c : of one dimension; c may lie over a, it is written last.  rows (ROWS,).  ahead : what is read next, so far
    behind what is read now: a line of it is asked for at each step (if `width` is all of VECTORS; else nothing).
    """
    sums = c[: ROWS * width].copy()
    if anew:
        sums[:] = 0
    for t in range(offsets.size):
        for r in range(ROWS):
            for v in range(width):
                sums[r * width + v] += a[rows[r] + t * step] * b[offsets[t] + v]
    c[: ROWS * width] = sums


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

    def load_some(self, start: Any, index: Any, mask: Any, is_there: Any, size: Any) -> Any:
        """The vector there where the mask is set, and anything where it is not. The array holds `size` integers, a
        vector or more; is_there : does the whole vector lie in it? AVX2 has no masks for bytes: if it does not, the
        array's first or last vector is read, and moved to its place."""
        if BYTES == 64:
            return self.load(start, index, mask)
        build, value, lanes = self.builder, cgutils.alloca_once(self.builder, self.vector), self.vector.count
        with build.if_else(is_there) as (whole, part):
            with whole:
                build.store(self.load(start, index), value)
            with part:
                near = self._limited(index, 0, build.sub(size, index.type(lanes)))
                beyond = self._limited(build.sub(index, near), 1 - lanes, index.type(lanes - 1))
                bits = ir.IntType(8 * self.itemsize * lanes)
                there = build.bitcast(self.load(start, near), bits)
                ahead, behind = (
                    build.mul(self._limited(many, 0, index.type(lanes)), index.type(8 * self.itemsize))
                    for many in (beyond, build.neg(beyond)))
                if bits.width != index.type.width:
                    to_width = build.zext if bits.width > index.type.width else build.trunc
                    ahead, behind = (to_width(many, bits) for many in (ahead, behind))
                build.store(build.bitcast(build.shl(build.lshr(there, ahead), behind), self.vector), value)
        return build.load(value)

    def _limited(self, value: Any, least: int, most: Any) -> Any:
        for way, limit in (("<", value.type(least)), (">", most)):
            value = self.builder.select(self.builder.icmp_signed(way, value, limit), limit, value)
        return value

    def store(self, value: Any, start: Any, index: Any, mask: Any = None, past_caches: bool = False) -> None:
        """past_caches : the numbers are a line of the cache, and begin one. Where that is one register: of two, the
        processor writes half lines (it took twice as long)."""
        place = self.at(start, index)
        if past_caches and self.itemsize * self.vector.count == BYTES:
            stored = self.builder.store(value, place, align=self.itemsize * self.vector.count)
            one = ir.Constant(ir.IntType(32), 1)
            stored.set_metadata("nontemporal", self.builder.module.add_metadata([one]))
        elif mask is None:
            self.builder.store(value, place, align=self.itemsize)
        else:
            self._masked("store", ir.VoidType(), [value, place, self.align, mask])

    def store_first(self, value: Any, start: Any, index: Any, count: Any, end: Any) -> None:
        """The first `count` numbers. What lies behind them, before `end`, may be lost: a masked store takes AVX2 as
        long as a dozen others, so it writes whole vectors as far as it may."""
        self.store_some(value, start, index, self.first(count), self.ends_before(end, index))

    def store_from(self, value: Any, start: Any, index: Any, first: Any, count: Any, end: Any) -> None:
        """The same of the numbers from `first` on to `count`."""
        mask = self.builder.and_(self.first(count), self.builder.not_(self.first(first)))
        all_ = self.builder.icmp_signed("<=", first, ir.Constant(first.type, 0))
        self.store_some(value, start, index, mask, self.builder.and_(all_, self.ends_before(end, index)))

    def ends_before(self, end: Any, index: Any) -> Any:
        """Does a whole vector that begins there end before `end`?"""
        return self.builder.icmp_signed(
            "<=", self.builder.add(index, ir.Constant(index.type, self.vector.count)), end)

    def store_some(self, value: Any, start: Any, index: Any, mask: Any, rather_all: Any) -> None:
        if BYTES == 64:
            self.store(value, start, index, mask)
            return
        with self.builder.if_else(rather_all) as (whole, part):
            with whole:
                self.store(value, start, index)
            with part:
                self.store(value, start, index, mask)

    def _masked(self, way: str, result: Any, arguments: list[Any]) -> Any:
        kind = "i" if isinstance(self.number, ir.IntType) else "f"
        name = f"llvm.masked.{way}.v{self.vector.count}{kind}{8 * self.itemsize}.p0"
        function = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, name), arguments)

    def narrowed(self, values: Any) -> Any:
        """Integers of more bits as those that the array holds; floats as they are."""
        narrow = isinstance(self.number, ir.IntType) and values.type.element.width > self.number.width
        return self.builder.trunc(values, self.vector) if narrow else values

    def root(self, value: Any) -> Any:
        kind, name = self.vector, f"llvm.sqrt.v{self.vector.count}f{8 * self.itemsize}"
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(kind, [kind]), name)
        return self.builder.call(function, [value])

    def inverse_root(self, value: Any) -> Any:
        """1 / √value of positive numbers."""
        return self.kept_at_limits(*self.near_inverse_root(value))

    def near_inverse_root(self, value: Any) -> tuple[Any, Any]:
        """1 / √value of positive numbers: about, and as exactly as float32 says it, where that is neither 0 nor ∞.

        Roots and quotients of a vector take the processor ten cycles each, an estimate to 14 bits two; a step of
        Newton's, y ← y (3 − value y²) / 2, makes 28 bits of 14, more than float32 has. (Of the 12 that AVX2 has, it
        makes 22, so it takes two.) That of ∞ is 0 and that of 0 is ∞, of which a step makes 0 · ∞.
        """
        build = self.builder
        if ESTIMATES is None or self.itemsize != 4 or self.vector.count % (BYTES // 4):
            exact = build.fdiv(self.constant(1), self.root(value))
            return exact, exact
        parts = [self._estimate(self.shuffle(value, value, range(i, i + BYTES // 4)))
                 for i in range(0, self.vector.count, BYTES // 4)]
        y = parts[0] if len(parts) == 1 else self.shuffle(parts[0], parts[1], range(self.vector.count))
        better, half = y, build.fmul(value, self.constant(-0.5))
        for _ in range(1 if BYTES == 64 else 2):
            square = build.fmul(build.fmul(half, better), better, flags=("contract",))
            better = build.fmul(better, build.fadd(self.constant(1.5), square, flags=("contract",)))
        return y, better

    def kept_at_limits(self, estimate: Any, better: Any) -> Any:
        """What was made better, but the estimate where that is 0 or ∞."""
        if BYTES == 64:  # then it is NaN. (AVX2's estimate of what is nearly 0 is ∞ too, and −∞ is made of that.)
            wrong = self.builder.fcmp_unordered("uno", better, better)
        else:
            wrong = self.builder.or_(*(
                self.builder.fcmp_ordered("==", estimate, self.constant(limit)) for limit in (0, np.inf)))
        return self.builder.select(wrong, estimate, better)

    def _estimate(self, value: Any) -> Any:
        """Of one register."""
        more = [ir.Constant(value.type, [0] * value.type.count), ir.Constant(ir.IntType(16), -1)] if BYTES == 64 else []
        kind = ir.FunctionType(value.type, [x.type for x in (value, *more)])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, ESTIMATES), [value, *more])

    def added(self, before: Any, terms: Any, mask: Any) -> Any:
        """before + terms, where the mask is set. With AVX-512, an addition has a mask itself. Else what counts is
        chosen before: additions wait for each other, and need not for the choice."""
        if BYTES == 64:
            return self.builder.select(mask, self.builder.fadd(before, terms), before)
        return self.builder.fadd(before, self.builder.select(mask, terms, self.constant(0)))

    def repeat(self, value: Any, count: int | None = None) -> Any:
        """The number in every lane, or in a vector of so many."""
        vector, number = ir.VectorType(value.type, count or self.vector.count), ir.IntType(32)
        one = self.builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(number, 0))
        everywhere = ir.Constant(ir.VectorType(number, vector.count), [0] * vector.count)
        return self.builder.shuffle_vector(one, one, everywhere)

    def first(self, count: Any) -> Any:
        """A mask: the first `count` lanes. Where masks are bits, as bits of one number: to compare every lane takes
        longer."""
        lanes, integer = self.vector.count, ir.IntType(64)
        count = self.builder.sext(count, integer) if count.type.width < integer.width else count
        if BYTES < 64:
            number = ir.IntType(8 * self.itemsize)
            count = self.builder.select(self.builder.icmp_signed(">", count, integer(lanes)), integer(lanes), count)
            return self.builder.icmp_signed(
                "<", ir.Constant(ir.VectorType(number, lanes), list(range(lanes))),
                self.repeat(self.builder.trunc(count, number) if number.width < integer.width else count))
        for way, limit in ((">", integer(0)), ("<", integer(lanes))):
            count = self.builder.select(self.builder.icmp_signed(way, count, limit), count, limit)
        if lanes < integer.width:
            # 16 bits at least: of 8 that it copies into a mask of 16, LLVM takes the rest for 0, which they are not
            # always, and a masked store of 8 bytes then wrote 16
            ones, bits = self.builder.sub(self.builder.shl(integer(1), count), integer(1)), max(16, lanes)
            mask = self.builder.bitcast(
                self.builder.trunc(ones, ir.IntType(bits)), ir.VectorType(ir.IntType(1), bits))
            return mask if bits == lanes else self.shuffle(mask, mask, range(lanes))
        return self.builder.icmp_signed(
            "<", ir.Constant(ir.VectorType(integer, lanes), list(range(lanes))), self.repeat(count))

    def read_mask(self, start: Any, index: Any) -> Any:
        """A mask that lies in memory, `MASK` for each lane, −1 or 0."""
        words = ir.VectorType(ir.IntType(8 * MASK.itemsize), self.vector.count)
        values = self.builder.load(
            self.builder.bitcast(self.builder.gep(start, [index]), words.as_pointer()), align=MASK.itemsize)
        return self.builder.icmp_signed("<", values, ir.Constant(words, [0] * self.vector.count))

    def constant(self, value: float | Sequence[float]) -> Any:
        """One number in every lane, or a number for each."""
        return ir.Constant(self.vector, list(value) if isinstance(value, Sequence) else [value] * self.vector.count)

    def apart(self, step: Any) -> list[Any]:
        """The places 0, step, 2 step, …, as many as there are numbers in a vector."""
        return [self.builder.mul(step, ir.Constant(step.type, i)) for i in range(self.vector.count)]

    def listed(self, places: Any, first: Any, i: int) -> Any:
        """places[first + i]"""
        return self.builder.load(self.builder.gep(self.builder.gep(places, [first]), [ir.Constant(ir.IntType(64), i)]))

    def order_of_halves(self) -> list[int]:
        """The order in which every other number of two registers comes with a single instruction: x86 chooses from 16
        bytes of each at a time. (As they lie, it takes AVX2 two.)"""
        half, some = self.vector.count // 2, 8 // self.itemsize
        return [start + i for first in range(0, half, some) for start in (first, half + first) for i in range(some)]

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


def _multiply_add(builder: ir.IRBuilder, registers: Registers, factor: Any, columns: list[Any], sums: list[Any]) -> Any:
    """sums + the number at `factor` · columns.

    Where there are 16 registers, 12 hold sums, 3 columns, 1 the number, and none is to spare. LLVM reads all numbers of
    a step first, and makes room by putting sums into memory and back, which takes twice as long. So the instructions
    of a row are one piece to it there.
    """
    if BYTES != 32:
        number = registers.repeat(builder.load(factor))
        products = [builder.fmul(number, column, flags=("contract",)) for column in columns]  # with the sum: one step
        return [builder.fadd(product, sum_, flags=("contract",)) for product, sum_ in zip(products, sums, strict=True)]
    kind, many = ("ss", "ps") if registers.itemsize == 4 else ("sd", "pd"), len(columns)
    lines = [f"vbroadcast{kind[0]} (${many + 1}), $0"]  # $0 the number, then the sums, where it is read, the columns
    lines += [f"vfmadd231{kind[1]} ${many + 2 + v}, $0, ${1 + v}" for v in range(many)]
    where = ["=&x", *["=&x"] * many, "r", *["x"] * many, *(str(1 + v) for v in range(many))]
    result = ir.LiteralStructType([registers.vector] * (many + 1))
    given = [factor, *columns, *sums]
    piece = ir.InlineAsm(ir.FunctionType(result, [x.type for x in given]), "\n".join(lines), ",".join(where),
                         side_effect=True)  # else LLVM might put them in another order
    made = builder.call(piece, given)
    return [builder.extract_value(made, 1 + v) for v in range(many)]


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
        with builder.if_else(anew) as (from_zero, from_before):  # c may be far away: it is read only if it must be
            with from_zero:
                for where in places:
                    builder.store(registers.constant(0), sums[where])
            with from_before:
                for where in places:
                    builder.store(registers.load(c, place(*where)), sums[where])
        starts = [at(a, builder.load(at(rows, r))) for r in range(ROWS)]
        with cgutils.for_range(builder, count, intp=integer) as loop:
            row = at(b, builder.load(at(offsets, loop.index)))
            columns = [registers.load(row, place(0, v)) for v in range(vectors)]
            if signature.args[7] != types.none:
                ask_for(builder, row, arguments[7], write=False)
            along = builder.mul(loop.index, step)
            for r in range(ROWS):
                factor, before = at(starts[r], along), [builder.load(sums[r, v]) for v in range(vectors)]
                for v, sum_ in enumerate(_multiply_add(builder, registers, factor, columns, before)):
                    builder.store(sum_, sums[r, v])
        for r, v in places:
            registers.store(builder.load(sums[r, v]), c, place(r, v))
        return context.get_dummy_value()

    multiply.__name__ = f"tile_of_{vectors}"
    return multiply  # type: ignore[no-any-return]


one, two, most = (_registers(vectors) for vectors in (1, 2, VECTORS))


@overload(tile)
def _tile(
    a: Any, rows: Any, step: Any, b: Any, offsets: Any, anew: Any, c: Any, width: Any, ahead: Any = None
) -> Any:
    """Compiled code that calls `tile` gets those instructions."""
    single = lanes(a.dtype.bitwidth // 8)

    def choose(
        a: Any, rows: Any, step: Any, b: Any, offsets: Any, anew: Any, c: Any, width: Any, ahead: Any = None
    ) -> None:
        if width == VECTORS * single:
            most(a, rows, step, b, offsets, anew, c, ahead)
        elif width == 2 * single:
            two(a, rows, step, b, offsets, anew, c, None)
        else:
            one(a, rows, step, b, offsets, anew, c, None)

    return choose
