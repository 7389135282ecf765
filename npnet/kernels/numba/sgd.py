"""The update rule of AlexNet §5, as printed, and the mean of what it makes: each array is read and written once."""
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from npnet.kernels.calls import after_what_waits

from .arrays import flat
from .prepared import Loops, loop, prepared
from .team import divided

Floats = NDArray[Any]

FEW_LEARNT = 2**16  # weights: so few are for the thread that calls. Another sleeps by then, and to wake it takes longer


def _sgd_update(w: Floats, v: Floats, g: Floats, rate: Any, momentum: Any, decay: Any) -> None:
    number = w.dtype.type
    rate, momentum, decay = number(rate), number(momentum), number(decay)
    for i in range(w.size):
        v[i] = momentum * v[i] - decay * rate * w[i] - rate * g[i]
        w[i] += v[i]


_update = divided(_sgd_update, FEW_LEARNT)


@prepared
def sgd_update(
    ws: Sequence[Floats], vs: Sequence[Floats], gs: Sequence[Floats], rates: Sequence[tuple[float, float]],
    momentum: float,
) -> Loops:
    return [loop(_update, flat(w), flat(v), flat(g), rate, momentum, decay)
            for w, v, g, (rate, decay) in zip(ws, vs, gs, rates, strict=True)]


def _average_update(w: Floats, a: Floats, rounding: Floats, share: Any) -> None:
    for i in range(w.size):
        before = a[i]
        change = share * (w[i] - before) - rounding[i]
        after = before + change
        a[i] = w[i] if share == 1 else after
        rounding[i] = 0 if share == 1 else (after - before) - change


_average = divided(_average_update)


@after_what_waits
def average_update(w: Floats, a: Floats, rounding: Floats, share: float) -> None:
    _average(flat(w), flat(a), flat(rounding), w.dtype.type(share))
