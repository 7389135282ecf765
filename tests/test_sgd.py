import numpy as np
import pytest

from npnet.layers import Constant, Parameter
from npnet.train import SGD

MOMENTUM, DECAY = 0.9, 0.0005


def parameter(value, rate=1.0, decay=1.0, dtype=np.float64):
    p = Parameter("w", np.shape(value), Constant(0.0, rate=rate, decay=decay))
    p.astype(dtype)
    p.assign(np.asarray(value, dtype))
    return p


def give(p, gradient):
    p.kernels.from_host(np.asarray(gradient, p.dtype), p.grad)


def test_two_steps_are_those_of_section_5(backend):
    p = parameter([1.0, -2.0])
    sgd = SGD([p], rate=0.1)
    give(p, [0.5, 0.25])
    sgd.step()
    v = [-0.0005 * 0.1 * 1.0 - 0.1 * 0.5, -0.0005 * 0.1 * -2.0 - 0.1 * 0.25]  # v₀ = 0
    w = [1.0 + v[0], -2.0 + v[1]]
    np.testing.assert_allclose(p.numpy(), w, rtol=1e-14)
    give(p, [-1.0, 4.0])
    sgd.step()
    v = [0.9 * v[0] - 0.0005 * 0.1 * w[0] + 0.1 * 1.0, 0.9 * v[1] - 0.0005 * 0.1 * w[1] - 0.1 * 4.0]
    np.testing.assert_allclose(p.numpy(), [w[0] + v[0], w[1] + v[1]], rtol=1e-14)
    np.testing.assert_allclose(p.kernels.to_host(sgd.velocities[0]), v, rtol=1e-14)


def test_a_parameters_own_factors_multiply_rate_and_decay(backend):
    w = parameter([3.0], rate=0.5, decay=4.0)
    b = parameter([3.0], rate=2.0, decay=0.0)
    sgd = SGD([w, b], rate=0.1)
    for p in (w, b):
        give(p, [1.0])
    sgd.step()
    np.testing.assert_allclose(w.numpy(), [3.0 - 0.0005 * 4.0 * (0.1 * 0.5) * 3.0 - 0.1 * 0.5], rtol=1e-14)
    np.testing.assert_allclose(b.numpy(), [3.0 - 0.1 * 2.0], rtol=1e-14)


def test_the_rate_is_inside_the_velocity(backend):
    """After the rate drops, what v has gathered at the old one runs on; PyTorch's v would be scaled down with it."""
    p = parameter([0.0])
    sgd = SGD([p], rate=1.0, momentum=0.5, weight_decay=0.0)
    give(p, [1.0])
    sgd.step()
    assert p.numpy() == [-1.0]
    sgd.rate = 0.1
    give(p, [0.0])
    sgd.step()
    ours = -1.0 + 0.5 * -1.0  # v = 0.5 · (−1) whatever the rate is now
    pytorch = -1.0 - 0.1 * (0.5 * 1.0)  # u = 0.5 · 1, w ← w − 0.1 u
    assert (ours, pytorch) == (-1.5, -1.05)
    np.testing.assert_allclose(p.numpy(), [ours], rtol=1e-14)


def test_the_papers_momentum_and_decay_are_the_defaults():
    sgd = SGD([parameter([0.0])])
    assert (sgd.rate, sgd.momentum, sgd.weight_decay) == (0.01, 0.9, 0.0005)


def test_float32_stays_float32(backend):
    p = parameter([1.0, 2.0], dtype=np.float32)
    sgd = SGD([p], rate=0.1)
    give(p, [1.0, 1.0])
    sgd.step()
    assert p.numpy().dtype == np.float32
    assert p.kernels.to_host(sgd.velocities[0]).dtype == np.float32


@pytest.mark.parametrize(("arguments", "message"), [
    ({"rate": -1.0}, r"rate \(=-1.0\) must not be negative"),
    ({"rate": float("nan")}, r"rate \(=nan\)"),
    ({"momentum": 1.0}, r"momentum \(=1.0\) must be less than 1"),
    ({"momentum": -0.1}, r"momentum \(=-0.1\)"),
    ({"weight_decay": -0.1}, r"weight_decay \(=-0.1\)"),
])
def test_impossible_numbers_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SGD([], **arguments)


