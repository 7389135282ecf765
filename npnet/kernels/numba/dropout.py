"""Dropout's mask, a function of a key alone: `npnet.counter.quarters`. AlexNet §4.2."""
import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from npnet.counter import GOLDEN, MIX_1, MIX_2, Key
from npnet.kernels.numpy.dropout import scale

from .arrays import LINE, flat
from .compile import inlined, overload
from .prepared import Loops, loop, prepared
from .team import parallel, share
from .tile import BYTES, Registers, data

__all__ = ["dropout", "scale"]

Floats = NDArray[Any]
Numbers = NDArray[np.uint64]
STEP, FIRST, SECOND, LOWEST = np.uint64(GOLDEN), np.uint64(MIX_1), np.uint64(MIX_2), np.uint64(2**16 - 1)

HASHES = BYTES // 8  # in a vector register
FEW_DROPPED = 2**18
"""Numbers: so few are for the thread that calls. Two threads would have other halves than those in which the layer
before wrote them: of AlexNet's, of 64 images, dropout took 87 µs in place of 71."""


def _mixed(z: Any) -> Any:
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return z ^ (z >> np.uint64(31))


def keep(x: Floats, first: int, last: int, threshold: Any, scale: Any, key: Any, y: Floats) -> None:
    """y[e] = scale · x[e] where element e is kept, else 0, for e from one that is divisible by 4 to another.

    A hash of 64 bits is a dozen operations, most of the work: it decides on four elements, and a vector of hashes is a
    vector of quarters. Compilers see neither.
    """
    for e in range(first, last):
        z = _mixed(key + np.uint64(e // 4) * STEP)
        y[e] = x[e] * scale if z >> np.uint64(e % 4 * 16) & LOWEST >= threshold else 0


@intrinsic  # type: ignore[untyped-decorator]
def _keep_vector(
    context: Any, x: Any, first: Any, count: Any, threshold: Any, scale: Any, key: Any, y: Any
) -> Any:
    """`count` may be None: a whole vector."""
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        x, y = (data(context, builder, signature, arguments, i) for i in (0, 6))
        registers = Registers(context, builder, signature.args[0].dtype, 4 * HASHES)
        word, number = ir.IntType(64), ir.IntType(32)

        def everywhere(value: int) -> Any:
            return ir.Constant(ir.VectorType(word, HASHES), [value] * HASHES)

        def mixed(z: Any, shift: int) -> Any:
            return builder.xor(z, builder.lshr(z, everywhere(shift)))

        counter = builder.lshr(arguments[1], word(2))
        start = builder.add(arguments[5], builder.mul(counter, word(GOLDEN)))
        following = ir.Constant(ir.VectorType(word, HASHES), [i * GOLDEN % 2**64 for i in range(HASHES)])
        z = builder.add(registers.repeat(start, HASHES), following)
        z = builder.mul(mixed(z, 30), everywhere(MIX_1))
        z = mixed(builder.mul(mixed(z, 27), everywhere(MIX_2)), 31)
        quarters = builder.bitcast(z, ir.VectorType(ir.IntType(16), 4 * HASHES))  # the lowest comes first
        least = registers.repeat(builder.trunc(arguments[3], number))
        mask = None if count == types.none else registers.first(arguments[2])
        values = builder.fmul(registers.load(x, arguments[1], mask), registers.repeat(arguments[4]))
        kept = builder.icmp_unsigned(">=", builder.zext(quarters, least.type), least)
        registers.store(builder.select(kept, values, registers.constant(0)), y, arguments[1], mask)
        return context.get_dummy_value()

    return types.void(x, first, count, threshold, scale, key, y), generate


@overload(keep)
def _keep(x: Any, first: Any, last: Any, threshold: Any, scale: Any, key: Any, y: Any) -> Any:
    width = 4 * HASHES

    def run(x: Any, first: Any, last: Any, threshold: Any, scale: Any, key: Any, y: Any) -> None:
        whole = first + (last - first) // width * width
        for e in range(first, whole, width):
            _keep_vector(x, e, None, threshold, scale, key, y)
        if whole < last:
            _keep_vector(x, whole, last - whole, threshold, scale, key, y)

    return run


def _dropout(x: Floats, threshold: Any, scale: Any, numbers: Numbers, y: Floats, thread: int, team: int) -> None:
    """numbers : of the key, which is made of them here as `counter.key` makes it."""
    key = mixed((mixed(numbers[0] + STEP) ^ numbers[1]) + STEP)
    first, last = share(-(-x.size // LINE), thread, team)
    keep(x, first * LINE, min(x.size, last * LINE), threshold, scale, key, y)


mixed = inlined(_mixed)
_mask = parallel(_dropout, FEW_DROPPED)


@prepared
def dropout(x: Floats, p: float, scale: float, key: Key, y: Floats) -> Loops:
    threshold, row = np.uint64(math.ceil(p * 2.0**16)), flat(x)
    return [loop(_mask, row, threshold, x.dtype.type(scale), key.numbers, row if y is x else flat(y))]
