"""The update rule of AlexNet §5, as printed, and the mean of what it makes."""
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


def sgd_update(w: Floats, v: Floats, g: Floats, rate: float, momentum: float, decay: float) -> None:
    v *= momentum
    v -= decay * rate * w
    v -= rate * g
    np.add(w, v, out=w)


def average_update(w: Floats, a: Floats, share: float) -> None:
    np.copyto(a, w if share == 1 else a + share * (w - a))
