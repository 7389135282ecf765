"""Stochastic gradient descent exactly as AlexNet §5 prints it."""
from collections.abc import Sequence

from npnet.kernels import Array, Backend
from npnet.kernels.calls import Calls
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
        self.parameters = list(parameters)
        self.rate, self.momentum, self.weight_decay = rate, momentum, weight_decay
        self.factors: dict[str, float] = {}
        self.velocities: list[Array] = []
        for p in self.parameters:
            v = p.kernels.empty(p.shape, p.dtype)
            p.kernels.fill(v, 0.0)
            self.velocities.append(v)
        self._groups = [_Group(self.parameters, self.velocities, backend)
                        for backend in dict.fromkeys(p.kernels for p in self.parameters)]

    def step(self) -> None:
        """One update of every parameter from its `grad`."""
        for group in self._groups:
            for p, v in zip(group.parameters, group.velocities, strict=True):
                if v.dtype != p.dtype:
                    raise ValueError(f"{p.name} of dtype (={p.dtype}) must be {v.dtype}, as when the SGD was made")
            rates = tuple((self._rate_of(p), self.weight_decay * p.decay) for p in group.parameters)
            group.update(rates, self.momentum)

    def _rate_of(self, p: Parameter) -> float:
        rate = self.rate * p.rate
        for layer, times in self.factors.items():
            if p.name.startswith(f"{layer}."):
                rate *= times
        return rate


class _Group:
    """Parameters that are updated by one call: all that one backend holds. (A net's columns may have one each.)"""

    def __init__(self, parameters: Sequence[Parameter], velocities: Sequence[Array], backend: Backend[Array]) -> None:
        pairs = [pair for pair in zip(parameters, velocities, strict=True) if pair[0].kernels is backend]
        self.parameters, self.velocities = tuple(p for p, _ in pairs), tuple(v for _, v in pairs)
        self._backend, self._call = backend, Calls()
        self._rates: tuple[tuple[float, float], ...] = ()

    def update(self, rates: tuple[tuple[float, float], ...], momentum: float) -> None:
        """By the rate and the decay of each."""
        if rates != self._rates:  # else the same object: the call has been worked out for it
            self._rates = rates
        ws, gs = tuple(p.value for p in self.parameters), tuple(p.grad for p in self.parameters)
        self._call(self._backend.sgd_update, ws, self.velocities, gs, self._rates, momentum)
