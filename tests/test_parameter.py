import numpy as np
import pytest

from npnet.layers import Constant, Conv2D, Dense, Dropout, Gaussian, Parameter, ReLU, Sequential

pytestmark = pytest.mark.usefixtures("backend")


def net():
    return Sequential(conv=Conv2D(2, 3, 3), relu=ReLU(), drop=Dropout(), fc=Dense(12, 5))


def values(model):
    return {p.name: p.numpy() for p in model.parameters()}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


def test_initial_values_are_a_function_of_the_seed():
    a, b = net(), net()
    a.initialise(3), b.initialise(3)
    assert same(values(a), values(b))
    b.initialise(4)
    assert not np.array_equal(a["conv"].weight.numpy(), b["conv"].weight.numpy())
    b.initialise(3)
    assert same(values(a), values(b)), "initialise begins anew"
    assert same(values(net()), values(net())), "without initialise they are fixed too"


def test_initial_values_do_not_depend_on_what_was_drawn_before():
    """Neither on the order in which they are asked for, nor on NumPy's own generator."""
    a, b = net(), net()
    a.initialise(3), b.initialise(3)
    forward = [p.numpy() for p in a.parameters()]
    np.random.default_rng(0).standard_normal(5)
    backward = [p.numpy() for p in reversed(b.parameters())]
    for x, y in zip(forward, reversed(backward), strict=True):
        np.testing.assert_array_equal(x, y)


def test_equal_shapes_in_different_places_begin_differently():
    model = Sequential(Dense(4, 4), Dense(4, 4))
    model.initialise(0)
    assert not np.array_equal(model[0].weight.numpy(), model[1].weight.numpy())


@pytest.mark.parametrize("std", [0.01, 0.5])
def test_gaussian_draws_have_mean_0_and_the_standard_deviation(std):
    w = Parameter("w", (200, 500), Gaussian(std)).numpy()
    assert w.dtype == np.float32
    assert abs(w.mean()) < 4 * std / np.sqrt(w.size)
    assert w.std() == pytest.approx(std, rel=4 / np.sqrt(2 * w.size))


def test_constant_is_constant():
    np.testing.assert_array_equal(Parameter("b", (3, 2), Constant(1.0)).numpy(), np.ones((3, 2), np.float32))


def test_the_defaults_are_the_papers():
    layer = Conv2D(3, 96, 11)
    assert layer.weight.initialiser == Gaussian(0.01)
    assert not layer.bias.numpy().any()
    assert (layer.weight.rate, layer.weight.decay, layer.bias.rate, layer.bias.decay) == (1, 1, 1, 1)


def test_rate_and_decay_come_from_the_initialiser():
    bias = Conv2D(1, 1, 1, bias=Constant(1.0, rate=2.0, decay=0.0)).bias
    assert (bias.rate, bias.decay) == (2.0, 0.0)


@pytest.mark.parametrize("drawn", [True, False])
def test_astype_keeps_the_values(drawn):
    p, q = (Parameter("w", (4, 3), Gaussian(1.0)) for _ in range(2))
    if drawn:
        p.value  # noqa: B018
    p.astype(np.float64)
    assert (p.value.dtype, p.grad.dtype) == (np.float64, np.float64)
    np.testing.assert_array_equal(p.numpy(), q.numpy())
    p.assign(np.full((4, 3), 1 / 3))
    p.astype(np.float32)
    assert p.value.dtype == np.float32
    np.testing.assert_array_equal(p.numpy(), np.float32(1 / 3))


def test_the_gradient_begins_at_zero():
    assert not np.array(Parameter("w", (4, 3), Gaussian(1.0)).grad).any()


def test_assign_and_numpy_copy():
    p, host = Parameter("w", (2,), Constant()), np.array([1.0, 2.0])
    p.assign(host)
    host[0] = 9
    copy = p.numpy()
    copy[1] = 9
    np.testing.assert_array_equal(p.numpy(), [1, 2])


def test_what_is_assigned_first_is_not_drawn(monkeypatch):
    """Weights from a file: AlexNet's initial values would be a second's work for nothing."""
    monkeypatch.setattr(Gaussian, "draw", None)
    p = Parameter("w", (2,), Gaussian(1.0))
    p.assign(np.array([1.0, 2.0]))
    first = p.value
    np.testing.assert_array_equal(p.numpy(), np.array([1, 2], np.float32))
    p.assign(np.array([3.0, 4.0]))
    assert p.value is first, "and from then on the array stays the same"
    np.testing.assert_array_equal(p.numpy(), [3, 4])


def test_assign_checks_the_shape():
    model = net()
    with pytest.raises(ValueError, match=r"fc.weight: value of shape \(=\(12, 5\)\) must have the shape \(5, 12\)"):
        model["fc"].weight.assign(np.zeros((12, 5)))
    with pytest.raises(ValueError, match=r"must have the shape \(5,\)"):
        model["fc"].bias.assign(np.zeros(1))  # which NumPy would spread over all five


def test_a_negative_deviation_is_named():
    with pytest.raises(ValueError, match=r"std \(=-0.1\) must not be negative"):
        Gaussian(-0.1)


def test_three_steps_of_the_rule_of_section_5(backend):
    r"""v_{i+1} = 0.9 v_i − 0.0005 ε w_i − ε ⟨∂L/∂w⟩,  w_{i+1} = w_i + v_{i+1}."""
    w, v = 2.0, 0.0
    W, V = np.full((3, 1), w), np.zeros((3, 1))
    for gradient in (1.0, -3.0, 0.5):
        v = 0.9 * v - 0.0005 * 0.1 * w - 0.1 * gradient
        w = w + v
        G = np.full((3, 1), gradient)
        backend.sgd_update([W], [V], [G], [(0.1, 0.0005)], 0.9)
        np.testing.assert_allclose(V, v, rtol=1e-14)
        np.testing.assert_allclose(W, w, rtol=1e-14)
        np.testing.assert_array_equal(G, gradient)
    assert w == pytest.approx(2.0 - 0.1 * (1 + 0.9 + 0.81) + 0.3 * 1.9 - 0.05, abs=1e-3)