def test_a_layers_factor_multiplies_its_rate_alone(backend):
    """By its whole name: conv1 is not conv10."""
    both = [parameter([1.0], rate=2.0) for _ in range(3)]
    for p, name in zip(both, ("conv1.weight", "conv10.weight", "block.conv1.weight"), strict=True):
        p.name = name
        give(p, [1.0])
    sgd = SGD(both, rate=0.1, momentum=0.0, weight_decay=0.0)
    sgd.factors = {"conv1": 0.5}
    sgd.step()
    assert [float(p.numpy()[0]) for p in both] == pytest.approx([0.9, 0.8, 0.8])
    sgd.factors = {"conv1": 0.0, "block": 0.0}
    sgd.step()
    assert [float(p.numpy()[0]) for p in both] == pytest.approx([0.9, 0.6, 0.8])


def changed_rate(sgd, p):
    sgd.rate = 0.3


def changed_momentum(sgd, p):
    sgd.momentum = 0.25


def changed_decay(sgd, p):
    sgd.weight_decay = 0.125


def factors_set(sgd, p):
    sgd.factors = {"conv1": 0.5}


def factors_written(sgd, p):
    sgd.factors["conv1"] = 0.5


def own_rate(sgd, p):
    p.rate = 3.0


def own_decay(sgd, p):
    p.decay = 2.0


def other_name(sgd, p):
    sgd.factors["conv2"] = 0.5
    sgd.step()
    p.name = "conv2.weight"


def other_array(sgd, p):
    new = p.kernels.empty(p.shape, p.dtype)
    p.kernels.from_host(np.array([5.0, 7.0]), new)
    p.exchange(new)


def begun_anew(sgd, p):
    p.initialise(1)


def other_numbers(sgd, p):
    p.assign(np.array([5.0, 7.0]))


@pytest.mark.parametrize("change", [
    changed_rate, changed_momentum, changed_decay, factors_set, factors_written, own_rate, own_decay, other_name,
    other_array, begun_anew, other_numbers])
def test_what_changes_between_two_steps_counts_at_the_next(backend, change):
    p, beside = parameter([1.0, -2.0]), parameter([4.0])
    p.name, beside.name = "conv1.weight", "fc.weight"
    sgd = SGD([p, beside], rate=0.1)
    give(beside, [1.0])
    for _ in range(3):
        give(p, [0.5, 0.25])
        sgd.step()
    change(sgd, p)
    give(p, [0.5, 0.25])
    w, v, others = p.numpy(), p.kernels.to_host(sgd.velocities[0]), beside.numpy()
    rate = sgd.rate * p.rate * sgd.factors.get(p.name.partition(".")[0], 1.0)
    v = sgd.momentum * v - sgd.weight_decay * p.decay * rate * w - rate * np.array([0.5, 0.25])
    sgd.step()
    np.testing.assert_allclose(p.numpy(), w + v, rtol=1e-14)
    assert beside.numpy() != others


def test_where_nothing_changes_no_parameter_is_asked_again(backend, monkeypatch):
    """In a step of a small net to ask took longer than to update."""
    p = parameter([1.0, -2.0])
    sgd, asked = SGD([p], rate=0.1), []
    monkeypatch.setattr(Parameter, "grad", property(lambda self: asked.append(self) or self._grad))
    p._grad = p.kernels.empty(p.shape, p.dtype)
    for _ in range(4):
        sgd.factors = {}  # as a schedule says at every step
        p.kernels.fill(p._grad, 1.0)
        sgd.step()
    assert asked == [p]


def test_a_type_that_changes_afterwards_is_named_at_every_step(backend):
    p = parameter([1.0])
    sgd = SGD([p], rate=0.1)
    sgd.step()
    p.astype(np.float32)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"w of dtype \(=float32\) must be float64"):
            sgd.step()
    p.astype(np.float64)
    sgd.step()


def test_what_is_updated_cannot_be_exchanged_unnoticed():
    sgd = SGD([parameter([1.0])])
    for name in ("parameters", "velocities"):
        with pytest.raises(AttributeError):
            setattr(sgd, name, ())


@pytest.mark.parametrize(("rate", "expected"), [(0.25, -0.5), (0.5, -0.75)])
def test_an_interrupted_step_is_not_taken_for_one_with_the_old_rate(backend, monkeypatch, rate, expected):
    """Nor for one with the new rate, if it is the old one again."""
    p = parameter([0.0])
    sgd = SGD([p], rate=0.25, momentum=0.0, weight_decay=0.0)
    give(p, [1.0])
    sgd.step()
    work_out = SGD._work_out

    def interrupted(self):
        monkeypatch.setattr(SGD, "_work_out", work_out)
        work_out(self)
        raise KeyboardInterrupt

    sgd.rate = 0.5
    monkeypatch.setattr(SGD, "_work_out", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sgd.step()
    sgd.rate = rate
    sgd.step()
    assert p.numpy() == [expected]
