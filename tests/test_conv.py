import numpy as np
import pytest

from npnet.layers import Conv2D, Gaussian
from npnet.layers.layer import sliding_size

pytestmark = pytest.mark.usefixtures("backend")

CASES = [  # channels in and out, height, width, and the layer
    (1, 1, 3, 3, {"kernel": 1}),
    (3, 2, 7, 5, {"kernel": 3}),
    (2, 3, 7, 8, {"kernel": 3, "stride": 2}),
    (2, 3, 5, 6, {"kernel": 3, "pad": 1}),
    (4, 6, 9, 7, {"kernel": 5, "stride": 3, "pad": 2, "groups": 2}),
    (3, 3, 6, 5, {"kernel": 3, "pad": 2, "groups": 3}),
    (2, 3, 8, 6, {"kernel": 3, "stride": 2, "rounding": "ceil"}),
    (2, 2, 9, 6, {"kernel": 2, "stride": 3, "pad": 1, "rounding": "ceil"}),
    (2, 2, 2, 3, {"kernel": 4, "stride": 2, "rounding": "ceil"}),  # the kernel is larger than the image
    (2, 2, 7, 9, {"kernel": 2, "stride": 4}),  # pixels that no window sees
]


def conv(*args, **kwargs):
    layer = Conv2D(*args, **kwargs, weight=Gaussian(1.0), bias=Gaussian(1.0))
    layer.astype(np.float64)
    return layer


def products(layer, images, h, w):
    """All (n, o, i, j, c, k, l, channel, row, column) of the equation whose pixel lies in the image."""
    _, oh, ow = layer.output_shape((layer.in_channels, h, w))
    kernels, channels = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    for n, o, i, j, c, k, m in np.ndindex(images, layer.out_channels, oh, ow, channels, layer.kernel, layer.kernel):
        row, column = i * layer.stride - layer.pad + k, j * layer.stride - layer.pad + m
        if 0 <= row < h and 0 <= column < w:
            yield n, o, i, j, c, k, m, o // kernels * channels + c, row, column


@pytest.mark.parametrize(("c", "o", "h", "w", "arguments"), CASES)
def test_every_output_is_the_sum_written_out(c, o, h, w, arguments):
    layer = conv(c, o, **arguments)
    x = np.random.default_rng(0).standard_normal((2, c, h, w))
    expected = np.empty((2, *layer.output_shape((c, h, w))))
    expected[...] = layer.bias.numpy()[:, None, None]
    weight = layer.weight.numpy()
    for n, out, i, j, cc, k, m, channel, row, column in products(layer, 2, h, w):
        expected[n, out, i, j] += weight[out, cc, k, m] * x[n, channel, row, column]
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("c", "o", "h", "w", "arguments"), CASES)
def test_every_gradient_is_the_sum_written_out(c, o, h, w, arguments):
    layer = conv(c, o, **arguments)
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((2, c, h, w)), rng.standard_normal((2, *layer.output_shape((c, h, w))))
    weight = layer.weight.numpy()
    dw, dx = np.zeros_like(weight), np.zeros_like(x)
    for n, out, i, j, cc, k, m, channel, row, column in products(layer, 2, h, w):
        dw[out, cc, k, m] += dy[n, out, i, j] * x[n, channel, row, column]
        dx[n, channel, row, column] += dy[n, out, i, j] * weight[out, cc, k, m]
    layer.forward(x)
    np.testing.assert_allclose(layer.backward(dy), dx, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, dw, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, dy.sum(axis=(0, 2, 3)), rtol=1e-12, atol=1e-12)


def test_the_kernel_is_not_flipped():
    layer = conv(1, 1, 2)
    layer.weight.assign(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    layer.bias.assign(np.zeros(1))
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 0, 0] = 1.0  # in the corner it meets the kernel's first weight, not its last
    np.testing.assert_array_equal(layer.forward(x)[0, 0], [[1, 0], [0, 0]])
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 1, 1] = 1.0  # a point in the middle shows the kernel turned around
    np.testing.assert_array_equal(layer.forward(x)[0, 0], [[4, 3], [2, 1]])


@pytest.mark.parametrize(("length", "size", "stride", "pad", "floor", "ceil"), [
    (224, 11, 4, 0, 54, 55),  # the paper's 55 of 224 pixels
    (227, 11, 4, 0, 55, 55),  # Caffe's
    (55, 3, 2, 0, 27, 27), (27, 3, 2, 0, 13, 13), (13, 3, 2, 0, 6, 6),  # AlexNet's pools
    (32, 3, 2, 0, 15, 16), (16, 3, 2, 0, 7, 8), (8, 3, 2, 0, 3, 4),  # those of CIFAR-10 nets
    (112, 3, 2, 0, 55, 56), (224, 7, 2, 3, 112, 113), (28, 3, 1, 1, 28, 28),  # GoogLeNet's
    (55, 2, 2, 0, 27, 28),
    (4, 2, 2, 1, 3, 3), (5, 2, 2, 1, 3, 3),  # a fourth window would start in the padding
    (4, 2, 5, 1, 1, 1),  # so would a second, far out
    (1, 1, 3, 0, 1, 1),
])
def test_sizes(length, size, stride, pad, floor, ceil):
    assert sliding_size(length, size, stride, pad, "floor") == floor
    assert sliding_size(length, size, stride, pad, "ceil") == ceil


