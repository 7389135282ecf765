"""A gallery of bugs. Each has lived in a published network or is the next one to it, and each is here on purpose.

`BACKWARD` holds wrong gradients of right functions: `npnet.gradcheck` must see every one. `BOTH_WAYS` holds functions
that are wrong with gradients that follow them faithfully: no gradient check can see those, only a comparison with the
equation written out. A bug is a kernel that takes the place of one of the numpy backend's, or a layer derived from the
right one; its docstring tells the story, and beside it stands the right layer to plant it in.
"""
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

import npnet
from npnet import kernels
from npnet.kernels import numpy as right
from npnet.layers import (
    LRN,
    AbsTanh,
    AvgPool2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Gaussian,
    Local2D,
    LRNWithin,
    MaxPool2D,
    ReLU,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
)


@dataclass(frozen=True)
class Bug:
    """make(kind) : the layer or net; `kind` is the right class, or the mutated one.  shape : of x.

    wrong : the tensors whose gradients are to fail.  says : a problem that is to be reported.  compare(layer) : whether
    it computes the equation; the catcher of the bugs that go both ways.
    """

    name: str
    story: str
    make: Callable[[Any], Any]
    shape: tuple[int, ...]
    wrong: tuple[str, ...] = ()
    says: str = ""
    compare: Callable[[Any], bool] | None = None
    kind: type | None = None
    kernels: dict[str, Callable[..., None]] = field(default_factory=dict)

    def build(self, planted: bool) -> Any:
        before = kernels._active
        functions = {name: getattr(right, name) for name in right.__all__} | (self.kernels if planted else {})
        npnet.use(SimpleNamespace(**functions))
        try:
            return self.make(self.kind if planted or self.kind is None else self.kind.__base__)
        finally:
            kernels._active = before


BACKWARD: list[Bug] = []
BOTH_WAYS: list[Bug] = []
W = {"weight": Gaussian(0.5), "bias": Gaussian(0.5)}


def plant(make, shape, *wrong, says="", compare=None, **functions):
    """Decorates a mutated layer, or a kernel that is named like the right one plus ``__`` and what is wrong with it."""
    def take(bug):
        title = bug.__name__.replace("__", ": ").replace("_", " ")
        replaced = {} if isinstance(bug, type) else {bug.__name__.partition("__")[0]: bug}
        (BOTH_WAYS if compare else BACKWARD).append(Bug(
            title, bug.__doc__, make, shape, wrong, says, compare, bug if isinstance(bug, type) else None,
            replaced | functions))
        return bug
    return take


# -- local response normalisation -------------------------------------------------------------------------------------


def lrn(size):
    return lambda _: LRN(size, alpha=0.8, k=1.5)


