"""The nonlinearities that AlexNet §3.1 names."""
from npnet.kernels import Array, Shape

from .layer import Layer


class _Pointwise(Layer):
    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ReLU(_Pointwise):
    r"""Rectified linear unit, AlexNet §3.1 (after Nair and Hinton 2010).

    .. math:: f(x) = \max(0, x) \qquad f'(x) = [x > 0]

    It does not saturate: however large x, the gradient passes whole. At x = 0 the derivative is taken as 0.
    """

    def forward(self, x: Array, train: bool = True, rectified: bool = False) -> Array:
        """`rectified` : x is the result already, since the layer before it has computed max(0, x) at once."""
        self.y = self.output_over(x)
        if not (rectified and self.y is x):
            self._call(self.kernels.relu_forward, x, self.y)
        return self.y

    def backward(self, dy: Array, done: bool = False) -> Array:
        """`done` : dy is the result already, since the layer behind has gone back `through_relu`."""
        self.check_gradient(dy)
        if done:
            return dy
        dx = self.gradient_over(dy)
        self._call(self.kernels.relu_backward, dy, self.y, dx)
        return dx


class Tanh(_Pointwise):
    r"""Hyperbolic tangent: the standard that AlexNet §3.1 measures ReLU against.

    .. math:: f(x) = \tanh x \qquad f'(x) = 1 - f(x)^2

    It saturates: at |x| = 3 a hundredth of the gradient is left, at |x| = 5 two ten-thousandths.
    """

    def forward(self, x: Array, train: bool = True) -> Array:
        self.y = self.output(x.shape, x.dtype)
        self._call(self.kernels.tanh_forward, x, self.y)
        return self.y

    def backward(self, dy: Array) -> Array:
        self.check_gradient(dy)
        dx = self.like("dx", self.y)
        self._call(self.kernels.tanh_backward, dy, self.y, dx)
        return dx


class Sigmoid(_Pointwise):
    r"""The logistic function, AlexNet §3.1.

    .. math:: f(x) = (1 + e^{-x})^{-1} \qquad f'(x) = f(x) \, (1 - f(x))

    It is tanh rescaled, f(x) = (1 + tanh(x/2)) / 2, and saturates likewise; its steepest slope is 1/4.
    """

    def forward(self, x: Array, train: bool = True) -> Array:
        self.y = self.output(x.shape, x.dtype)
        self._call(self.kernels.sigmoid_forward, x, self.y)
        return self.y

    def backward(self, dy: Array) -> Array:
        self.check_gradient(dy)
        dx = self.like("dx", self.y)
        self._call(self.kernels.sigmoid_backward, dy, self.y, dx)
        return dx


class AbsTanh(_Pointwise):
    r"""The rectification of Jarrett et al. 2009, which AlexNet §3.1 mentions.

    .. math:: f(x) = |\tanh x| \qquad f'(x) = \mathrm{sign}(x) \, (1 - f(x)^2)

    At x = 0 the derivative is taken as 0.
    """

    def forward(self, x: Array, train: bool = True) -> Array:
        self.x, self.y = x, self.output(x.shape, x.dtype)
        self._call(self.kernels.abs_tanh_forward, x, self.y)
        return self.y

    def backward(self, dy: Array) -> Array:
        self.check_gradient(dy)
        dx = self.like("dx", self.y)
        self._call(self.kernels.abs_tanh_backward, dy, self.x, self.y, dx)
        return dx
