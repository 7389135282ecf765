"""Stochastic gradient descent exactly as AlexNet §5 prints it."""
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from npnet.kernels import Array, Backend
from npnet.kernels.calls import worked_out
from npnet.layers import Parameter


class SGD:
    r"""Gradient descent with momentum and weight decay, AlexNet §5.

    .. math:: v_{i+1} &= 0.9 \, v_i - 0.0005 \, \epsilon \, w_i - \epsilon \Big\langle \frac{\partial L}{\partial w}
              \Big\rangle_{D_i} \\ w_{i+1} &= w_i + v_{i+1}

    ε multiplies both the decay and the gradient before they enter v. (PyTorch keeps v without ε, so that it differs for
    some ten steps after every change of the rate.) Each parameter's own factors multiply ε and the decay.

    Parameters
    ----------
    parameters : of a net, `net.parameters()`
    rate : float
        ε.
    momentum, weight_decay : float
        The paper's 0.9 and 0.0005.

    Attributes
    ----------
    factors : by the name of a layer, or of some in it: what its rate is multiplied by. Empty at first; free to be set.
    """

    def __init__(
        self, parameters: Sequence[Parameter], rate: float = 0.01, momentum: float = 0.9, weight_decay: float = 0.0005
    ) -> None:
        for name, value in (("rate", rate), ("momentum", momentum), ("weight_decay", weight_decay)):
            if not value >= 0:
                raise ValueError(f"{name} (={value}) must not be negative")
        if momentum >= 1:
            raise ValueError(f"momentum (={momentum}) must be less than 1")
        self._parameters = tuple(parameters)
        self.rate, self.momentum, self.weight_decay = rate, momentum, weight_decay
        self.factors: dict[str, float] = {}
        self._velocities = tuple([self._nothing(p) for p in self._parameters])
        self._made_for: object = None  # of `Parameter.latest_change`; None after a change here
        self._made_with: dict[str, float] = {}
        self._updates: list[Callable[[], None]] = []

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and value != getattr(self, name, None):
            self._made_for = None
        super().__setattr__(name, value)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those that are updated. (To leave out a layer, set its factor to 0.)"""
        return self._parameters

    @property
    def velocities(self) -> tuple[Array, ...]:
        """v of each parameter, all 0 at first; to be written in place."""
        return self._velocities

    @staticmethod
    def _nothing(p: Parameter) -> Array:
        v = p.kernels.empty(p.shape, p.dtype)
        p.kernels.fill(v, 0.0)
        return v

    def step(self) -> None:
        """One update of every parameter from its `grad`.

        Most steps update the same arrays by the same rates as the one before. To look at all of them for that took
        longer than the update itself of a CIFAR-10 net: 50 µs of 95. To look at every rate took 10 more, since all that
        Python looks at has been displaced from the caches by then: so it is said where one changes (`__setattr__`).
        """
        if self._made_for is not Parameter.latest_change or self.factors != self._made_with:
            self._made_for = None  # whatever interrupts what follows
            self._updates, self._made_with = self._work_out(), dict(self.factors)  # may give a parameter its arrays
            self._made_for = Parameter.latest_change
        for update in self._updates:
            update()

    def _work_out(self) -> list[Callable[[], None]]:
        """One call of each backend that holds parameters. (A net's columns may have one each.)"""
        groups: defaultdict[Backend[Array], list[tuple[Parameter, Array]]] = defaultdict(list)
        for p, v in zip(self.parameters, self.velocities, strict=True):
            if v.dtype != p.dtype:
                raise ValueError(f"{p.name} of dtype (={p.dtype}) must be {v.dtype}, as when the SGD was made")
            groups[p.kernels].append((p, v))
        return [worked_out(
            backend.sgd_update, tuple([p.value for p, _ in pairs]), tuple([v for _, v in pairs]),
            tuple([p.grad for p, _ in pairs]),
            tuple([(self._rate_of(p), self.weight_decay * p.decay) for p, _ in pairs]), self.momentum)
            for backend, pairs in groups.items()]

    def _rate_of(self, p: Parameter) -> float:
        rate = self.rate * p.rate
        for layer, times in self.factors.items():
            if p.name.startswith(f"{layer}."):
                rate *= times
        return rate
