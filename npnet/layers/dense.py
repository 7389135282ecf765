"""The fully connected layer. AlexNet §3.5."""
import math

from npnet.kernels import Array, Shape

from .conv import check_channels
from .dropout import Mask
from .layer import Cost, Layer, check_input
from .parameter import Constant, Gaussian, Initialiser


class Dense(Layer):
    r"""Fully connected: every output weighs every input.

    .. math:: y_o = b_o + \sum_i w_{o,i} \; x_i

    An image (C, H, W) is read as its C·H·W numbers in row-major order.

    Parameters
    ----------
    in_features, out_features : int
    weight, bias : Initialiser
        How `weight` (out_features, in_features) and `bias` (out_features,) begin; AlexNet §5.

    Raises
    ------
    ValueError
        If a number of features is less than 1; in `forward`, if an image does not hold `in_features` numbers, or is of
        another type than the weights.
    """

    keeps_output = False

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        weight: Initialiser = Gaussian(0.01),  # noqa: B008 (frozen)
        bias: Initialiser = Constant(0.0),  # noqa: B008
    ) -> None:
        super().__init__()
        check_channels(in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = self.parameter("weight", (out_features, in_features), weight)
        self.bias = self.parameter("bias", (out_features,), bias)
        self.x: Array
        self.input_shape: Shape

    def forward(
        self, x: Array, train: bool = True, rectify: bool = False, dropped: Mask | None = None
    ) -> Array:
        """(N, in_features) or (N, C, H, W) → (N, out_features). Keeps a reference to `x`. With `rectify`, what a ReLU
        would make of it.

        dropped : a mask that x is to go through first, where it lies.
        """
        self.input_shape = x.shape
        self.output_shape(x.shape[1:])
        self.x = self.shaped("x", x, (x.shape[0], self.in_features))
        check_input(self, self.x, (self.in_features,), "Dense")
        y = self.output((x.shape[0], self.out_features), x.dtype)
        first = [] if dropped is None else [(self.kernels.dropout, self.x, *dropped, self.x)]
        w, b = self.weight.value, self.bias.value
        self._call.in_turn(*first, (self.kernels.dense_forward, self.x, w, b, rectify, y))
        return y

    def backward_parameters(self, dy: Array) -> None:
        self.check_gradient(dy)
        self._call(self.kernels.dense_backward_weight, dy, self.x, self.weight.grad, self.bias.grad)

    def backward(self, dy: Array, dropped: Mask | None = None) -> Array:
        r"""(N, out_features) → the shape of x.

        .. math:: \frac{\partial L}{\partial w} = dy^T x \qquad \frac{\partial L}{\partial b} = \sum_n dy_n \qquad
                  \frac{\partial L}{\partial x} = dy \, w

        dropped : the mask that x went through; the gradient is that of what it was before.
        """
        self.backward_parameters(dy)
        dx = self.like("dx", self.x)
        then = [] if dropped is None else [(self.kernels.dropout, dx, *dropped, dx)]
        self._call.in_turn((self.kernels.dense_backward_data, dy, self.weight.value, dx), *then)
        return self.shaped("dx", dx, self.input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        if math.prod(input_shape) != self.in_features:
            raise ValueError(f"Dense: input_shape (={input_shape}, {math.prod(input_shape)} numbers) must hold "
                             f"in_features (={self.in_features}) numbers")
        return (self.out_features,)

    def cost(self, input_shape: Shape) -> Cost:
        self.output_shape(input_shape)
        return Cost(self.weight.size + self.bias.size, self.weight.size)

    def __repr__(self) -> str:
        return f"Dense({self.in_features}, {self.out_features})"
