"""What the auxiliary classifiers do: the gradient that comes down to the first Inception module. GoogLeNet §5.

The paper expects of classifiers in the middle that they send more gradient to the layers below. Here it is measured.
"""
import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from npnet import models
from npnet.data import Images
from npnet.layers import Layer
from npnet.train import SGD

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
    net = recipe.build(seed, len(train.classes))
    module = next(layer for name, layer in zip(net.names, net.layers, strict=True) if name == MODULE)
    loader, _ = loaders(replace(recipe, averaged=0.0), train, None, seed)
    sgd = SGD(net.parameters(), recipe.rate, recipe.momentum, recipe.weight_decay)
    falls, loss = schedule(recipe), models.loss(net)
    losses: list[float] = []
    gradients: list[float] = []
    while len(losses) < steps:
        epoch = len(losses) // len(loader)
        with closing(loader.epoch(epoch)) as batches:
            for images, labels in batches:
                sgd.rate = falls.rate(len(losses) / len(loader))
                net.set_step(len(losses))
                x, t = net.upload("trainer.x", images), net.upload("trainer.labels", labels)
                loss.forward(net.forward(x, train=True), t)
                net.backward_parameters(loss.backward())
                own = net.kernels.to_host(loss.probabilities)[np.arange(len(labels)), labels]
                losses.append(float(-np.log(np.maximum(own, np.finfo(np.float32).tiny)).mean()))
                gradients.append(_size(module))
                sgd.step()
                if progress:
                    progress()
                if len(losses) == steps:
                    break
    return {"loss": losses, "gradient": gradients}


def _size(layer: Layer) -> float:
    """‖∂L/∂w‖ over all its weights, without biases."""
    squares = (float(np.square(p.kernels.to_host(p.grad).astype(np.float64)).sum())
               for p in layer.parameters() if p.name.endswith("weight"))
    return math.sqrt(sum(squares))
