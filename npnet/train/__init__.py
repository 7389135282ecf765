"""Training: the update rule as printed, schedules, the trainer and its checkpoints."""
from .sgd import SGD

__all__ = ["SGD"]
