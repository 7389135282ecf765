"""Softmax, cross-entropy, and the place of the label among the scores."""
import math
from typing import Any

from numpy.typing import NDArray

from npnet.kernels.calls import after_what_waits
from npnet.kernels.numpy.loss import check_labels

from .arrays import reshaped, scratch
from .compile import inlined
from .prepared import Loops, loop, prepared
from .rows import largest
from .team import FEW_POWERS, alone, divided

Floats = NDArray[Any]
Labels = NDArray[Any]


def _softmax_row(z: Floats, p: Floats) -> tuple[Any, float]:
    """Of one image's logits; the largest of them, and Σ e^z without that."""
    most = largest(z)
    total = 0.0
    for k in range(z.size):
        p[k] = math.exp(z[k] - most)
        total += p[k]
    for k in range(z.size):
        p[k] /= total
    return most, total


def _softmax(z: Floats, p: Floats) -> None:
    """Both (N, K)."""
    for n in range(z.shape[0]):
        softmax_row(z[n], p[n])


def _cross_entropy(z: Floats, labels: Labels, p: Floats, losses: Floats) -> None:
    """`_softmax`, and of each image −log p = log Σ e^z − z of the label: no p is ever 0 here. Labels that are no class
    are for `_summarise` to find."""
    for n in range(z.shape[0]):
        most, total = softmax_row(z[n], p[n])
        losses[n] = math.log(total) - (z[n, labels[n]] - most) if 0 <= labels[n] < z.shape[1] else 0


def _summarise(z: Floats, labels: Labels, losses: Floats, summary: Floats) -> None:
    """As the contract has it: the mean loss and the errors, or the first label that is no class, and whose."""
    summary[:] = 0
    for n in range(z.shape[0]):
        if not 0 <= labels[n] < z.shape[1]:
            summary[0], summary[1] = labels[n], -1 - n
            return
        summary[0] += losses[n]
        summary[1] += rank(z[n], labels[n]) > 0
    summary[0] /= z.shape[0]


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


rank, softmax_row = inlined(_rank), inlined(_softmax_row)
_probabilities, _losses, summarise = (
    divided(_softmax, FEW_POWERS), divided(_cross_entropy, FEW_POWERS), alone(_summarise))
_backward, _ranks = divided(_softmax_cross_entropy_backward), divided(_label_ranks)


@prepared
def softmax(logits: Floats, probabilities: Floats) -> Loops:
    return [loop(_probabilities, logits, probabilities)]


@prepared
def softmax_cross_entropy_forward(
    logits: Floats, labels: Labels, probabilities: Floats, summary: NDArray[Any]
) -> Loops:
    [losses], logits = scratch(summary.dtype, labels.shape), reshaped(logits, logits.shape)
    return [loop(_losses, logits, labels, probabilities, losses), loop(summarise, logits, labels, losses, summary)]


@prepared
def softmax_cross_entropy_backward(probabilities: Floats, labels: Labels, dlogits: Floats) -> Loops:
    return [loop(_backward, probabilities, labels, dlogits, len(labels))]


@after_what_waits
def label_ranks(scores: Floats, labels: Labels, ranks: Labels) -> None:
    check_labels(labels, scores.shape[1])
    _ranks(scores, labels, ranks)
