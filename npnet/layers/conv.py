"""Convolution. AlexNet §3.5."""
from collections.abc import Sequence
from typing import TypeGuard

from npnet.kernels import Array, Shape
from npnet.kernels.calls import Calls

from .layer import Cost, Layer, check_input, check_whole, check_window, sliding_size
from .parameter import Constant, Gaussian, Initialiser


class Conv2D(Layer):
    r"""Convolution: every output pixel weighs the patch of input pixels under it, everywhere with the same weights.

    .. math:: y_{o,i,j} = b_o + \sum_{c,k,l} w_{o,c,k,l} \; x_{c,\; is-p+k,\; js-p+l}

    over the channels c of o's group and the K × K pixels k, l of the kernel, with stride s and padding p. AlexNet §3.5.
    As in every program for these papers it is cross-correlation: the kernel is not flipped.

    ``groups=2`` is AlexNet's pair of GPUs (§3.2): the first half of the kernels sees only the first half of the
    channels. Implementations differ in the rounding: 224 pixels, kernel 11 and stride 4 make 54 positions by
    ``rounding="floor"``, and the paper's 55 by ``"ceil"``, which reads zeros past the right and the bottom edge, as the
    2012 program did.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel : int
        K, its height and width in pixels.
    stride, pad : int
        s and p in pixels; `pad` zeros go on all four sides.
    groups : int
    rounding : "floor" or "ceil"
    weight, bias : Initialiser
        How `weight` (O, C/groups, K, K) and `bias` (O,) begin; AlexNet §5.

    Raises
    ------
    ValueError
        If the channels cannot be divided into the groups, or a size makes no sense.
    """

    keeps_output = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        pad: int = 0,
        groups: int = 1,
        rounding: str = "floor",
        *,
        weight: Initialiser = Gaussian(0.01),  # noqa: B008 (frozen)
        bias: Initialiser = Constant(0.0),  # noqa: B008
    ) -> None:
        super().__init__()
        check_channels(in_channels=in_channels, out_channels=out_channels, groups=groups)
        check_window(kernel, stride, pad, rounding, "kernel")
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name} (={channels}) must be divisible by groups (={groups})")
        self.in_channels, self.out_channels, self.kernel = in_channels, out_channels, kernel
        self.stride, self.pad, self.groups, self.rounding = stride, pad, groups, rounding
        self.weight = self.parameter("weight", (out_channels, in_channels // groups, kernel, kernel), weight)
        self.bias = self.parameter("bias", (out_channels,), bias)
        self.x: Array

    def forward(self, x: Array, train: bool = True, rectify: bool = False, y: Array | None = None) -> Array:
        """(N, C, H, W) → (N, O, OH, OW). Keeps a reference to `x`. With `rectify`, what a ReLU would make of it.

        `y` : where to write it, in place of an array of its own.
        """
        y = self._take(x, y)
        w, b = self.weight.value, self.bias.value
        self._call(self.kernels.conv2d_forward, x, w, b, self.stride, self.pad, self.groups, rectify, y)
        return y

    def _take(self, x: Array, y: Array | None) -> Array:
        """Remembers x, and makes room for y unless there is."""
        check_input(self, x, (self.in_channels, -1, -1), "Conv2D")
        self.x = x
        return self.output_of(x, y)

    def backward_parameters(self, dy: Array) -> None:
        self.check_gradient(dy)
        dw, db = self.weight.grad, self.bias.grad
        self._call(self.kernels.conv2d_backward_weight, dy, self.x, self.stride, self.pad, self.groups, dw, db)

    def backward(self, dy: Array) -> Array:
        r"""(N, O, OH, OW) → (N, C, H, W).

        .. math:: \frac{\partial L}{\partial w_{o,c,k,l}} = \sum_{n,i,j} dy_{n,o,i,j} \; x_{n,c,\; is-p+k,\; js-p+l}
                  \qquad \frac{\partial L}{\partial b_o} = \sum_{n,i,j} dy_{n,o,i,j}

        and every pixel of x collects the outputs it took part in, by the weight it had there.
        """
        self.backward_parameters(dy)
        dx, w = self.like("dx", self.x), self.weight.value
        self._call(self.kernels.conv2d_backward_data, dy, w, self.stride, self.pad, self.groups, dx)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        c, h, w = input_shape
        if c != self.in_channels:
            raise ValueError(f"Conv2D: input_shape (={input_shape}) must begin with in_channels (={self.in_channels})")
        return (
            self.out_channels,
            sliding_size(h, self.kernel, self.stride, self.pad, self.rounding),
            sliding_size(w, self.kernel, self.stride, self.pad, self.rounding),
        )

    def cost(self, input_shape: Shape) -> Cost:
        _, oh, ow = self.output_shape(input_shape)
        return Cost(self.weight.size + self.bias.size, self.weight.size * oh * ow)

    def __repr__(self) -> str:
        extra = "".join(f", {n}={v!r}" for n, v, default in (
            ("stride", self.stride, 1), ("pad", self.pad, 0), ("groups", self.groups, 1),
            ("rounding", self.rounding, "floor")) if v != default)
        return f"Conv2D({self.in_channels}, {self.out_channels}, {self.kernel}{extra})"


class Conv1x1s:
    """Convolutions by 1 × 1 that see the same x, computed together: the dimension reductions with which an Inception
    module begins, GoogLeNet §4. They stay the layers that they are; only x is read once for all of them, and ∂L/∂x
    written once."""

    def __init__(self, layers: Sequence[Conv2D]) -> None:
        self.layers, self._call = layers, Calls()
        self.weights, self.biases = [layer.weight for layer in layers], [layer.bias for layer in layers]

    @staticmethod
    def suit(layer: Layer) -> TypeGuard[Conv2D]:
        """Is it such a convolution, that leaves no pixel out?"""
        return type(layer) is Conv2D and (layer.kernel, layer.stride, layer.pad, layer.groups) == (1, 1, 0, 1)

    def forward(self, x: Array, rectify: bool, places: Sequence[Array | None]) -> list[Array]:
        """`places` : for each, where to write it, in place of an array of its own."""
        ys = [layer._take(x, y) for layer, y in zip(self.layers, places, strict=True)]
        ws, bs = tuple(w.value for w in self.weights), tuple(b.value for b in self.biases)
        self._call(self.layers[0].kernels.conv1x1_forward, x, ws, bs, rectify, tuple(ys))
        return ys

    def backward_parameters(self, dys: Sequence[Array]) -> None:
        for layer, dy in zip(self.layers, dys, strict=True):
            layer.check_gradient(dy)
        dws, dbs = tuple(w.grad for w in self.weights), tuple(b.grad for b in self.biases)
        self._call(self.layers[0].kernels.conv1x1_backward_weight, tuple(dys), self.layers[0].x, dws, dbs)

    def backward(self, dys: Sequence[Array], dx: Array | None = None, rectified: Array | None = None) -> Array:
        """The sum of their ∂L/∂x; added to `dx`, if there is one.

        rectified : x, if a ReLU made it and the gradient shall be that of what it was given.
        """
        self.backward_parameters(dys)
        add, ws = dx is not None, tuple(w.value for w in self.weights)
        dx = self.layers[0].like("dx", self.layers[0].x) if dx is None else dx
        self._call(self.layers[0].kernels.conv1x1_backward_data, tuple(dys), ws, add, rectified, dx)
        return dx


def check_channels(**counts: int) -> None:
    """Raise ValueError for a count that is less than 1."""
    for name, count in counts.items():
        check_whole(name, count, 1)
