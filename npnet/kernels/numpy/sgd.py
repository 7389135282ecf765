"""The update rule of AlexNet §5, as printed, and the mean of what it makes."""
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


def sgd_update(
    ws: Sequence[Floats], vs: Sequence[Floats], gs: Sequence[Floats], rates: Sequence[tuple[float, float]],
    momentum: float,
) -> None:
    for w, v, g, (rate, decay) in zip(ws, vs, gs, rates, strict=True):
        v *= momentum
        v -= decay * rate * w
        v -= rate * g
        np.add(w, v, out=w)


def average_update(w: Floats, a: Floats, rounding: Floats, share: float) -> None:
    if share == 1:
        a[...], rounding[...] = w, 0
        return
    change = share * (w - a) - rounding
    sums = a + change
    np.subtract(sums - a, change, out=rounding)
    np.copyto(a, sums)
