"""Dropout. AlexNet §4.2."""
from npnet import counter
from npnet.kernels import Array, Shape
from npnet.kernels.calls import Calls

from .activation import ReLU
from .layer import Layer

Mask = tuple[float, float, counter.Key]
"""p, the factor of what is kept, the key: what the kernel `dropout` is told beside arrays."""


class Dropout(Layer):
    r"""Sets each number to 0 with probability p while training, so that no unit can rely on another. AlexNet §4.2.

    .. math:: \text{train: } y = m \circ x, \; m \in \{0, 1\}, \; P(m = 0) = p \qquad \text{test: } y = (1 - p) \, x

    That is the paper's convention: nothing is rescaled in training, and at test time every output is multiplied by the
    probability that it was kept (0.5). ``convention="inverted"``, as Caffe and the frameworks do it, divides by 1 − p
    in training instead and does nothing at test time: equal in expectation, but weights trained under one are wrong by
    the factor 1 − p under the other.

    The mask is a function of (seed, place in the net, step) alone. Every training pass takes the next step; `set_step`
    says which.

    Parameters
    ----------
    p : float
        Probability of being dropped, 0 ≤ p < 1. A number is dropped if 16 random bits are less than p · 2^16, so the
        probability is p rounded up to a multiple of 2^−16.
    convention : "paper" or "inverted"

    Raises
    ------
    ValueError
        If p is not in [0, 1), or the convention unknown.
    """

    keeps_output = False

    def __init__(self, p: float = 0.5, convention: str = "paper") -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p (={p}) must be at least 0 and less than 1")
        if convention not in ("paper", "inverted"):
            raise ValueError(f"convention (={convention!r}) must be 'paper' or 'inverted'")
        self.p, self.convention = p, convention
        self.train_scale, self.test_scale = (1.0, 1 - p) if convention == "paper" else (1 / (1 - p), 1.0)
        self.step = 0
        self._seed: int | None = None
        self._key, self._masked = counter.Key(), False
        self._call_back = Calls()
        self.left_to_relu = False
        self.left: Mask | None = None

    @property
    def left_back(self) -> Mask | None:
        """What is `left` to the layer behind on the way back: nothing, if the ReLU before will do it."""
        return None if self.left_to_relu else self.left

    def seed(self, *key: int) -> None:
        """Masks are those of `key` from now on, beginning with step 0."""
        self._seed, self.step = counter.key(*key), 0

    def again(self) -> "Dropout":
        """A layer that draws the same masks, wherever it stands."""
        other = Dropout(self.p, self.convention)
        other._seed = counter.key(0, self.place) if self._seed is None else self._seed
        other.step = self.step
        return other

    def set_step(self, step: int) -> None:
        """The next mask is that of training step `step`."""
        self.step = step

    def forward(self, x: Array, train: bool = True, leave: bool = False) -> Array:
        """Same shape out as in. Training draws the mask of the next step.

        leave : if x may be written over, it is left as it is; the layer behind shall put it through the mask `left`,
        and its gradient through `left_back`.
        """
        before, self._masked, self.left = self._returned, train, None
        if train:
            y = self.output_over(x)
            self._key.seed = counter.key(0, self.place) if self._seed is None else self._seed
            self._key.step = self.step
            self.step += 1
            if leave and y is x:
                self.left = self.p, self.train_scale, self._key
            else:
                self._call(self.kernels.dropout, x, self.p, self.train_scale, self._key, y)
            self.left_to_relu = (y is x and isinstance(self.over_input, ReLU) and self.train_scale == 1
                                 and self.over_gradient)  # else dy is somebody's, and the ReLU would write over it
        else:
            y, self.left_to_relu = self.output(x.shape, x.dtype), False
            self.kernels.scale(x, self.test_scale, y)
        if y is not before:
            self._call_back.forget()
        return y

    def backward(self, dy: Array, done: bool = False) -> Array:
        """∂L/∂x = m ∘ ∂L/∂y, with the mask of the last `forward`: drawn again, not stored.

        Over the output of a ReLU whatever was dropped is 0, and the ReLU, which asks for y > 0, will make those
        gradients 0: then dy is left to it as it is.

        done : dy is the result already, since the layer behind has put it through `left_back`.
        """
        self.check_gradient(dy)
        if done or self.left_to_relu:
            return dy
        dx = self.gradient_over(dy)
        if self._masked:
            self._call_back(self.kernels.dropout, dy, self.p, self.train_scale, self._key, dx)
        else:
            self.kernels.scale(dy, self.test_scale, dx)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def __repr__(self) -> str:
        return f"Dropout({self.p:g}, convention={self.convention!r})"
