"""Published experiments as data: model, data, augmentation, optimiser, schedule, and what was reported."""
from .alexnet import ALEXNET
from .cifar import CIFAR
from .recipe import Recipe, load, trainer
from .runs import Trained, evaluate_runs, trained

__all__ = ["RECIPES", "Recipe", "Trained", "evaluate_runs", "load", "trained", "trainer"]

RECIPES: dict[str, Recipe] = {**CIFAR, **ALEXNET}
