"""Error rates."""
from dataclasses import dataclass

import numpy as np

from npnet.data import Loader
from npnet.errors import UserError
from npnet.layers import Layer

__all__ = ["ErrorRate", "error_rate"]


@dataclass(frozen=True)
class ErrorRate:
    """Fractions of images whose label is not in first place (`top1`), not in the first five (`top5`)."""

    top1: float
    top5: float
    images: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of `top1` (Wilson's)."""
        z, n, p = 1.96, self.images, self.top1
        middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def error_rate(net: Layer, loader: Loader) -> ErrorRate:
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
    place = np.concatenate(ranks)
    return ErrorRate(float(np.mean(place >= 1)), float(np.mean(place >= 5)), len(place))
