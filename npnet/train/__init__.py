"""Training: the update rule as printed, schedules, the trainer, its checkpoints and its record."""
from .schedules import Plateau, Steps
from .sgd import SGD
from .trainer import Diverged, Interrupted, Trainer

__all__ = ["SGD", "Diverged", "Interrupted", "Plateau", "Steps", "Trainer"]
