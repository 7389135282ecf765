"""The mean of the weights over the steps of training."""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from npnet.layers import Parameter


class Average:
    r"""Polyak averaging: what is used in the end is the mean of the weights after every step. GoogLeNet §6.

    .. math:: \bar w_t = \bar w_{t-1} + \frac{1}{t} (w_t - \bar w_{t-1})

    (Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30, 1992.)
    Two arrays as large as each parameter, however many steps: after a million, a step moves the mean by less than its
    last digit, so what rounding loses is kept beside it, and comes with the next. The paper does not say from when on
    it averages; over all of a run, the mean holds on to weights that knew nothing yet.

    Attributes
    ----------
    count : of how many steps it is the mean.
    values, rounding : the mean of each parameter, and what is too much in it: `average_update` of the contract.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = list(parameters)
        self.values, self.rounding = ([p.kernels.empty(p.shape, p.dtype) for p in self.parameters] for _ in range(2))
        self.count = 0

    def update(self) -> None:
        """The weights as they are now count as one step more."""
        self.count += 1
        for p, value, rounding in zip(self.parameters, self.values, self.rounding, strict=True):
            p.kernels.average_update(p.value, value, rounding, 1 / self.count)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it, the net has the mean weights; behind it, its own again. Nothing is copied."""
        if not self.count:
            raise ValueError("update must have been called: there is no mean yet")
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        self.values = [p.exchange(value) for p, value in zip(self.parameters, self.values, strict=True)]
