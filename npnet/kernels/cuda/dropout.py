"""Dropout's mask, the same as on a CPU: a function of a key alone. AlexNet §4.2."""
from typing import Any

import numpy as np
from numba import cuda, uint64

from npnet.counter import GOLDEN, MIX_1, MIX_2, Key

from .launch import compiled, each, flat, scalar

Device = Any

STEP, FIRST, SECOND = np.uint64(GOLDEN), np.uint64(MIX_1), np.uint64(MIX_2)
A30, A27, A31, QUARTER = (np.uint64(bits) for bits in (30, 27, 31, 16))
LOWEST = np.uint64(0xFFFF)


def dropout(x: Device, p: float, scale: float, key: Key, y: Device) -> None:
    least = np.uint64(np.ceil(p * 2.0**16))  # a whole number is kept if it is at least p · 2^16
    each(_dropout, -(-x.size // 4), flat(x), least, scalar(x, scale), np.uint64(key.number), flat(y))


def scale(x: Device, factor: float, y: Device) -> None:
    each(_scale, x.size, flat(x), scalar(x, factor), flat(y))


def _dropout_loop(x: Any, least: Any, scale: Any, key: Any, y: Any) -> None:
    """Four elements from 64 bits, as `counter.quarters`."""
    for four in range(cuda.grid(1), (x.size + 3) // 4, cuda.gridsize(1)):
        z = key + uint64(four) * STEP  # modulo 2^64
        z = (z ^ (z >> A30)) * FIRST
        z = (z ^ (z >> A27)) * SECOND
        z = z ^ (z >> A31)
        for e in range(4 * four, min(4 * four + 4, x.size)):
            y[e] = x[e] * scale if (z & LOWEST) >= least else x.dtype.type(0)
            z = z >> QUARTER


def _scale_loop(x: Any, factor: Any, y: Any) -> None:
    for e in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[e] = factor * x[e]


_dropout, _scale = compiled(_dropout_loop), compiled(_scale_loop)
