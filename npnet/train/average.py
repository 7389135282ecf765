"""The mean of the weights over the steps of training."""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from npnet.kernels import Array
from npnet.layers import Parameter


class Average:
    r"""Polyak averaging: what is used in the end is the mean of the weights after every step. GoogLeNet §6.

    .. math:: \bar w_t = \bar w_{t-1} + \frac{1}{t} (w_t - \bar w_{t-1})

    (Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30, 1992.)
    One array as large as each parameter, however many steps. In float32 a step is lost where it moves the mean by less
    than half of its last digit: after 10,000 steps weights that have changed by less than 0.06 %, after a million by 6.
    The paper does not say from when on it averages; over all
    of a run, the mean holds on to weights that knew nothing yet.

    Attributes
    ----------
    count : of how many steps it is the mean.
    values : the mean of each parameter.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = list(parameters)
        self.values: list[Array] = [p.kernels.empty(p.shape, p.dtype) for p in self.parameters]
        self.count = 0

    def update(self) -> None:
        """The weights as they are now count as one step more."""
        self.count += 1
        for p, value in zip(self.parameters, self.values, strict=True):
            p.kernels.average_update(p.value, value, 1 / self.count)

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
