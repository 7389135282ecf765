"""Published experiments as data: model, data, augmentation, optimiser, schedule, and what was reported."""
from npnet.errors import UserError

from .alexnet import ALEXNET
from .cifar import CIFAR
from .googlenet import GOOGLENET
from .recipe import Recipe, load, trainer
from .runs import Trained, evaluate_runs, trained

__all__ = ["RECIPES", "Recipe", "Trained", "evaluate_runs", "known", "load", "trained", "trainer"]

RECIPES: dict[str, Recipe] = {**CIFAR, **ALEXNET, **GOOGLENET}


def known(name: str) -> Recipe:
    """The recipe of that name. Raises UserError, with the names there are, if there is none."""
    if name not in RECIPES:
        raise UserError(f"recipe {name!r} is not one of {', '.join(RECIPES)} (Figure 1 is npnet figure1)")
    return RECIPES[name]
