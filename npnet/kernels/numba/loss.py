"""Softmax, cross-entropy, and the place of the label among the scores."""
import math
from typing import Any

from numba import prange
from numpy.typing import NDArray

from npnet.kernels.numpy.loss import check_labels

from .compile import compiled, serial

Floats = NDArray[Any]
Labels = NDArray[Any]


def _softmax(z: Floats, p: Floats) -> None:
    """Both (N, K)."""
    for n in prange(z.shape[0]):
        largest = z[n].max()
        total = 0.0
        for k in range(z.shape[1]):
            p[n, k] = math.exp(z[n, k] - largest)
            total += p[n, k]
        for k in range(z.shape[1]):
            p[n, k] /= total


def _cross_entropy(z: Floats, labels: Labels) -> Any:
    """−log p = log Σ e^z − z of the label, the largest logit taken off: no p is ever 0 here. The mean over n."""
    loss = 0.0
    for n in range(z.shape[0]):
        largest = z[n].max()
        total = 0.0
        for k in range(z.shape[1]):
            total += math.exp(z[n, k] - largest)
        loss += math.log(total) - (z[n, labels[n]] - largest)
    return loss / z.shape[0]


def _softmax_cross_entropy_backward(p: Floats, labels: Labels, dz: Floats) -> None:
    for n in prange(p.shape[0]):
        for k in range(p.shape[1]):
            dz[n, k] = (p[n, k] - (1 if k == labels[n] else 0)) / p.shape[0]


def _label_ranks(z: Floats, labels: Labels, ranks: Labels) -> None:
    for n in prange(z.shape[0]):
        own = z[n, labels[n]]
        ahead = 0
        broken = False
        for k in range(z.shape[1]):
            ahead += z[n, k] > own or (z[n, k] == own and k < labels[n])
            broken |= z[n, k] != z[n, k]
        ranks[n] = z.shape[1] - 1 if broken else ahead


def _errors(z: Floats, labels: Labels) -> int:
    """How many labels are not in first place."""
    wrong = 0
    for n in range(z.shape[0]):
        own = z[n, labels[n]]
        ahead = own != own
        for k in range(z.shape[1]):
            ahead |= z[n, k] > own or (z[n, k] == own and k < labels[n]) or z[n, k] != z[n, k]
        wrong += ahead
    return wrong


_probabilities = compiled(_softmax)
cross_entropy, errors = serial(_cross_entropy), serial(_errors)
_backward, _ranks = compiled(_softmax_cross_entropy_backward), compiled(_label_ranks)


def softmax(logits: Floats, probabilities: Floats) -> None:
    _probabilities(logits, probabilities)


def softmax_cross_entropy_forward(
    logits: Floats, labels: Labels, probabilities: Floats, summary: NDArray[Any]
) -> None:
    check_labels(labels, logits.shape[1])
    _probabilities(logits, probabilities)
    summary[0] = cross_entropy(logits, labels)
    summary[1] = errors(logits, labels)


def softmax_cross_entropy_backward(probabilities: Floats, labels: Labels, dlogits: Floats) -> None:
    _backward(probabilities, labels, dlogits)


def label_ranks(scores: Floats, labels: Labels, ranks: Labels) -> None:
    check_labels(labels, scores.shape[1])
    _ranks(scores, labels, ranks)
