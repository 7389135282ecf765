"""Softmax, cross-entropy, and the place of the label among the scores."""
import math
from typing import Any

from numpy.typing import NDArray

from npnet.kernels.numpy.loss import check_labels

from .compile import inlined, serial
from .rows import largest
from .team import FEW_POWERS, divided

Floats = NDArray[Any]
Labels = NDArray[Any]


def _softmax(z: Floats, p: Floats) -> None:
    """Both (N, K)."""
    for n in range(z.shape[0]):
        most = largest(z[n])
        total = 0.0
        for k in range(z.shape[1]):
            p[n, k] = math.exp(z[n, k] - most)
            total += p[n, k]
        for k in range(z.shape[1]):
            p[n, k] /= total


def _cross_entropy(z: Floats, labels: Labels) -> Any:
    """−log p = log Σ e^z − z of the label, the largest logit taken off: no p is ever 0 here. The mean over n."""
    loss = 0.0
    for n in range(z.shape[0]):
        most = largest(z[n])
        total = 0.0
        for k in range(z.shape[1]):
            total += math.exp(z[n, k] - most)
        loss += math.log(total) - (z[n, labels[n]] - most)
    return loss / z.shape[0]


def _softmax_cross_entropy_backward(p: Floats, labels: Labels, dz: Floats, images: int) -> None:
    """images : in all; of p, labels and dz perhaps a part."""
    for n in range(p.shape[0]):
        for k in range(p.shape[1]):
            dz[n, k] = (p[n, k] - (1 if k == labels[n] else 0)) / images


def _rank(z: Floats, label: int) -> int:
    """How many of the scores z (K,) are ahead of the label's; all of them, if one is NaN."""
    ahead = 0
    broken = False
    for k in range(z.size):
        ahead += z[k] > z[label] or (z[k] == z[label] and k < label)
        broken |= z[k] != z[k]
    return z.size - 1 if broken else ahead


def _label_ranks(z: Floats, labels: Labels, ranks: Labels) -> None:
    for n in range(z.shape[0]):
        ranks[n] = rank(z[n], labels[n])


def _errors(z: Floats, labels: Labels) -> int:
    """How many labels are not in first place."""
    wrong = 0
    for n in range(z.shape[0]):
        wrong += rank(z[n], labels[n]) > 0
    return wrong


rank = inlined(_rank)
_probabilities = divided(_softmax, FEW_POWERS)
cross_entropy, errors = serial(_cross_entropy), serial(_errors)
_backward, _ranks = divided(_softmax_cross_entropy_backward), divided(_label_ranks)


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
    _backward(probabilities, labels, dlogits, len(labels))


def label_ranks(scores: Floats, labels: Labels, ranks: Labels) -> None:
    check_labels(labels, scores.shape[1])
    _ranks(scores, labels, ranks)
