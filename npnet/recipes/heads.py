"""What the auxiliary classifiers do: the gradient that comes down to the first Inception module. GoogLeNet §5.

The paper expects of classifiers in the middle that they send more gradient to the layers below. Here it is measured.
"""
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.data import Images
from npnet.layers import Layer, SoftmaxCrossEntropy, WeightedSoftmaxCrossEntropy
from npnet.train import SGD, Trainer

from .recipe import Recipe, loaders, schedule

MODULE = "inception3a"


def experiment(
    recipe: Recipe, train: Images, steps: int = 100, seed: int = 0, progress: Callable[[], object] | None = None
) -> dict[str, Any]:
    """The first steps of `recipe`, with auxiliary classifiers and without, from the same weights and the same images.

    Returns of each the loss of the net itself and the size of the gradient, ‖∂L/∂w‖ over all weights of `MODULE`, by
    step: {"with": {"loss": [...], "gradient": [...]}, "without": ...}.
    """
    found: dict[str, Any] = {"recipe": recipe.name, "data": train.name, "seed": seed, "module": MODULE}
    for name, heads in (("with", True), ("without", False)):
        found[name] = _first_steps(recipe.switched(heads=heads), train, steps, seed, progress)
    return found


def _first_steps(
    recipe: Recipe, train: Images, steps: int, seed: int, progress: Callable[[], object] | None
) -> dict[str, list[float]]:
    net, loss = recipe.build(seed, len(train.classes)), WeightedSoftmaxCrossEntropy()
    module = net[MODULE]
    losses: list[float] = []
    gradients: list[float] = []

    class Watched(SGD):
        """Notes what each step is made from."""

        def step(self) -> None:
            losses.append(_own(loss.losses[0]))
            gradients.append(_size(module))
            super().step()
            if progress:
                progress()

    loader, _ = loaders(recipe, train, None, seed)
    sgd = Watched(net.parameters(), recipe.rate, recipe.momentum, recipe.weight_decay)
    Trainer(net, loader, sgd, schedule(recipe), steps / len(loader), loss=loss, progress=False).run()
    return {"loss": losses, "gradient": gradients}


def _own(loss: SoftmaxCrossEntropy) -> float:
    """Its value for the last batch."""
    p, labels = (loss.kernels.to_host(array) for array in (loss.probabilities, loss.labels))
    return float(-np.log(np.maximum(p[np.arange(len(labels)), labels], np.finfo(np.float32).tiny)).mean())


def _size(layer: Layer) -> float:
    """‖∂L/∂w‖ over all its weights, without biases."""
    squares = (float(np.square(p.kernels.to_host(p.grad).astype(np.float64)).sum())
               for p in layer.parameters() if p.name.endswith("weight"))
    return math.sqrt(sum(squares))
