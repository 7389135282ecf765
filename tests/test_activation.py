import numpy as np
import pytest

from npnet.layers import AbsTanh, ReLU, Sigmoid, Tanh

pytestmark = pytest.mark.usefixtures("backend")

FUNCTIONS = {  # f and f′, as printed
    ReLU: (lambda x: max(0.0, x), lambda x: float(x > 0)),
    Tanh: (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    Sigmoid: (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    AbsTanh: (lambda x: abs(np.tanh(x)), lambda x: np.sign(x) * (1 - np.tanh(x) ** 2)),
}


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_value_and_slope_are_those_of_the_equation(activation):
    f, slope = FUNCTIONS[activation]
    x = np.random.default_rng(0).standard_normal((3, 5, 7, 2)) * 3
    dy = np.random.default_rng(1).standard_normal(x.shape)
    layer = activation()
    np.testing.assert_allclose(layer.forward(x), np.vectorize(f)(x), rtol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), dy * np.vectorize(slope)(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("activation", "expected"), [
    (ReLU, [0, 0, 0, 1e4]), (Tanh, [-1, 0, 0, 1]), (Sigmoid, [0, 0.5, 0.5, 1]), (AbsTanh, [1, 0, 0, 1]),
])
def test_large_inputs_saturate_without_a_warning(activation, expected, dtype):
    """Warnings are errors in these tests, so an overflow inside would fail."""
    layer = activation()
    y = layer.forward(np.array([[-1e4, -0.0, 0.0, 1e4]], dtype))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y[0], np.array(expected, dtype))
    slopes = {ReLU: [0, 0, 0, 1], Tanh: [0, 1, 1, 0], Sigmoid: [0, 0.25, 0.25, 0], AbsTanh: [0, 0, 0, 0]}
    np.testing.assert_array_equal(layer.backward(np.ones((1, 4), dtype))[0], slopes[activation])


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_nan_survives(activation):
    y = activation().forward(np.array([[np.nan, 1.0]], np.float32))
    assert np.isnan(y[0, 0])
    assert not np.isnan(y[0, 1])


def test_nothing_passes_a_relu_that_is_off_however_large():
    layer = ReLU()
    layer.forward(np.array([[-1.0, 0.0, 2.0]]))
    np.testing.assert_array_equal(layer.backward(np.array([[np.inf, np.nan, np.inf]])), [[0, 0, np.inf]])


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_shape_stays(activation):
    assert activation().output_shape((3, 5, 7)) == (3, 5, 7)
    assert repr(activation()) == f"{activation.__name__}()"
