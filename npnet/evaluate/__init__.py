"""Error rates."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npnet.data import Loader
from npnet.errors import UserError
from npnet.layers import Layer

__all__ = ["ErrorRate", "answer", "averaged_error_rate", "error_rate", "mean_probabilities", "probabilities", "rate_of"]


@dataclass(frozen=True)
class ErrorRate:
    """Fractions of images whose label is not in first place (`top1`), not in the first five (`top5`)."""

    top1: float
    top5: float
    images: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of `top1` (Wilson's)."""
        return self._interval(self.top1)

    @property
    def interval5(self) -> tuple[float, float]:
        """That of `top5`."""
        return self._interval(self.top5)

    def _interval(self, p: float) -> tuple[float, float]:
        z, n = 1.96, self.images
        middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
        return abs(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)  # never < 0, but by rounding


Progress = Callable[[int], object]
"""Called with the number of images of each batch."""


def error_rate(net: Layer, loader: Loader, progress: Progress | None = None) -> ErrorRate:
    """Error rates over all images of `loader` (one that was made with ``train=False``).

    Raises UserError if a score is not finite: the net has diverged, and its answers mean nothing.
    """
    ranks = []
    for images, labels in loader.epoch(0):
        x, t = net.upload("evaluate.x", images), net.upload("evaluate.labels", labels)
        rank = net.array("evaluate.ranks", labels.shape, np.int64)
        scores = net.forward(x, train=False)
        if not np.isfinite(net.kernels.to_host(scores)).all():
            raise UserError("the net's scores are not finite: it has diverged; try a smaller learning rate")
        net.kernels.label_ranks(scores, t, rank)
        ranks.append(net.kernels.to_host(rank))
        if progress:
            progress(len(labels))
    return _rate(np.concatenate(ranks))


def _rate(place: NDArray[np.int64]) -> ErrorRate:
    """From the place of each image's label."""
    return ErrorRate(float(np.mean(place >= 1)), float(np.mean(place >= 5)), len(place))


def answer(net: Layer, images: NDArray[np.floating]) -> NDArray[np.float32]:
    """(n, K): the softmax of the net's scores for a batch of images (n, C, H, W)."""
    scores = net.forward(net.upload("evaluate.x", images), train=False)
    softmax = net.like("evaluate.probabilities", scores)
    net.kernels.softmax(scores, softmax)
    return net.kernels.to_host(softmax)


def probabilities(net: Layer, loader: Loader, progress: Progress | None = None) -> NDArray[np.float32]:
    """(N, K): the softmax of the net's scores for all images of `loader`."""
    parts = []
    for images, _ in loader.epoch(0):
        parts.append(answer(net, images))
        if progress:
            progress(len(images))
    return np.concatenate(parts)


Voice = tuple[Layer, Loader]
"""A net, and a view of the images that it is asked about."""


def mean_probabilities(voices: Sequence[Voice], progress: Progress | None = None) -> NDArray[np.float64]:
    """(N, K): the mean of what nets say of the same images: of views of them (AlexNet §4.1), each a loader, or of
    several nets (§6). Of probabilities, behind the softmax, not of scores."""
    net, loader = voices[0]
    mean = probabilities(net, loader, progress).astype(np.float64)
    for other, images in voices[1:]:
        mean += probabilities(other, images, progress)
    return mean / len(voices)


def averaged_error_rate(voices: Sequence[Voice], progress: Progress | None = None) -> ErrorRate:
    """Error rates of `mean_probabilities`.

    Raises UserError if they are not finite: a net has diverged.
    """
    net, loader = voices[0]
    return rate_of(net, mean_probabilities(voices, progress), loader.dataset.labels)


def rate_of(net: Layer, mean: NDArray[np.float64], labels: NDArray[np.int64]) -> ErrorRate:
    """Error rates of probabilities (N, K) that nets have found for images with these labels.

    Raises UserError if they are not finite: a net has diverged.
    """
    if not np.isfinite(mean).all():
        raise UserError("the net's scores are not finite: it has diverged; try a smaller learning rate")
    scores, t = net.upload("evaluate.mean", mean), net.upload("evaluate.labels", labels)
    rank = net.array("evaluate.ranks", labels.shape, np.int64)
    net.kernels.label_ranks(scores, t, rank)
    return _rate(net.kernels.to_host(rank))
