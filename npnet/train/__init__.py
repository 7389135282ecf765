"""Training: the update rule as printed, schedules, the trainer, its checkpoints and its record."""
from .average import Average
from .schedules import Every, Plateau, Polynomial, Steps
from .sgd import SGD
from .trainer import Diverged, Interrupted, Trainer

__all__ = ["SGD", "Average", "Diverged", "Every", "Interrupted", "Plateau", "Polynomial", "Steps", "Trainer"]