@plant(lrn(4), (2, 7, 2, 3), "x")
def lrn_backward__window_not_turned_around(db, a, b, d, size, alpha, beta, rectified, da):
    """j is in the window of i; for an even size that is not: i is in the window of j."""
    shared = right.norm._window_sum(db * b / d, size // 2, size - 1 - size // 2, axes=(1,))
    da[...] = db * d**-beta - 2 * alpha * beta * a * shared


@plant(lrn(5), (2, 7, 2, 3), "x")
def lrn_backward__four_instead_of_five(db, a, b, d, size, alpha, beta, rectified, da):
    """``range(max(0, c - 2), min(7, c + 2))`` in Chainer's test: a window of 4 that passed for one of 5."""
    right.lrn_backward(db, a, b, d, size - 1, alpha, beta, rectified, da)


@plant(lrn(5), (2, 7, 2, 3), "x")
def lrn_backward__the_2_is_lost(db, a, b, d, size, alpha, beta, rectified, da):
    """The derivative of a² is 2a."""
    right.lrn_backward(db, a, b, d, size, alpha / 2, beta, rectified, da)


@plant(lambda _: LRNWithin(3, alpha=7.0), (2, 2, 5, 4), "x")
def lrn_within_backward__rows_only(db, a, b, d, size, alpha, beta, rectified, da):
    """The window is a square."""
    shared = right.norm._window_sum(db * b / d, 1, 1, axes=(3,))
    da[...] = db * d**-beta - 2 * alpha * beta * a * shared


# -- convolution ------------------------------------------------------------------------------------------------------


def conv(*args, **kwargs):
    return lambda _: Conv2D(*args, **kwargs, **W)


@plant(conv(2, 3, 3), (2, 2, 5, 6), "bias", says="bias.grad is not written by backward: 3 of 3 elements")
def conv2d_backward_weight__bias_forgotten(dy, x, stride, pad, groups, dw, db):
    """Biases learn so little that nobody misses them."""
    right.conv2d_backward_weight(dy, x, stride, pad, groups, dw, np.empty_like(db))


@plant(conv(2, 3, 3), (2, 2, 5, 6), says="weight.grad is added to, not written")
def conv2d_backward_weight__added(dy, x, stride, pad, groups, dw, db):
    """What readers of micrograd ask about year after year: right in the first step, the sum of all steps after it."""
    this = np.empty_like(dw)
    right.conv2d_backward_weight(dy, x, stride, pad, groups, this, db)
    dw += this


@plant(conv(4, 6, 3, groups=2), (2, 4, 5, 5), "weight")
def conv2d_backward_weight__groups_swapped(dy, x, stride, pad, groups, dw, db):
    """Each GPU learns from the other one's channels."""
    right.conv2d_backward_weight(dy, np.roll(x, 2, axis=1), stride, pad, groups, dw, db)


@plant(conv(2, 3, 3), (2, 2, 5, 6), "bias")
def conv2d_backward_weight__bias_of_the_first_image(dy, x, stride, pad, groups, dw, db):
    """Right for a batch of one, with which it was tried out."""
    right.conv2d_backward_weight(dy, x, stride, pad, groups, dw, db)
    db[...] = dy[0].sum(axis=(1, 2))


@plant(conv(2, 3, 3, pad=1), (2, 2, 5, 6), "x")
def conv2d_backward_data__pad_off_by_one(dy, w, stride, pad, groups, dx):
    """col2im cuts the padding off one pixel too early: the image moves, and its shape is right."""
    larger = np.empty((*dx.shape[:2], dx.shape[2] + 1, dx.shape[3] + 1))
    right.conv2d_backward_data(dy, w, stride, pad - 1, groups, larger)
    dx[...] = larger[:, :, :-1, :-1]


@plant(conv(2, 3, 3, stride=2), (2, 2, 7, 9), "x")
def conv2d_backward_data__stride_ignored(dy, w, stride, pad, groups, dx):
    """The gradient huddles in the corner."""
    right.conv2d_backward_data(dy, w, 1, pad, groups, dx)


@plant(conv(2, 3, 3), (2, 2, 5, 6), "x")
def conv2d_backward_data__flipped(dy, w, stride, pad, groups, dx):
    """The gradient is a convolution with the flipped kernel, and here it is flipped once more."""
    right.conv2d_backward_data(dy, np.ascontiguousarray(w[:, :, ::-1, ::-1]), stride, pad, groups, dx)


@plant(lambda _: Local2D(2, 3, 3, 5, **W), (2, 2, 5, 5), "weight")
def local2d_backward_weight__as_if_shared(dy, x, stride, pad, dw, db):
    """Every position gets the sum over positions, as in a convolution."""
    right.local2d_backward_weight(dy, x, stride, pad, dw, db)
    dw[...] = dw.sum(axis=(0, 1))


# -- fully connected --------------------------------------------------------------------------------------------------


@plant(lambda _: Dense(4, 4, **W), (3, 4), "weight")
def dense_backward_weight__transposed(dy, x, dw, db):
    """No shape complains if there are as many outputs as inputs."""
    right.dense_backward_weight(dy, x, dw, db)
    dw[...] = dw.T.copy()


# -- pooling ----------------------------------------------------------------------------------------------------------


@plant(lambda _: MaxPool2D(3, 2), (2, 2, 7, 7), "x")
def max_pool_backward__assigned_not_added(dy, argmax, size, stride, pad, dx):
    """Right until windows overlap, as AlexNet's do: a pixel that is the largest of two windows gets both."""
    dx[...] = 0
    flat = dx.reshape(dx.shape[0] * dx.shape[1], -1)
    row, column = np.divmod(argmax.astype(int), size)
    where = (np.arange(dy.shape[2])[:, None] * stride + row) * dx.shape[3] + np.arange(dy.shape[3]) * stride + column
    np.put_along_axis(flat, where.reshape(len(flat), -1), dy.reshape(len(flat), -1), axis=1)


@plant(lambda _: MaxPool2D(3, 2, pad=1), (2, 2, 6, 6), "x")
def max_pool_backward__place_in_the_padded_image(dy, argmax, size, stride, pad, dx):
    """numpy-ml, Pool2D.backward: the place is that in the image, and is used in the padded one."""
    _, _, h, w = dx.shape
    places = np.empty(dx.shape)
    padded = np.zeros((*dx.shape[:2], h + 2, w + 2))
    right.max_pool_backward(dy, argmax, size, stride, pad, places)
    padded[:, :, :h, :w] = places
    dx[...] = padded[:, :, 1:-1, 1:-1]


@plant(lambda _: AvgPool2D(3, 2), (2, 2, 6, 8), "x")
def average_pool_backward__always_by_nine(dy, size, stride, pad, count_pad, dx):
    """Forward divides by the pixels in the image, which at the border are fewer."""
    counts = right.pool.pixels_counted(dx.shape[2:], size, stride, pad, count_pad, dy.shape[2:])
    right.average_pool_backward(dy * counts / size**2, size, stride, pad, count_pad, dx)


# -- pointwise --------------------------------------------------------------------------------------------------------


@plant(lambda _: ReLU(), (3, 7), "x")
def relu_backward__where_dy_is_positive(dy, y, dx):
    """dx has the shape and the look of a rectified gradient; it is, but by itself."""
    dx[...] = dy * (dy > 0)


@plant(lambda kind: kind(), (3, 7), "x")
class TanhByItsInput(Tanh):
    """1 − x² in place of 1 − y²: nearly right for small x."""

    def forward(self, x, train=True):
        self.x = x
        return super().forward(x, train)

    def backward(self, dy):
        self.y = self.x
        return super().backward(dy)


@plant(lambda _: Sigmoid(), (3, 7), "x")
def sigmoid_backward__sign(dy, y, dx):
    """y (y − 1): climbs where it should descend."""
    dx[...] = dy * y * (y - 1)


@plant(lambda _: AbsTanh(), (3, 7), "x")
def abs_tanh_backward__without_the_sign_of_x(dy, x, y, dx):
    """Right for every positive x."""
    dx[...] = dy * (1 - y * y)


@plant(lambda kind: kind(0.4), (3, 2, 4, 3), "x")
class DropoutDrawnAgain(Dropout):
    """backward draws a mask of its own: dropout switched off for the check would have hidden it."""

    def backward(self, dy):
        self._key.seed += 1
        return super().backward(dy)


@plant(lambda kind: kind(0.4, "inverted"), (3, 2, 4, 3), "x")
class DropoutScaledOneWay(Dropout):
    """forward divides by 1 − p, backward does not."""

    def backward(self, dy):
        self.train_scale, before = 1.0, self.train_scale
        dx = super().backward(dy)
        self.train_scale = before
        return dx


# -- nets -------------------------------------------------------------------------------------------------------------


def branches(kind):
    return kind(a=Conv2D(2, 3, 1, **W), b=Conv2D(2, 3, 3, pad=1, **W))


@plant(branches, (2, 2, 4, 5), "x", "b.weight", "b.bias", says="b.weight.grad is not written by backward")
class ConcatDetached(Concat):
    """TinyTorch's flatten made a new tensor, and its AvgPool had no gradient at all: the branch never learns."""

    def backward(self, dy):
        return self.layers[0].backward(self._split(dy)[0])

    def backward_parameters(self, dy):
        self.backward(dy)


@plant(branches, (2, 2, 4, 5), "x", "a.weight", "a.bias", "b.weight", "b.bias")
class ConcatCrossed(Concat):
    """Each branch gets the other one's gradient. (torchvision's GoogLeNet had its aux1 and aux2 swapped until 2024.)"""

    def _split(self, dy):
        return super()._split(dy)[::-1]


@plant(lambda kind: Sequential(conv=Conv2D(1, 2, 3, **W), tanh=kind(), fc=Dense(8, 3, **W)), (2, 1, 4, 4),
       "x", "conv.weight", "conv.bias", says="conv.weight.grad is zero everywhere")
class TanhThatDetaches(Tanh):
    """TinyTorch's flatten made a fresh tensor of its input: the net above learns on features that stay random."""

    def backward(self, dy):
        dx = self.like("dx", dy)
        self.kernels.fill(dx, 0.0)
        return dx


@plant(lambda kind: Sequential(kind(), kind()), (3, 7), "x")
class TanhOfOneBuffer(Tanh):
    """All layers of the kind share their arrays, to save memory: the second overwrites the y that the first needs."""

    shared: ClassVar[dict[str, Any]] = {}

    def array(self, name, shape, dtype):
        return self.shared.setdefault(name, np.empty(shape, dtype))


@plant(lambda kind: Sequential(Tanh(), kind(0.4, "inverted")), (3, 7), "x")
class DropoutInPlace(Dropout):
    """Writes over its input, which is the y that the layer before has kept for its derivative."""

    def forward(self, x, train=True):
        x[...] = super().forward(x, train)
        return x


@plant(lambda kind: kind(), (3, 7), says="dy is overwritten by backward")
class SigmoidInPlaceBack(Sigmoid):
    """dx is right, but another branch was to read dy too."""

    def backward(self, dy):
        self.kernels.sigmoid_backward(dy, self.y, dy)
        return dy


@plant(lambda kind: kind(a=Dense(4, 3, **W), relu=Tanh(), b=Dense(3, 2, **W)), (5, 4),
       says="a.weight.grad by backward_parameters is not the one by backward")
class SequentialThatStopsTooSoon(Sequential):
    """One layer is left out on the way down. In training, `backward` is never called, and this is."""

    def backward_parameters(self, dy):
        self.layers[0].backward_parameters(self.layers[2].backward(dy))


# -- loss -------------------------------------------------------------------------------------------------------------


@plant(lambda _: SoftmaxCrossEntropy(), (3, 5), "x")
def softmax_cross_entropy_backward__sum_not_mean(probabilities, labels, dlogits):
    """N times too steep: the learning rate now depends on the batch size."""
    right.softmax_cross_entropy_backward(probabilities, labels, dlogits)
    dlogits *= len(labels)


@plant(lambda _: SoftmaxCrossEntropy(), (3, 5), "x")
def softmax_cross_entropy_backward__label_not_taken_off(probabilities, labels, dlogits):
    """Every class is pushed down, the right one too."""
    dlogits[...] = probabilities / len(labels)


# -- wrong both ways --------------------------------------------------------------------------------------------------
# backward is the derivative of forward, and forward is not the equation. Written out by hand, it is the only witness.


def windows_written_out(x, size, stride, pad, outputs, reduce):
    """`reduce` of the list of pixels that lie in each window and in the image."""
    n, c, h, w = x.shape
    y = np.empty((n, c, *outputs))
    for i, j in np.ndindex(*outputs):
        rows = [r for r in range(i * stride - pad, i * stride - pad + size) if 0 <= r < h]
        columns = [r for r in range(j * stride - pad, j * stride - pad + size) if 0 <= r < w]
        y[:, :, i, j] = reduce(x[:, :, rows][:, :, :, columns].reshape(n, c, -1), axis=2)
    return y


def all_negative(layer):
    x = -1 - np.random.default_rng(1).random((2, 2, 5, 4))
    return np.array_equal(layer.forward(x), windows_written_out(x, 3, 1, 1, (5, 4), np.max))


def back_through_padding(dy, argmax, size, stride, pad, dx):
    padded = np.empty((*dx.shape[:2], dx.shape[2] + 2, dx.shape[3] + 2))
    right.max_pool_backward(dy, argmax, size, stride, 0, padded)
    dx[...] = padded[:, :, 1:-1, 1:-1]


@plant(lambda _: MaxPool2D(3, 1, pad=1), (2, 2, 5, 4), compare=all_negative, max_pool_backward=back_through_padding)
def max_pool_forward__padded_with_zeros(x, size, stride, pad, rectified, argmax, y):
    """DeZero, numpy-ml: a window of negatives at the border becomes 0. Inception's pooling branch has such a border."""
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    right.max_pool_forward(padded, size, stride, 0, rectified, argmax, y)


def means(layer):
    x = np.random.default_rng(1).random((2, 2, 6, 8))
    return np.allclose(layer.forward(x), windows_written_out(x, 3, 2, 0, (3, 4), np.mean), rtol=1e-12)


def back_by_nine(dy, size, stride, pad, count_pad, dx):
    average_pool_backward__always_by_nine(dy, size, stride, pad, count_pad, dx)


@plant(lambda _: AvgPool2D(3, 2), (2, 2, 6, 8), compare=means, average_pool_backward=back_by_nine)
def average_pool_forward__always_by_nine(x, size, stride, pad, count_pad, y):
    """Darker at the border: the windows there hold fewer pixels."""
    right.average_pool_forward(x, size, stride, pad, count_pad, y)
    y *= right.pool.pixels_counted(x.shape[2:], size, stride, pad, count_pad, y.shape[2:]) / size**2


@plant(lambda kind: kind(3, 2), (1, 2, 6, 6), compare=lambda layer: layer.output_shape((1, 32, 32)) == (1, 16, 16))
class MaxPoolRoundedDown(MaxPool2D):
    """32 → 15, as frameworks do since, where cuda-convnet and Caffe make 16: all the layers above change their size."""

    def __init__(self, size, stride):
        super().__init__(size, stride, rounding="floor")


def lrn_written_out(a, size, alpha, k=1.5, beta=0.75):
    b = np.empty_like(a)
    for i in range(a.shape[1]):
        window = [j for j in range(a.shape[1]) if i - size // 2 <= j < i - size // 2 + size]
        b[:, i] = a[:, i] / (k + alpha * sum(a[:, j] ** 2 for j in window)) ** beta
    return b


def five_channels(layer):
    a = np.random.default_rng(1).uniform(-1, 1, (2, 7, 3, 3))
    return np.allclose(layer.forward(a), lrn_written_out(a, 5, 0.8), rtol=1e-4)


@plant(lrn(5), (2, 7, 2, 3), compare=five_channels, lrn_backward=lrn_backward__four_instead_of_five)
def lrn_forward__four_instead_of_five(a, size, alpha, beta, k, d, b):
    """Chainer's test again. At the paper's alpha of 1e-4 even the comparison does not see it; see the test."""
    right.lrn_forward(a, size - 1, alpha, beta, k, d, b)


def back_by_a_fifth(db, a, b, d, size, alpha, beta, rectified, da):
    right.lrn_backward(db, a, b, d, size, alpha / size, beta, rectified, da)


@plant(lrn(5), (2, 7, 2, 3), compare=five_channels, lrn_backward=back_by_a_fifth)
def lrn_forward__alpha_over_n(a, size, alpha, beta, k, d, b):
    """Caffe issue 1453, "alpha is 5 times too small": what the programs do, and the paper does not say."""
    right.lrn_forward(a, size, alpha / size, beta, k, d, b)


def correlates(layer):
    """A single bright pixel shows the kernel turned around in the output; the kernel of a convolution, as it is."""
    x = np.zeros((1, 2, 5, 5))
    x[0, 1, 2, 2] = 1.0
    w, b = layer.weight.numpy(), layer.bias.numpy()
    return np.allclose(layer.forward(x.astype(w.dtype))[0], w[:, 1, ::-1, ::-1] + b[:, None, None], rtol=1e-6)


def back_to_flipped_weights(dy, x, stride, pad, groups, dw, db):
    right.conv2d_backward_weight(dy, x, stride, pad, groups, dw, db)
    dw[...] = dw[:, :, ::-1, ::-1].copy()


@plant(conv(2, 3, 3), (2, 2, 5, 5), compare=correlates, conv2d_backward_weight=back_to_flipped_weights,
       conv2d_backward_data=conv2d_backward_data__flipped)
def conv2d_forward__flipped(x, w, b, stride, pad, groups, rectify, y):
    """A true convolution. It learns as well; but weights of others, which are not flipped, mean nothing to it."""
    right.conv2d_forward(x, np.ascontiguousarray(w[:, :, ::-1, ::-1]), b, stride, pad, groups, rectify, y)


def drops_a_fifth(layer):
    return 0.17 < (layer.forward(np.ones(9999)) == 0).mean() < 0.23


@plant(lambda _: Dropout(0.2), (3, 2, 4, 3), compare=drops_a_fifth)
def dropout__keeps_what_it_should_drop(x, p, scale, key, y):
    """p taken for the probability to be kept: the same at the paper's ½."""
    right.dropout(x, 1 - p, scale, key, y)


def large_logits(layer):
    return np.isfinite(layer.forward(np.array([[1e4, 0.0, -1e4]]), np.array([1])))


@plant(lambda _: SoftmaxCrossEntropy(), (3, 5), compare=large_logits)
def softmax_cross_entropy_forward__largest_not_taken_off(logits, labels, probabilities, summary):
    """e^1000 is infinite, and infinite over infinite is NaN."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        e = np.exp(logits)
        probabilities[...] = e / e.sum(axis=1, keepdims=True)
        summary[:] = -np.log(probabilities[np.arange(len(labels)), labels]).mean(), 0
