"""Arrays: making, viewing, copying, adding."""
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activation import relu_backward

Floats = NDArray[Any]


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Floats:
    return np.empty(shape, dtype)


def view(storage: Floats, shape: tuple[int, ...]) -> Floats:
    count = 1
    for length in shape:
        count *= length
    return storage[:count].reshape(shape)


def to_host(x: Floats) -> Floats:
    return np.array(x)


def from_host(host: Floats, x: Floats) -> None:
    np.copyto(x, host, casting="same_kind")


upload = from_host


def fill(x: Floats, value: float) -> None:
    x.fill(value)


def add_up(parts: Sequence[Floats], rectified: Floats | None, y: Floats) -> None:
    np.copyto(y, parts[0])
    for part in parts[1:]:
        np.add(y, part, out=y)
    if rectified is not None:
        relu_backward(y, rectified, y)


def channels(x: Floats, first: int, count: int) -> Floats:
    return x[:, first : first + count]


def copy(x: Floats, y: Floats) -> None:
    np.copyto(y, x)


def finish() -> None:
    """It has been done when a kernel returns."""


def room() -> int | None:
    """What Linux says is left, and what it can put on disk. (It lends more, and then ends the process.)"""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = {name: int(amount.split()[0]) for name, _, amount in (line.partition(":") for line in lines)}
        return 1024 * (kilobytes["MemAvailable"] + kilobytes["SwapFree"])
    except (OSError, KeyError, ValueError, IndexError):
        return None


def column(number: int) -> Any:
    """All columns have the same memory and the same processor."""
    return sys.modules["npnet.kernels.numpy"]


def receive(theirs: Floats, x: Floats) -> None:
    np.copyto(x, theirs)


def on_one_thread() -> None:
    """NumPy asks its BLAS alone, whose threads are the process's."""
