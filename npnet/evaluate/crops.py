"""A net's answers to several crops of each photo, put together. AlexNet §4.1, GoogLeNet §7."""
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from npnet.layers import Layer

AT_ONCE = 48
"""Crops in a forward pass."""

Combined = dict[str, NDArray[np.float64]]


def combined(
    net: Layer, photos: Iterable[NDArray[np.float32]], ways: dict[str, tuple[list[int], str]],
    progress: Callable[[int], object] | None = None,
) -> Combined:
    """Of each way, (N, K): how probable the net finds the classes of N photos.

    photos : of each its crops (n, C, H, W), as the net is to see them.
    ways : by name, which of the crops, and "mean" or "max": of their probabilities, behind the softmax. (The paper's
        tried the largest too, and found it worse.)
    progress : called with the number of crops of each forward pass.
    """
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ways}
    for crops in photos:
        parts = []
        for first in range(0, len(crops), AT_ONCE):
            some = np.ascontiguousarray(crops[first : first + AT_ONCE])
            scores = net.forward(net.upload("evaluate.x", some), train=False)
            softmax = net.like("evaluate.probabilities", scores)
            net.kernels.softmax(scores, softmax)
            parts.append(net.kernels.to_host(softmax))
            if progress:
                progress(len(some))
        p = np.concatenate(parts).astype(np.float64)
        for name, (which, how) in ways.items():
            found[name].append(p[which].max(axis=0) if how == "max" else p[which].mean(axis=0))
    return {name: np.stack(rows) for name, rows in found.items()}