def test_ceil_reads_zeros_past_the_right_and_bottom_edge():
    layer = conv(1, 1, 3, stride=2, rounding="ceil")
    layer.weight.assign(np.ones((1, 1, 3, 3)))
    layer.bias.assign(np.zeros(1))
    y = layer.forward(np.ones((1, 1, 4, 4)))
    np.testing.assert_array_equal(y[0, 0], [[9, 6], [6, 4]])


def test_two_groups_are_two_half_convolutions():
    rng = np.random.default_rng(2)
    x, dy = rng.standard_normal((3, 4, 5, 5)), rng.standard_normal((3, 6, 5, 5))
    whole, halves = conv(4, 6, 3, pad=1, groups=2), [conv(2, 3, 3, pad=1) for _ in range(2)]
    y = whole.forward(x)
    dx = whole.backward(dy)
    for g, half in enumerate(halves):
        a, b = slice(2 * g, 2 * g + 2), slice(3 * g, 3 * g + 3)
        half.weight.assign(whole.weight.numpy()[b])
        half.bias.assign(whole.bias.numpy()[b])
        np.testing.assert_allclose(half.forward(np.ascontiguousarray(x[:, a])), y[:, b], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(half.backward(np.ascontiguousarray(dy[:, b])), dx[:, a], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(half.weight.grad, whole.weight.grad[b], rtol=1e-12)
        np.testing.assert_allclose(half.bias.grad, whole.bias.grad[b], rtol=1e-12)


def test_gradients_are_written_and_not_added():
    layer = conv(2, 3, 3)
    x, dy = np.ones((2, 2, 5, 5)), np.ones((2, 3, 3, 3))
    layer.forward(x)
    dx = np.array(layer.backward(dy))
    np.testing.assert_array_equal(layer.backward(dy), dx)
    np.testing.assert_array_equal(layer.bias.grad, [18, 18, 18])
    np.testing.assert_array_equal(layer.weight.grad, np.full((3, 2, 3, 3), 18))


def test_an_infinite_gradient_stays_in_its_channel():
    layer = conv(1, 3, 2)
    layer.forward(np.ones((1, 1, 3, 3)))
    dy = np.ones((1, 3, 2, 2))
    dy[0, 0, 0, 0] = np.inf
    layer.backward_parameters(dy)
    np.testing.assert_array_equal(layer.bias.grad, [np.inf, 4, 4])
    np.testing.assert_array_equal(layer.weight.grad[1:], 4)


def test_cost_is_weights_times_positions():
    cost = Conv2D(96, 256, 5, pad=2, groups=2).cost((96, 27, 27))
    assert cost.parameters == 256 * 48 * 25 + 256
    assert cost.macs == 256 * 48 * 25 * 27 * 27


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Conv2D(5, 4, 3, groups=2), r"in_channels \(=5\) must be divisible by groups \(=2\)"),
    (lambda: Conv2D(4, 5, 3, groups=2), r"out_channels \(=5\) must be divisible by groups \(=2\)"),
    (lambda: Conv2D(0, 4, 3), r"in_channels \(=0\) must be at least 1"),
    (lambda: Conv2D(4, -1, 3), r"out_channels \(=-1\) must be at least 1"),
    (lambda: Conv2D(4, 4, 3, groups=0), r"groups \(=0\) must be at least 1"),
    (lambda: Conv2D(4, 4, 0), r"kernel \(=0\) must be at least 1"),
    (lambda: Conv2D(4, 4, 3, stride=0), r"stride \(=0\) must be at least 1"),
    (lambda: Conv2D(4, 4, 3, pad=3), r"pad \(=3\) must be at least 0 and less than the kernel \(=3\)"),
    (lambda: Conv2D(4, 4, 3, pad=-1), r"pad \(=-1\) must be at least 0 and less than the kernel \(=3\)"),
    (lambda: Conv2D(4, 4, 3, rounding="up"), r"rounding \(='up'\) must be 'floor' or 'ceil'"),
    (lambda: Conv2D(4, 4, 5, pad=1).output_shape((4, 2, 9)),
     r"size \(=5\) must be at most length \+ 2·pad \(=4\)"),
    (lambda: Conv2D(4, 4, 3).forward(np.zeros((1, 3, 5, 5), np.float32)),
     r"Conv2D: x of shape \(=\(1, 3, 5, 5\)\) must be \(N, 4, any, any\)"),
    (lambda: Conv2D(4, 4, 3).forward(np.zeros((4, 5, 5), np.float32)),
     r"Conv2D: x of shape \(=\(4, 5, 5\)\) must be \(N, 4, any, any\)"),
    (lambda: Conv2D(4, 4, 3).forward(np.zeros((1, 4, 5, 5))),
     r"Conv2D: x of dtype \(=float64\) must be float32, as the weights"),
])
def test_mistakes_are_named_with_their_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()
