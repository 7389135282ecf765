"""Softmax, cross-entropy, and the place of the label among the scores."""
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Labels = NDArray[Any]


def softmax(logits: Floats, probabilities: Floats) -> None:
    np.exp(logits - logits.max(axis=1, keepdims=True), out=probabilities)
    probabilities /= probabilities.sum(axis=1, keepdims=True)


def softmax_cross_entropy_forward(
    logits: Floats, labels: Labels, probabilities: Floats, summary: NDArray[Any]
) -> None:
    check_labels(labels, logits.shape[1])
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    # −log p = log Σ e^z − z of the label: no p is ever 0 here, so logits of ±1e4 are nothing special
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, labels]
    softmax(logits, probabilities)
    summary[0] = losses.mean(dtype=np.float64)
    summary[1] = np.count_nonzero(_ranks(logits, labels))


def softmax_cross_entropy_backward(probabilities: Floats, labels: Labels, dlogits: Floats) -> None:
    dlogits[...] = probabilities
    dlogits[np.arange(len(labels)), labels] -= 1
    dlogits /= len(labels)


def label_ranks(scores: Floats, labels: Labels, ranks: NDArray[Any]) -> None:
    check_labels(labels, scores.shape[1])
    ranks[...] = _ranks(scores, labels)


def check_labels(labels: Labels, classes: int) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        n = int(np.argmax((labels < 0) | (labels >= classes)))
        raise ValueError(f"labels[{n}] (={labels[n]}) must be in 0 … {classes - 1}")


def _ranks(scores: Floats, labels: Labels) -> NDArray[Any]:
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    ahead = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
    ranks: NDArray[Any] = np.where(np.isnan(scores).any(axis=1), scores.shape[1] - 1, ahead)
    return ranks
