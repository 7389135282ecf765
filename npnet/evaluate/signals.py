"""What a net says before it has learnt anything, and what its first gradients are: why training begins, or stalls.

AlexNet §5 begins with weights from N(0, 0.01²) and biases of 1, "to provide the ReLUs with positive inputs". What that
does to a batch of photos can be measured.
"""
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npnet.layers import Layer, Sequential, SoftmaxCrossEntropy


@dataclass(frozen=True)
class Signal:
    r"""Of a layer with weights, for a batch: what it computes before its ReLU, and the gradient it is given.

    With :math:`y_{nj}` output j for image n, :math:`\bar y_j` its mean over the images:

    size : :math:`\sqrt{\overline{y_{nj}^2}}`, over images and outputs.
    share : :math:`\sqrt{\overline{(y_{nj} - \bar y_j)^2}}` / size. 1: all that it computes is about the image.
        0: it says the same whatever it sees, and there is nothing to learn from.
    gradient : ‖∂L/∂w‖ / ‖w‖, L the mean loss of an image: by how much of itself a step at a learning rate of 1 would
        change the weights.
    """

    layer: str
    size: float
    share: float
    gradient: float


def signals(net: Sequential, images: NDArray[np.floating], labels: NDArray[np.int64]) -> list[Signal]:
    """Of each layer of `net` that has weights, in order. Nothing is learnt.

    images : (N, C, H, W), N at least 2, as a loader makes them.  labels : (N,).

    Sizes and shares are of the net as it is tested, without dropout, gradients as it is trained, with its mask.
    """
    if not isinstance(net, Sequential):
        raise ValueError(f"net (={type(net).__name__}) must be a Sequential: layers one after another")
    if len(images) < 2:
        raise ValueError(f"images (={len(images)}) must be at least 2, to differ from each other")
    found = _sizes(net, images)
    loss = SoftmaxCrossEntropy()
    x, t = net.upload("signals.x", images), net.upload("signals.labels", labels)
    net.set_step(0)
    loss.forward(net.forward(x, train=True), t)
    net.backward_parameters(loss.backward())
    gradients = {}
    for name, layer in zip(net.names, net.layers, strict=True):
        if layer.parameters():
            weight = layer.parameters()[0]
            whole, slope = (float(np.linalg.norm(a.astype(np.float64)))
                            for a in (weight.numpy(), weight.kernels.to_host(weight.grad)))
            gradients[name] = slope / whole if whole else math.inf
    return [Signal(name, size, share, gradients[name]) for name, size, share in found]


def _sizes(net: Sequential, images: NDArray[np.floating]) -> Sequence[tuple[str, float, float]]:
    """Layer by layer, for each is looked at before the next writes over it."""
    found = []
    x = net.upload("signals.x", images)
    for name, layer in zip(net.names, net.layers, strict=True):
        x = layer.forward(x, train=False)
        if layer.parameters():
            found.append((name, *_size_and_share(layer, x)))
    return found


def _size_and_share(layer: Layer, x: object) -> tuple[float, float]:
    y: NDArray[np.floating] = layer.kernels.to_host(x)  # type: ignore[arg-type]
    size = math.sqrt(np.square(y).mean(dtype=np.float64))
    apart = math.sqrt(np.square(y - y.mean(axis=0, dtype=np.float64).astype(y.dtype)).mean(dtype=np.float64))
    return size, apart / size if size else 0.0
