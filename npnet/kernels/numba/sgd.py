"""The update rule of AlexNet §5, as printed: each array is read once and written once."""
from typing import Any

from numba import prange
from numpy.typing import NDArray

from .compile import compiled, flat

Floats = NDArray[Any]


def _sgd_update(w: Floats, v: Floats, g: Floats, rate: Any, momentum: Any, decay: Any) -> None:
    for i in prange(w.size):
        v[i] = momentum * v[i] - decay * rate * w[i] - rate * g[i]
        w[i] += v[i]


_update = compiled(_sgd_update)


def sgd_update(w: Floats, v: Floats, g: Floats, rate: float, momentum: float, decay: float) -> None:
    t = w.dtype.type
    _update(flat(w), flat(v), flat(g), t(rate), t(momentum), t(decay))
