"""Local response normalisation, across channels and within a map. AlexNet §3.3."""
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


def lrn_forward(a: Floats, size: int, alpha: float, beta: float, k: float, d: Floats | None, b: Floats) -> None:
    d = np.empty_like(a) if d is None else d
    d[...] = k + alpha * _window_sum(a * a, size // 2, size - 1 - size // 2, axes=(1,))
    np.multiply(a, d**-beta, out=b)


def lrn_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: float, beta: float, rectified: bool, da: Floats
) -> None:
    # j lies in the window of i when i lies in the window of j turned around
    shared = _window_sum(db * b / d, size - 1 - size // 2, size // 2, axes=(1,))
    np.subtract(db * d**-beta, 2 * alpha * beta * a * shared, out=da)
    if rectified:
        da[~(a > 0)] = 0


def lrn_within_forward(a: Floats, size: int, alpha: float, beta: float, k: float, d: Floats, b: Floats) -> None:
    d[...] = k + alpha * _window_sum(a * a, size // 2, size - 1 - size // 2, axes=(2, 3))
    np.multiply(a, d**-beta, out=b)


def lrn_within_backward(
    db: Floats, a: Floats, b: Floats, d: Floats, size: int, alpha: float, beta: float, rectified: bool, da: Floats
) -> None:
    shared = _window_sum(db * b / d, size - 1 - size // 2, size // 2, axes=(2, 3))
    np.subtract(db * d**-beta, 2 * alpha * beta * a * shared, out=da)
    if rectified:
        da[~(a > 0)] = 0


def _window_sum(x: Floats, before: int, after: int, axes: tuple[int, ...]) -> Floats:
    """Sum over positions i − before … i + after along each of `axes`, clipped at the ends."""
    for axis in axes:
        ends = [(0, 0)] * x.ndim
        ends[axis] = (before, after)
        x = np.lib.stride_tricks.sliding_window_view(np.pad(x, ends), before + after + 1, axis=axis).sum(axis=-1)
    return x
