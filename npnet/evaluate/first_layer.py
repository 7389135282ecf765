"""What the first layer has learnt. AlexNet §6.1, Figure 3."""
import numpy as np
from numpy.typing import NDArray


def grey_share(kernels: NDArray[np.floating]) -> NDArray[np.float64]:
    r"""(O,): how colour-agnostic each kernel (O, 3, KH, KW) is: the share of its energy that sees grey alone.

    .. math:: \frac{3 \sum_{k,l} \bar w_{k,l}^2}{\sum_{c,k,l} w_{c,k,l}^2} \qquad \bar w = \tfrac{1}{3} \sum_c w_c

    1: red, green and blue are weighed alike. 0: a grey picture is nothing to it. Of three independent numbers, 1/3: so
    untrained kernels begin. (The paper says only "largely color-agnostic" and "largely color-specific"; the number is
    ours.)
    """
    w = np.asarray(kernels, np.float64)
    if w.ndim != 4 or w.shape[1] != 3:
        raise ValueError(f"kernels (={w.shape}) must be (O, 3, KH, KW): of a first layer that sees colours")
    energy = np.square(w).sum(axis=(1, 2, 3))
    grey = 3 * np.square(w.mean(axis=1)).sum(axis=(1, 2))
    share: NDArray[np.float64] = np.where(energy > 0, grey / np.where(energy > 0, energy, 1), 0.0)
    return share


def pictures(kernels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(O, 3, KH, KW) → the same as pictures: each kernel's weights from its least to its largest, 0 to 255. A kernel of
    one number only is grey."""
    w = np.asarray(kernels, np.float64)
    least, most = (f(w, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    flat = most == least
    return np.asarray(np.rint(np.where(flat, 127, 255 * (w - least) / np.where(flat, 1, most - least))), np.uint8)
