"""The update rule of AlexNet §5, as printed, and the mean of what it makes."""
from collections.abc import Sequence
from typing import Any

from numba import cuda

from .launch import compiled, each, flat, scalar

Device = Any


def sgd_update(
    ws: Sequence[Device], vs: Sequence[Device], gs: Sequence[Device], rates: Sequence[tuple[float, float]],
    momentum: float,
) -> None:
    for w, v, g, (rate, decay) in zip(ws, vs, gs, rates, strict=True):
        numbers = scalar(w, rate), scalar(w, momentum), scalar(w, decay * rate)
        each(_update, w.size, flat(w), flat(v), flat(g), *numbers)


def average_update(w: Device, a: Device, rounding: Device, share: float) -> None:
    each(_average, w.size, flat(w), flat(a), flat(rounding), scalar(w, share))


def _update_loop(w: Any, v: Any, g: Any, rate: Any, momentum: Any, shrink: Any) -> None:
    """shrink : decay times rate."""
    for e in range(cuda.grid(1), w.size, cuda.gridsize(1)):
        v[e] = momentum * v[e] - shrink * w[e] - rate * g[e]
        w[e] += v[e]


def _average_loop(w: Any, a: Any, rounding: Any, share: Any) -> None:
    for e in range(cuda.grid(1), w.size, cuda.gridsize(1)):
        before = a[e]
        change = share * (w[e] - before) - rounding[e]
        after = before + change
        a[e] = w[e] if share == 1 else after
        rounding[e] = 0 if share == 1 else (after - before) - change


_update, _average = compiled(_update_loop), compiled(_average_loop)
