"""Published experiments as data: model, data, augmentation, optimiser, schedule, and what was reported."""
from .alexnet import ALEXNET
from .cifar import CIFAR
from .recipe import Recipe, evaluate_run, load, trainer

__all__ = ["RECIPES", "Recipe", "evaluate_run", "load", "trainer"]

RECIPES: dict[str, Recipe] = {**CIFAR, **ALEXNET}
