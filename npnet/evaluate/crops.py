"""A net's answers to several crops of each photo, put together. AlexNet §4.1, GoogLeNet §7."""
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from npnet.evaluate import answer
from npnet.layers import Layer

AT_ONCE = 48
"""Crops in a forward pass."""

Combined = dict[str, NDArray[np.float64]]

Crops = tuple[NDArray[np.float32], list[int]]
"""Those of a photo that differ, and which of them each of all is."""


def combined(
    net: Layer, photos: Iterable[NDArray[np.float32]], ways: dict[str, tuple[list[int], str]],
    progress: Callable[[int], object] | None = None,
) -> Combined:
    """Of each way, (N, K): how probable the net finds the classes of N photos.

    photos : of each its crops (n, C, H, W), as the net is to see them.
    ways : by name, which of the crops, and "mean" or "max": of their probabilities, behind the softmax. (The paper
        tried the largest too, and found it worse.)
    progress : called with the number of crops of some photos at a time.

    Crops of a photo that are the same picture are computed once (of GoogLeNet's 144 of a square photo, 42 differ).
    """
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ways}
    for several in _together(photos):
        p = _probabilities(net, np.concatenate([distinct for distinct, _ in several]))
        parts = np.split(p, np.cumsum([len(distinct) for distinct, _ in several])[:-1])
        for part, (_, where) in zip(parts, several, strict=True):
            own = part[where]
            for name, (which, how) in ways.items():
                found[name].append(own[which].max(axis=0) if how == "max" else own[which].mean(axis=0))
        if progress:
            progress(sum(len(where) for _, where in several))
    return {name: np.stack(rows) for name, rows in found.items()}


def _distinct(crops: NDArray[np.float32]) -> Crops:
    """In the order in which they are first seen."""
    seen: dict[bytes, int] = {}
    where = [seen.setdefault(crop.tobytes(), len(seen)) for crop in crops]
    return crops[[where.index(i) for i in range(len(seen))]], where


def _together(photos: Iterable[NDArray[np.float32]]) -> Iterator[list[Crops]]:
    """As many photos at a time as fill a forward pass, or one that has more crops than that."""
    several: list[Crops] = []
    for crops in photos:
        several.append(_distinct(crops))
        if sum(len(distinct) for distinct, _ in several) >= AT_ONCE:
            yield several
            several = []
    if several:
        yield several


def _probabilities(net: Layer, crops: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, K)."""
    parts = [answer(net, np.ascontiguousarray(crops[first : first + AT_ONCE]))
             for first in range(0, len(crops), AT_ONCE)]
    return np.concatenate(parts).astype(np.float64)
