"""A trained net learns other classes: its layers go on, slowly, and the last begins anew. AlexNet §6, "1 CNN*"."""
from dataclasses import replace
from pathlib import Path
from typing import Any

from npnet.data import Images
from npnet.errors import UserError
from npnet.layers import Dense, WithHeads
from npnet.train import Trainer
from npnet.train.checkpoint import NAME as CHECKPOINT

from .recipe import Recipe, load, load_input, trainer

SLOWER, LAST = 0.1, 10.0
"""Times the rate that the net was trained with; and times that, for the layer that begins anew: as Caffe's example of
fine-tuning does it."""


def tuning(run: Path, epochs: float, rate: float | None = None, scratch: bool = False) -> Recipe:
    """The recipe of the run in `run`, changed to fine-tune it; with `scratch`, to train the same net from the beginning
    with the same budget. Auxiliary classifiers are left out: they have no weights to go on from."""
    recipe, _ = load(run)
    if recipe.model == "googlenet":
        recipe = recipe.switched(heads=False)
    if not scratch:
        recipe = replace(recipe, rate=SLOWER * recipe.rate, slow=((0.0, _last(recipe), LAST),))
    return replace(recipe, name=f"{recipe.name}_{'scratch' if scratch else 'tuned'}", epochs=epochs,
                   rate=rate or recipe.rate, reported="", reported_error=None)


def finetuner(
    recipe: Recipe, run: Path, train: Images, test: Images, folder: Path, *, scratch: bool = False, **options: Any
) -> Trainer:
    """Ready to `run`: fine-tuning of the run in `run` on other images, from which the same mean is taken off. With
    `scratch`, the same net is trained on them from the beginning: what fine-tuning is to be held against.

    recipe : what `tuning` makes of the run's.  options : of `trainer`.
    """
    if folder.resolve() == run.resolve():
        raise UserError(f"{folder}: is the run that is to be tuned: choose another folder")
    mean, _, _ = load_input(run)
    start = None if scratch else run / CHECKPOINT
    return trainer(recipe, train, test, folder, start=start, new=[] if scratch else [_last(recipe)], mean=mean,
                   **options)


def _last(recipe: Recipe) -> str:
    """The layer that names the classes."""
    net = recipe.build(0)
    layers = net.trunk.items() if isinstance(net, WithHeads) else zip(net.names, net.layers, strict=True)
    return [name for name, layer in layers if isinstance(layer, Dense)][-1]
