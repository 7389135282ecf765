import numpy as np
import pytest

from npnet.layers import Conv2D, Gaussian, Local2D

pytestmark = pytest.mark.usefixtures("backend")

CASES = [  # input size and the rest of the layer
    (5, {"kernel": 3}),
    (6, {"kernel": 3, "pad": 1}),
    (7, {"kernel": 3, "stride": 2, "pad": 1}),
    (6, {"kernel": 3, "stride": 2, "rounding": "ceil"}),
    (5, {"kernel": 1}),
]


def local(*args, **kwargs):
    layer = Local2D(*args, **kwargs, weight=Gaussian(1.0), bias=Gaussian(1.0))
    layer.astype(np.float64)
    return layer


@pytest.mark.parametrize(("size", "arguments"), CASES)
def test_every_value_and_gradient_is_the_sum_written_out(size, arguments):
    layer = local(3, 2, input_size=size, **arguments)
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, size, size)), rng.standard_normal((2, *layer.bias.shape))
    w = layer.weight.numpy()
    y = np.stack([layer.bias.numpy()] * 2)
    dw, dx = np.zeros_like(w), np.zeros_like(x)
    for n, i, j, o, c, k, m in np.ndindex(2, *w.shape):
        row, column = i * layer.stride - layer.pad + k, j * layer.stride - layer.pad + m
        if 0 <= row < size and 0 <= column < size:
            y[n, o, i, j] += w[i, j, o, c, k, m] * x[n, c, row, column]
            dw[i, j, o, c, k, m] += dy[n, o, i, j] * x[n, c, row, column]
            dx[n, c, row, column] += dy[n, o, i, j] * w[i, j, o, c, k, m]
    np.testing.assert_allclose(layer.forward(x), y, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), dx, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, dw, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, dy.sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize(("size", "arguments"), CASES)
def test_it_is_a_convolution_when_all_positions_have_the_same_weights(size, arguments):
    layer, conv = local(3, 2, input_size=size, **arguments), Conv2D(3, 2, **arguments, weight=Gaussian(1.0))
    conv.astype(np.float64)
    layer.weight.assign(np.broadcast_to(conv.weight.numpy(), layer.weight.shape))
    layer.bias.assign(np.zeros(layer.bias.shape))
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((3, 3, size, size)), rng.standard_normal((3, *layer.bias.shape))
    np.testing.assert_allclose(layer.forward(x), conv.forward(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), conv.backward(dy), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.weight.grad.sum(axis=(0, 1)), conv.weight.grad, rtol=1e-12, atol=1e-12)


def test_weights_of_one_position_change_that_position_only():
    layer = local(2, 3, 3, input_size=5)
    x = np.random.default_rng(2).standard_normal((2, 2, 5, 5))
    before = np.array(layer.forward(x))
    w = layer.weight.numpy()
    w[1, 2] += 1
    layer.weight.assign(w)
    changed = np.array(layer.forward(x)) != before
    assert changed[:, :, 1, 2].all()
    changed[:, :, 1, 2] = False
    assert not changed.any()


def test_cost_counts_the_weights_of_all_positions():
    cost = Local2D(64, 32, 3, input_size=8, pad=1).cost((64, 8, 8))
    assert cost.parameters == 64 * (32 * 64 * 9) + 64 * 32
    assert cost.macs == 64 * (32 * 64 * 9)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Local2D(0, 1, 3, 5), r"in_channels \(=0\) must be at least 1"),
    (lambda: Local2D(1, 0, 3, 5), r"out_channels \(=0\) must be at least 1"),
    (lambda: Local2D(1, 1, 3, 0), r"input_size \(=0\) must be at least 1"),
    (lambda: Local2D(1, 1, 6, 5), r"size \(=6\) must be at most length \+ 2·pad \(=5\)"),
    (lambda: Local2D(1, 1, 3, 5, pad=4), r"pad \(=4\) must be at least 0 and less than the kernel \(=3\)"),
    (lambda: Local2D(2, 1, 3, 5).output_shape((2, 6, 5)), r"input_shape \(=\(2, 6, 5\)\) must be \(2, 5, 5\)"),
    (lambda: Local2D(2, 1, 3, 5).forward(np.zeros((1, 2, 5, 6), np.float32)),
     r"Local2D: x of shape \(=\(1, 2, 5, 6\)\) must be \(N, 2, 5, 5\)"),
    (lambda: Local2D(2, 1, 3, 5).forward(np.zeros((1, 2, 5, 5))),
     r"Local2D: x of dtype \(=float64\) must be float32"),
])
def test_mistakes_are_named_with_their_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()
