"""Unshared convolution: cuda-convnet's `local` layers, in the CIFAR-10 nets that AlexNet §3.3 refers to."""
from npnet.kernels import Array, Shape

from .conv import check_channels
from .layer import Cost, Layer, check_input, check_window, sliding_size
from .parameter import Constant, Gaussian, Initialiser


class Local2D(Layer):
    r"""A convolution whose weights are not shared: each output pixel (i, j) has its own kernels and biases.

    .. math:: y_{o,i,j} = b_{o,i,j} + \sum_{c,k,l} w_{i,j,o,c,k,l} \; x_{c,\; is-p+k,\; js-p+l}

    The weights belong to positions, so the layer is made for one size of image.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel : int
        K, height and width of each kernel in pixels.
    input_size : int
        Height and width of the images in pixels.
    stride, pad, rounding
        As for `Conv2D`.
    weight, bias : Initialiser
        How `weight` (OH, OW, O, C, K, K) and `bias` (O, OH, OW) begin.

    Raises
    ------
    ValueError
        As `Conv2D`; and if no kernel fits in an image.
    """

    keeps_output = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        input_size: int,
        stride: int = 1,
        pad: int = 0,
        rounding: str = "floor",
        *,
        weight: Initialiser = Gaussian(0.01),  # noqa: B008 (frozen)
        bias: Initialiser = Constant(0.0),  # noqa: B008
    ) -> None:
        super().__init__()
        check_channels(in_channels=in_channels, out_channels=out_channels, input_size=input_size)
        check_window(kernel, stride, pad, rounding, "kernel")
        self.in_channels, self.out_channels, self.kernel = in_channels, out_channels, kernel
        self.input_size, self.stride, self.pad, self.rounding = input_size, stride, pad, rounding
        side = sliding_size(input_size, kernel, stride, pad, rounding)
        self.weight = self.parameter("weight", (side, side, out_channels, in_channels, kernel, kernel), weight)
        self.bias = self.parameter("bias", (out_channels, side, side), bias)
        self.x: Array

    def forward(self, x: Array, train: bool = True) -> Array:
        """(N, C, H, W) → (N, O, OH, OW). Keeps a reference to `x`."""
        check_input(self, x, (self.in_channels, self.input_size, self.input_size), "Local2D")
        self.x = x
        y = self.output((x.shape[0], *self.bias.shape), x.dtype)
        self._call(self.kernels.local2d_forward, x, self.weight.value, self.bias.value, self.stride, self.pad, y)
        return y

    def backward_parameters(self, dy: Array) -> None:
        self.check_gradient(dy)
        dw, db = self.weight.grad, self.bias.grad
        self._call(self.kernels.local2d_backward_weight, dy, self.x, self.stride, self.pad, dw, db)

    def backward(self, dy: Array) -> Array:
        r"""(N, O, OH, OW) → (N, C, H, W). As for `Conv2D`, without the sums over i and j.

        .. math:: \frac{\partial L}{\partial w_{i,j,o,c,k,l}} = \sum_n dy_{n,o,i,j} \; x_{n,c,\; is-p+k,\; js-p+l}
        """
        self.backward_parameters(dy)
        dx = self.like("dx", self.x)
        self._call(self.kernels.local2d_backward_data, dy, self.weight.value, self.stride, self.pad, dx)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        expected = (self.in_channels, self.input_size, self.input_size)
        if input_shape != expected:
            raise ValueError(f"Local2D: input_shape (={input_shape}) must be {expected}: weights belong to positions")
        return self.bias.shape

    def cost(self, input_shape: Shape) -> Cost:
        self.output_shape(input_shape)
        return Cost(self.weight.size + self.bias.size, self.weight.size)

    def __repr__(self) -> str:
        extra = "".join(f", {n}={v!r}" for n, v, default in (
            ("stride", self.stride, 1), ("pad", self.pad, 0), ("rounding", self.rounding, "floor")) if v != default)
        return f"Local2D({self.in_channels}, {self.out_channels}, {self.kernel}, input_size={self.input_size}{extra})"
