"""Pooling. AlexNet §3.4."""
from functools import cache
from typing import Any

import numpy as np

from npnet.kernels import Array, Shape

from .layer import Layer, check_input, check_window, sliding_size


class _Pool(Layer):
    """What both poolings share: windows of z × z pixels, s pixels apart, rounded up at the edge."""

    keeps_output = False

    def __init__(self, size: int, stride: int, pad: int = 0, rounding: str = "ceil") -> None:
        super().__init__()
        check_window(size, stride, pad, rounding)
        self.size, self.stride, self.pad, self.rounding = size, stride, pad, rounding
        self.x: Array

    def output_shape(self, input_shape: Shape) -> Shape:
        c, h, w = input_shape
        return (
            c,
            sliding_size(h, self.size, self.stride, self.pad, self.rounding),
            sliding_size(w, self.size, self.stride, self.pad, self.rounding),
        )

    def _output(self, x: Array) -> Array:
        check_input(self, x, (-1, -1, -1), type(self).__name__)
        self.x = x
        return self.output_of(x)

    def __repr__(self) -> str:
        extra = "".join(f", {n}={v!r}" for n, v, default in (
            ("pad", self.pad, 0), ("rounding", self.rounding, "ceil"),
            ("count_pad", getattr(self, "count_pad", False), False)) if v != default)
        return f"{type(self).__name__}({self.size}, {self.stride}{extra})"


@cache  # in a step NumPy took 35 µs to say it
def _place_type(size: int) -> np.dtype[Any]:
    """Of a number for each of a window's pixels and one for none: a byte for windows of up to 15 × 15."""
    return np.min_scalar_type(size**2)


class MaxPool2D(_Pool):
    r"""The largest of each window of z × z pixels, windows s apart; with s < z they overlap, as in AlexNet §3.4.

    .. math:: y_{c,i,j} = \max_{0 \le k, l < z} \; x_{c,\; is-p+k,\; js-p+l}

    Pixels outside the image count as −∞, so a window of negatives at the border does not become 0. Of equal pixels, the
    first in row-major order is the largest, and alone receives the gradient (others share it out).

    Implementations differ in the rounding: ``"ceil"``, the default here, is what cuda-convnet and Caffe do: a last
    window that fits in part is kept (32 → 16), unless it would start in the padding. Frameworks since use ``"floor"``
    (32 → 15). AlexNet's own 55 → 27 → 13 → 6 are the same under both.

    Parameters
    ----------
    size, stride, pad : int
        The paper's z and s, and p, in pixels.
    rounding : "ceil" or "floor"

    Raises
    ------
    ValueError
        If `size` or `stride` is less than 1, or `pad` not less than `size` (a window could lie outside the image).
    """

    def forward(self, x: Array, train: bool = True, rectified: bool = False) -> Array:
        """(N, C, H, W) → (N, C, OH, OW). Keeps a reference to `x`, and in training where each largest was.

        `rectified` : a ReLU has made x, and `backward` is to go back `through_relu`.
        """
        y, self.through_relu = self._output(x), rectified
        self.argmax = self._places(y.shape) if train else None
        self._call(self.kernels.max_pool_forward, x, self.size, self.stride, self.pad, rectified, self.argmax, y)
        return y

    def _places(self, shape: Shape) -> Array:
        return self.array("argmax", shape, _place_type(self.size))

    def backward(self, dy: Array) -> Array:
        """(N, C, OH, OW) → (N, C, H, W). Each dy goes to its largest pixel; where windows overlap, they add up.

        After a ReLU, a window whose largest is 0 holds zeros alone, where the derivative is 0: it names no pixel then.
        """
        self.check_gradient(dy)
        if self.argmax is None:  # not in training, where nobody was expected to ask
            self.argmax, again = self._places(dy.shape), self.like("y again", dy)
            self.kernels.max_pool_forward(
                self.x, self.size, self.stride, self.pad, self.through_relu, self.argmax, again
            )
        dx = self.like("dx", self.x)
        self._call(self.kernels.max_pool_backward, dy, self.argmax, self.size, self.stride, self.pad, dx)
        return dx


class AvgPool2D(_Pool):
    r"""The mean of each window of z × z pixels, windows s apart.

    .. math:: y_{c,i,j} = \frac{1}{m_{i,j}} \sum_{k,l} x_{c,\; is-p+k,\; js-p+l}

    over the pixels that lie in the image, and m is their number. Implementations differ: cuda-convnet divides so, Caffe
    counts the padding too (``count_pad=True``), and many others always divide by z².

    Parameters
    ----------
    size, stride, pad, rounding
        As for `MaxPool2D`.
    count_pad : bool
        Count the pixels of the padding, which are 0, in m.

    Raises
    ------
    ValueError
        As `MaxPool2D`.
    """

    def __init__(
        self, size: int, stride: int, pad: int = 0, rounding: str = "ceil", *, count_pad: bool = False
    ) -> None:
        super().__init__(size, stride, pad, rounding)
        self.count_pad = count_pad

    def forward(self, x: Array, train: bool = True) -> Array:
        """(N, C, H, W) → (N, C, OH, OW). Keeps a reference to `x`, for its shape."""
        y = self._output(x)
        self._call(self.kernels.average_pool_forward, x, self.size, self.stride, self.pad, self.count_pad, y)
        return y

    def backward(self, dy: Array) -> Array:
        """(N, C, OH, OW) → (N, C, H, W). Each pixel of a window receives dy / m; where windows overlap, they add up."""
        self.check_gradient(dy)
        dx = self.like("dx", self.x)
        self._call(self.kernels.average_pool_backward, dy, self.size, self.stride, self.pad, self.count_pad, dx)
        return dx
