"""A net's answers to several crops of each photo, put together. AlexNet §4.1, GoogLeNet §7."""
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from npnet.evaluate import answer
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
    for several in _together(photos):
        p = _probabilities(net, np.concatenate(several), progress)
        for own in np.split(p, np.cumsum([len(crops) for crops in several])[:-1]):
            for name, (which, how) in ways.items():
                found[name].append(own[which].max(axis=0) if how == "max" else own[which].mean(axis=0))
    return {name: np.stack(rows) for name, rows in found.items()}


def _together(photos: Iterable[NDArray[np.float32]]) -> Iterator[list[NDArray[np.float32]]]:
    """As many photos at a time as fill a forward pass, or one that has more crops than that."""
    several: list[NDArray[np.float32]] = []
    for crops in photos:
        several.append(crops)
        if sum(map(len, several)) >= AT_ONCE:
            yield several
            several = []
    if several:
        yield several


def _probabilities(
    net: Layer, crops: NDArray[np.float32], progress: Callable[[int], object] | None
) -> NDArray[np.float64]:
    """(n, K)."""
    parts = []
    for first in range(0, len(crops), AT_ONCE):
        some = np.ascontiguousarray(crops[first : first + AT_ONCE])
        parts.append(answer(net, some))
        if progress:
            progress(len(some))
    return np.concatenate(parts).astype(np.float64)
