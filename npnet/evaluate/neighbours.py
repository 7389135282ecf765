"""What a net finds alike: the pictures whose last hidden layer is nearest. AlexNet §6.1.

"If two images produce feature activation vectors with a small Euclidean separation, we can say that the higher levels
of the neural network consider them to be similar."
"""
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from npnet.data import Loader
from npnet.errors import UserError
from npnet.layers import Dense
from npnet.layers.containers import Container, forward_through

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

BLOCK = 2048  # of the gallery at a time: what a product of them and a few queries makes stays in the cache


def features(net: Container, loader: Loader, progress: Callable[[int], object] | None = None) -> Floats:
    """(N, D): for all images of `loader`, what the net's last fully connected layer sees. AlexNet's is 4,096 numbers.

    Raises UserError if a number is not finite: the net has diverged.
    """
    last = max((i for i, layer in enumerate(net.layers) if isinstance(layer, Dense)), default=0)
    if not last:
        raise ValueError(f"net (={net.names}) must have a hidden layer, and behind it one that is fully connected")
    parts = []
    for images, _ in loader.epoch(0):
        hidden = forward_through(net.layers[:last], net.upload("evaluate.x", images), train=False)
        parts.append(net.kernels.to_host(hidden).reshape(len(images), -1))
        if progress:
            progress(len(images))
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise UserError("the net's last hidden layer is not finite: it has diverged; try a smaller learning rate")
    return found


def nearest(gallery: Floats, queries: Floats, k: int = 6) -> tuple[Indices, NDArray[np.float64]]:
    r"""The `k` of the gallery that are nearest to each query, nearest first, and how far they are.

    .. math:: \|g - q\|^2 = \|g\|^2 - 2 \, g^T q + \|q\|^2

    The right side is a matrix product, in blocks of the gallery, but it takes two large numbers from each other: it
    only chooses the candidates, so many that rounding cannot have left one out; of these the left side is reckoned, in
    float64. Of equal distances the first in the gallery comes first.

    Parameters
    ----------
    gallery : (N, D), D numbers of each of N pictures.
    queries : (Q, D).
    k : at least 1, at most N.

    Returns
    -------
    indices (Q, k), distances (Q, k).
    """
    if gallery.ndim != 2 or queries.ndim != 2 or gallery.shape[1] != queries.shape[1]:
        raise ValueError(f"gallery (={gallery.shape}) and queries (={queries.shape}) must be (N, D) and (Q, D)")
    if not 1 <= k <= len(gallery):
        raise ValueError(f"k (={k}) must be at least 1 and at most {len(gallery)}, the pictures in the gallery")
    squares = np.empty((len(queries), len(gallery)), np.float32)
    lengths = np.einsum("qd,qd->q", queries, queries)
    largest = 0.0
    for start in range(0, len(gallery), BLOCK):
        block = gallery[start : start + BLOCK]
        own = np.einsum("nd,nd->n", block, block)
        squares[:, start : start + BLOCK] = own - 2 * (queries @ block.T) + lengths[:, None]
        largest = max(largest, float(own.max()))
    # Rounding puts each of these off by no more than D ε (|g|² + |q|²), in whichever order terms are added up.
    doubt = (gallery.shape[1] + 4) * float(np.finfo(gallery.dtype).eps)
    indices, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    for q, (row, query) in enumerate(zip(squares, queries, strict=True)):
        bound = np.partition(row, k - 1)[k - 1] + 2 * doubt * (largest + float(lengths[q]))
        few = np.flatnonzero(row <= bound)
        exact = np.concatenate([
            np.square(gallery[few[i : i + BLOCK]].astype(np.float64) - query).sum(axis=1)
            for i in range(0, len(few), BLOCK)])
        order = np.lexsort((few, exact))[:k]
        indices[q], distances[q] = few[order], np.sqrt(exact[order])
    return indices, distances


def bits(codes: NDArray[np.floating], threshold: NDArray[np.floating] | float = 0.5) -> NDArray[np.uint8]:
    """(N, B) → (N, ⌈B / 8⌉): which numbers of a code are above the threshold, eight in a byte."""
    return np.packbits(codes > threshold, axis=1)


def nearest_by_hamming(gallery: NDArray[np.uint8], queries: NDArray[np.uint8], k: int) -> Indices:
    """(Q, k): those of the gallery whose packed bits differ from each query's in the fewest places; of equal ones, the
    first in the gallery. Of 100,000 codes of 64 bits, which are less than a megabyte."""
    if not 1 <= k <= len(gallery):
        raise ValueError(f"k (={k}) must be at least 1 and at most {len(gallery)}, the pictures in the gallery")
    ones = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
    found = np.empty((len(queries), k), np.int64)
    for q, query in enumerate(queries):
        apart = ones[gallery ^ query].sum(axis=1, dtype=np.int64)
        few = np.flatnonzero(apart <= np.partition(apart, k - 1)[k - 1])  # whole circles
        found[q] = few[np.argsort(apart[few], kind="stable")][:k]
    return found


def recall(found: Indices, exact: Indices) -> float:
    """Which share of the `exact` neighbours (Q, k) is among those `found` (Q, any number)."""
    return float(np.mean([np.isin(right, those).mean() for right, those in zip(exact, found, strict=True)]))
