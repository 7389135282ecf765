"""The loss. AlexNet §3.5: "maximizes the multinomial logistic regression objective"."""

import numpy as np

from npnet.kernels import Array

from .layer import Layer, check_dtype, check_row_major, needs_forward


class SoftmaxCrossEntropy(Layer):
    r"""Mean negative log-probability of the right class under the softmax of the logits.

    .. math:: L = -\frac{1}{N} \sum_n \log p_{n, t_n} \qquad p_{n,k} = \frac{e^{z_{n,k}}}{\sum_j e^{z_{n,j}}}

    AlexNet §3.5: maximising the multinomial logistic regression objective, "the average across training cases of the
    log-probability of the correct label". The largest logit of a row is taken off first, so that logits of ±1e4 are
    nothing special. Before any training L = log K, for K classes.

    Attributes
    ----------
    errors : int
        How many images of the last batch have another class than their label in first place.
    probabilities : (N, K)
        The softmax of the last batch.
    """

    def forward(self, logits: Array, labels: Array) -> float:  # type: ignore[override]
        """logits (N, K), labels (N,) int64 in 0 … K − 1 → the mean loss, in nats.

        ValueError, if the shapes do not fit, logits are not row-major, or labels are of another type or beyond K − 1.
        """
        if len(logits.shape) != 2 or labels.shape != logits.shape[:1] or 0 in logits.shape:
            raise ValueError(f"logits (={logits.shape}) must be (N, K), neither of them 0, and labels "
                             f"(={labels.shape}) be (N,)")
        check_dtype(type(self).__name__, "logits", logits.dtype)
        check_row_major(type(self).__name__, "logits", logits)
        if labels.dtype != np.int64:
            raise ValueError(f"labels of dtype (={labels.dtype}) must be int64")
        self.labels = labels
        self.probabilities = self.like("probabilities", logits)
        summary = self.array("summary", (2,), np.float64)
        self._call(self.kernels.softmax_cross_entropy_forward, logits, labels, self.probabilities, summary)
        loss, errors = self.kernels.to_host(summary).tolist()  # the only thing of a step that is copied back
        if errors < 0:
            raise ValueError(f"labels[{int(-1 - errors)}] (={int(loss)}) must be in 0 … {logits.shape[1] - 1}")
        self.errors = int(errors)
        return float(loss)

    def backward(self) -> Array:  # type: ignore[override]
        r"""∂L/∂z = (p − [k = t]) / N: how much too probable each class is."""
        if not hasattr(self, "labels"):
            raise needs_forward(self)
        dlogits = self.like("dlogits", self.probabilities)
        self._call(self.kernels.softmax_cross_entropy_backward, self.probabilities, self.labels, dlogits)
        return dlogits

    def __repr__(self) -> str:
        return "SoftmaxCrossEntropy()"
