"""How the learning rate falls. AlexNet §5, GoogLeNet §6."""
import math
from collections.abc import Sequence
from typing import Any


class Steps:
    """The rate is multiplied by `factor` at each of the epochs `drops` (counted from 0, fractions allowed).

    cuda-convnet's "divide by 10 after 8 epochs" is ``Steps(0.001, drops=[8])``.

    slow : (epoch, layer, factor): from that epoch on, the layer's rate is so many times the others'. With 0 it learns
        no more, and its momentum runs out, within some fifty steps. From its log, the program of 2012:
        ``[(68, "conv1", 0.1), (72, "conv1", 0)]``.
    """

    def __init__(
        self, rate: float, drops: Sequence[float] = (), factor: float = 0.1,
        slow: Sequence[tuple[float, str, float]] = (),
    ) -> None:
        if list(drops) != sorted(drops):
            raise ValueError(f"drops (={list(drops)}) must be in rising order")
        if not all(times >= 0 for _, _, times in slow):
            raise ValueError(f"slow (={list(slow)}) must have no negative factors")
        self.start, self.drops, self.factor = rate, tuple(drops), factor
        self.slow = sorted(slow, key=lambda one: one[0])

    def rate(self, epoch: float) -> float:
        """The learning rate at `epoch`, a fraction while inside one."""
        return self.start * self.factor ** sum(epoch >= drop for drop in self.drops)

    def factors(self, epoch: float) -> dict[str, float]:
        """Of the layers whose rate is not that of all: how many times it."""
        return {layer: times for start, layer, times in self.slow if epoch >= start}

    def observe(self, error: float) -> None:
        """Takes the validation error after an epoch."""

    @property
    def over(self) -> bool:
        """There is no use in going on."""
        return False

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""


class Every(Steps):
    """The rate is multiplied by `factor` every so many epochs. GoogLeNet §6: 4 % less every 8."""

    def __init__(
        self, rate: float, epochs: float = 8, factor: float = 0.96, slow: Sequence[tuple[float, str, float]] = ()
    ) -> None:
        if not epochs > 0:
            raise ValueError(f"epochs (={epochs}) must be greater than 0")
        super().__init__(rate, (), factor, slow)
        self.epochs = epochs

    def rate(self, epoch: float) -> float:
        return self.start * self.factor ** math.floor(round(epoch / self.epochs, 9))  # 0.3 / 0.1 < 3


class Polynomial(Steps):
    """The rate falls to 0 at the end: rate · (1 − epoch / epochs)^power. Caffe's bvlc_googlenet, with 0.5."""

    def __init__(
        self, rate: float, epochs: float, power: float = 0.5, slow: Sequence[tuple[float, str, float]] = ()
    ) -> None:
        if not epochs > 0:
            raise ValueError(f"epochs (={epochs}) must be greater than 0")
        if not power > 0:
            raise ValueError(f"power (={power}) must be greater than 0")
        super().__init__(rate, (), 1.0, slow)
        self.epochs, self.power = epochs, power

    def rate(self, epoch: float) -> float:
        left = max(0.0, 1 - epoch / self.epochs)
        return self.start * math.pow(left, self.power)


class Plateau(Steps):
    """The rate is divided by 10 when the validation error stops improving; the fourth time, training ends.

    AlexNet §5 did this by hand, "three times prior to termination". "Stopped improving" is said with `patience`: so
    many epochs without a new best.
    """

    def __init__(
        self, rate: float, patience: int = 5, drops: int = 3, factor: float = 0.1,
        slow: Sequence[tuple[float, str, float]] = (),
    ) -> None:
        if patience < 1:
            raise ValueError(f"patience (={patience}) must be at least 1")
        super().__init__(rate, (), factor, slow)
        self.patience, self.allowed = patience, drops
        self.best, self.waited, self.dropped = float("inf"), 0, 0

    def rate(self, epoch: float) -> float:
        return self.start * self.factor**self.dropped

    def observe(self, error: float) -> None:
        self.waited += 1
        if error < self.best:
            self.best, self.waited = error, 0
        if self.waited >= self.patience:
            self.waited, self.dropped = 0, self.dropped + 1

    @property
    def over(self) -> bool:
        return self.dropped > self.allowed

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "dropped": self.dropped}

    def restore(self, state: dict[str, Any]) -> None:
        self.best, self.waited, self.dropped = state["best"], state["waited"], state["dropped"]
