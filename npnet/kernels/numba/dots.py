"""Products of rows by rows, as a fully connected layer makes them forward: y = x wᵀ.

A row of weights lies along what is summed over, and so does an image. So a vector holds neighbouring terms of *one*
sum, of VECTORS images and ROWS outputs at a time, and its numbers are added up at the end. Nothing is turned over and
brought close together first, as it was for `tile`: AlexNet's fc6 became 1.2 to 1.8 times as fast with 64 images, 1.8
times with one (docs/speed.md).
"""
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .compile import overload
from .tile import ROWS, VECTORS, Registers, ask_for, data

Floats = NDArray[Any]


def dots(
    x: Floats, line: int, w: Floats, depth: int, count: int, images: int, outputs: int, ahead: int, anew: bool,
    bias: Floats, least: Any, y: Floats, width: int
) -> None:
    """y[n · width + o] += Σ_i x[n · line + i] w[o · depth + i], i < count, for n < images and o < outputs, which are
    VECTORS and ROWS at most; or `least`, if that is less. `anew`: bias[o] in place of what y was before.

    All arrays of one dimension.  ahead : how far behind `w` what is needed next begins; a line of it is asked for with
    each vector of i.
    """
    for n in range(images):
        for o in range(outputs):
            value = bias[o] if anew else y[n * width + o]
            for i in range(count):
                value += x[n * line + i] * w[o * depth + i]
            y[n * width + o] = least if value <= least else value


def _added_up(registers: Registers, sums: list[Any]) -> Any:
    """Of so many vectors the sum of each, side by side. Neighbours are added, of two vectors at a time as long as there
    are two, until one number is left of each; as many vectors as lanes, or a power of two times more or fewer."""
    lanes = registers.vector.count
    while lanes > 1:
        pairs = list(zip(sums[::2], sums[1::2], strict=True)) if len(sums) > 1 else [(sums[0], sums[0])]
        numbers = sums[0].type.count * min(len(sums), 2)
        sums = [registers.builder.fadd(*(registers.shuffle(*pair, range(first, numbers, 2)) for first in (0, 1)))
                for pair in pairs]
        lanes //= 2
    while len(sums) > 1:
        sums = [registers.shuffle(*pair, range(2 * sums[0].type.count))
                for pair in zip(sums[::2], sums[1::2], strict=True)]
    return sums[0]


@intrinsic  # type: ignore[untyped-decorator]
def _dots(
    context: Any, x: Any, line: Any, w: Any, depth: Any, count: Any, images: Any, outputs: Any, ahead: Any, anew: Any,
    bias: Any, least: Any, y: Any, width: Any
) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        x, w, bias, y = (data(context, builder, signature, arguments, i) for i in (0, 2, 9, 11))
        line, depth, count, images, outputs, ahead, width = (arguments[i] for i in (1, 3, 4, 5, 6, 7, 12))
        anew, limit = context.cast(builder, arguments[8], signature.args[8], types.boolean), arguments[10]
        registers, integer = Registers(context, builder, signature.args[0].dtype), ir.IntType(64)

        def rows(start: Any, length: Any, there: Any, many: int) -> list[Any]:
            """Where each of so many begins; in place of those that are not there, the last one again."""
            last = builder.sub(there, integer(1))
            some = [builder.select(builder.icmp_signed("<", integer(i), there), integer(i), last) for i in range(many)]
            return [builder.gep(start, [builder.mul(i, length)]) for i in some]

        of_images, of_weights = rows(x, line, images, VECTORS), rows(w, depth, outputs, ROWS)
        of_next = builder.gep(w, [ahead])
        sums = [[cgutils.alloca_once_value(builder, registers.constant(0)) for _ in of_weights] for _ in of_images]

        def step(i: Any, mask: Any) -> None:
            pixels = [registers.load(start, i, mask) for start in of_images]
            for o, start in enumerate(of_weights):
                weights = registers.load(start, i, mask)
                for n, own in enumerate(sums):
                    product = builder.fmul(pixels[n], weights, flags=("contract",))  # with the sum: one instruction
                    builder.store(builder.fadd(product, builder.load(own[o]), flags=("contract",)), own[o])

        lanes = integer(registers.vector.count)
        whole = builder.mul(builder.sdiv(count, lanes), lanes)
        with cgutils.for_range_slice(builder, integer(0), whole, lanes, intp=integer) as (i, _):
            ask_for(builder, of_next, i, write=False)
            step(i, None)
        with builder.if_then(builder.icmp_signed("<", whole, count)):
            step(whole, registers.first(builder.sub(count, whole)))
        results = Registers(context, builder, signature.args[0].dtype, ROWS)
        mask, least = results.first(outputs), results.repeat(limit)
        for n, own in enumerate(sums):
            with builder.if_then(builder.icmp_signed("<", integer(n), images)):
                place = builder.mul(integer(n), width)
                before = results.load(builder.select(anew, bias, builder.gep(y, [place])), integer(0), mask)
                value = builder.fadd(before, _added_up(registers, [builder.load(sum_) for sum_ in own]))
                value = builder.select(builder.fcmp_ordered("<=", value, least), least, value)
                results.store(value, y, place, mask)
        return context.get_dummy_value()

    return types.void(x, line, w, depth, count, images, outputs, ahead, anew, bias, least, y, width), generate


@overload(dots)
def _in_vectors(
    x: Any, line: Any, w: Any, depth: Any, count: Any, images: Any, outputs: Any, ahead: Any, anew: Any, bias: Any,
    least: Any, y: Any, width: Any
) -> Any:
    def run(
        x: Any, line: Any, w: Any, depth: Any, count: Any, images: Any, outputs: Any, ahead: Any, anew: Any, bias: Any,
        least: Any, y: Any, width: Any
    ) -> None:
        _dots(x, line, w, depth, count, images, outputs, ahead, anew, bias, least, y, width)

    return run
