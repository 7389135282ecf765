"""The update rule of AlexNet §5, as printed, and the mean of what it makes: each array is read and written once."""
from typing import Any

from numpy.typing import NDArray

from .arrays import flat
from .team import divided

Floats = NDArray[Any]


def _sgd_update(w: Floats, v: Floats, g: Floats, rate: Any, momentum: Any, decay: Any) -> None:
    for i in range(w.size):
        v[i] = momentum * v[i] - decay * rate * w[i] - rate * g[i]
        w[i] += v[i]


_update = divided(_sgd_update)


def sgd_update(w: Floats, v: Floats, g: Floats, rate: float, momentum: float, decay: float) -> None:
    t = w.dtype.type
    _update(flat(w), flat(v), flat(g), t(rate), t(momentum), t(decay))


def _average_update(w: Floats, a: Floats, share: Any) -> None:
    for i in range(w.size):
        a[i] = w[i] if share == 1 else a[i] + share * (w[i] - a[i])


_average = divided(_average_update)


def average_update(w: Floats, a: Floats, share: float) -> None:
    _average(flat(w), flat(a), w.dtype.type(share))
