import doctest

import numpy as np
import pytest
from opaque import Opaque

import npnet
from npnet import gradcheck, kernels, layers, models
from npnet.layers import (
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Gaussian,
    MaxPool2D,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
    Tanh,
)

CASES = list(gradcheck.suite("numpy"))


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape)


class Weights:
    """A parameter as a reader may write one: no base class, plain arrays."""

    def __init__(self, value, name="w"):
        self.value, self.grad, self.name = value, np.zeros_like(value), name


class Scale:
    """y = w x, element by element, w being one row: the smallest layer that learns."""

    def __init__(self, columns=3, dtype=np.float64):
        self.w = Weights(np.linspace(1.0, 2.0, columns).astype(dtype))

    def forward(self, x, train=True):
        self.x = x
        return self.w.value * x

    def backward(self, dy):
        self.w.grad[...] = np.sum(dy * self.x, axis=0)
        return self.w.value * dy

    def parameters(self):
        return [self.w]


# -- the suite --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("i", range(len(CASES)), ids=[f"{case.name} on {case.shape}" for case in CASES])
def test_every_gradient_of_every_layer(i, backend):
    case = list(gradcheck.suite(kernels.active_name()))[i]
    assert case.layer.kernels is getattr(backend, "device", backend)  # the cases make their own arrays
    report = case.check(tolerance=1e-7)
    report.raise_if_failed()
    assert {p.tensor for p in report.points} == {"x", *(p.name for p in case.layer.parameters())}
    assert sum(report.kinks.values()) <= len(report.points) / 20


@pytest.mark.parametrize(("name", "arguments"), [
    *((name, {}) for name, (_, side, _) in models.INPUTS.items() if side <= 32),
    ("cifar_figure1", {"activation": "tanh"}),
])
def test_whole_nets_from_the_loss_to_the_pixels(name, arguments, backend):
    net, x = models.build(name, **arguments), random(1, *models.INPUTS[name])
    gradcheck.check(net, x, labels=[1], loss=SoftmaxCrossEntropy(), samples=2, directions=1).raise_if_failed()


def test_the_suite_has_every_layer():
    found = {type(part) for case in CASES for part in case.layer.walk()}
    everything = {getattr(layers, name) for name in layers.__all__}
    wanted = {kind for kind in everything if issubclass(kind, layers.Layer) and kind is not layers.Layer}
    assert not wanted - found, "add a case to npnet/gradcheck/cases.py"


def test_the_suite_leaves_the_backend_as_it_was(backend):
    cases = gradcheck.suite("numpy")
    assert next(cases).layer.kernels.__name__ == "npnet.kernels.numpy"
    assert kernels.active() is backend
    assert Tanh().kernels is backend


def test_kernels_are_asked_for_everything():
    """On arrays that cannot be looked into."""
    before = kernels._active
    npnet.use(Opaque())
    try:
        net = Sequential(Conv2D(2, 3, 3, weight=Gaussian(0.5)), ReLU(), Dropout(0.3), Dense(12, 4))
        gradcheck.check(net, random(2, 2, 4, 4), labels=[3, 1], loss=SoftmaxCrossEntropy()).raise_if_failed()
    finally:
        kernels._active = before


# -- steps and kinks --------------------------------------------------------------------------------------------------


def test_the_error_over_the_step_is_a_v(backend):
    net = Sequential(Dense(6, 5, weight=Gaussian(0.5)), Tanh(), Dense(5, 4, weight=Gaussian(0.5)))
    for tensor in ("x", "0.weight"):
        curve = gradcheck.sweep(net, random(3, 6), 10.0 ** -np.arange(1, 12), tensor=tensor)
        steps, errors = map(np.array, zip(*curve, strict=True))
        assert errors[1] / errors[2] == pytest.approx(100, rel=0.2)  # right arm: h²
        assert 1e-7 < steps[errors.argmin()] < 1e-3
        assert errors.min() < 1e-9
        assert errors[-1] > 100 * errors.min()  # left arm: rounding over h


def test_the_corner_of_a_relu_is_skipped_and_counted(backend):
    x = random(3, 4)
    x[0, 1] = x[2, 3] = 0.0
    report = gradcheck.check(ReLU(), x, directions=0)
    assert report.ok
    assert report.kinks == {"x": 2}
    assert len(report.points) == 10
    assert {(0, 1), (2, 3)}.isdisjoint(p.index for p in report.points)
    assert gradcheck.check(ReLU(), x, directions=3).kinks == {"x": 5}, "every direction crosses the two corners"


def test_a_tie_of_max_pooling_is_skipped_and_counted(backend):
    x = random(1, 1, 4, 4)
    x[0, 0, 0, 1] = x[0, 0, 1, 0] = 5.0
    report = gradcheck.check(MaxPool2D(2, 2), x, directions=0)
    assert report.ok
    assert report.kinks == {"x": 2}
    assert len(report.points) == 14


@pytest.mark.parametrize("distance", [9e-6, 3e-6, -2e-7])
def test_near_a_corner_smaller_steps_are_taken(distance, backend):
    report = gradcheck.check(ReLU(), np.array([[1.0, distance, -1.0]]))
    assert report.ok
    assert report.kinks == {"x": 0}


@pytest.mark.parametrize("nothing", [np.zeros((2, 3)), np.full((1, 1, 4, 4), 7.0)])
def test_nothing_but_kinks_is_not_ok(nothing, backend):
    report = gradcheck.check(ReLU() if nothing.ndim == 2 else MaxPool2D(3, 1, pad=1), nothing)
    assert not report.ok
    assert "points are at kinks, nothing was compared" in str(report)


def test_many_kinks_are_told(backend):
    x = random(4, 5)
    x[:3] = 0.0
    report = gradcheck.check(ReLU(), x)
    assert report.ok
    assert "note: x: 17 of 22 points are at kinks and were skipped" in str(report)


class CrookedReLU(ReLU):
    """The slope is `slope` above 0, and `corner` at 0."""

    def __init__(self, slope=1.0, corner=0.0):
        super().__init__()
        self.slope, self.corner = slope, corner

    def forward(self, x, train=True):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        return dy * np.where(self.x > 0, self.slope, np.where(self.x == 0, self.corner, 0.0))


def test_a_kink_hides_no_error(backend):
    x = random(3, 4)
    x[0, 1] = 0.0
    assert gradcheck.check(CrookedReLU(), x).ok
    assert gradcheck.check(CrookedReLU(corner=0.5), x).ok
    smooth = gradcheck.check(CrookedReLU(slope=1 + 1e-5), x)
    assert {p.index for p in smooth.failures} >= {tuple(i) for i in np.argwhere(x > 0).tolist()}
    assert [p.index for p in gradcheck.check(CrookedReLU(corner=5.0), x, directions=0).failures] == [(0, 1)]
    near = np.array([[2e-6, 1.0]])  # between x − h and x + h lies a corner, and the slope is wrong as well
    assert {p.index for p in gradcheck.check(CrookedReLU(slope=1.2), near).failures} >= {(0, 0), (0, 1)}


# -- what is reported -------------------------------------------------------------------------------------------------


def test_the_example_prints_what_it_shows():
    assert doctest.testmod(gradcheck) == (0, 4)


class OneWrong(Scale):
    def backward(self, dy):
        dx = super().backward(dy)
        dx[1, 2] *= -1
        self.w.grad[0] += 1e-4
        return dx


def test_a_wrong_element_is_named():
    report = gradcheck.check(OneWrong(), random(2, 3))
    assert {p.index for p in report.failures if p.tensor == "x"} == {(1, 2), None}
    assert {p.index for p in report.failures if p.tensor == "w"} == {(0,), None}
    assert report.worst.place == "x[1, 2]"
    assert report.worst.error == pytest.approx(2.0)
    assert [p.error for p in report.points] == sorted((p.error for p in report.points), reverse=True)
    with pytest.raises(gradcheck.GradientError, match=r"x\[1, 2\] .* 2\.0e\+00"):
        report.raise_if_failed()


def test_a_report_is_a_table():
    text = str(gradcheck.check(OneWrong(), random(2, 3), directions=0)).splitlines()
    assert text[0] == "OneWrong: FAILED, worst relative error 2.0e+00 (tolerance 1e-07)"
    assert text[1] == "  2 of 9 points fail, the worst first:"
    assert text[2].split() == ["at", "by", "backward", "by", "differences", "error"]
    assert text[3].split()[:2] == ["x[1,", "2]"]
    assert text[4].split()[0] == "w[0]"
    assert text[5].split() == ["tensor", "shape", "points", "kinks", "worst", "error", "at"]
    assert text[6].split() == ["x", "(2,", "3)", "6", "0", "2.0e+00", "x[1,", "2]"]
    assert text[7].split()[:4] == ["w", "(3,)", "3", "0"]
    assert len(text) == 8


def test_how_much_is_tried():
    def points(**options):
        report = gradcheck.check(Scale(40), random(5, 40), **options)
        assert report.ok
        return [sum(p.tensor == tensor for p in report.points) for tensor in ("x", "w")]

    assert points() == [102, 42]
    assert points(exhaustive=True) == [202, 42]
    assert points(exhaustive=False) == [2, 2]
    assert points(samples=7, directions=3) == [10, 10]


def test_the_same_seed_gives_the_same_report():
    reports = [gradcheck.check(Scale(), random(4, 3), seed=seed) for seed in (5, 5, 6)]
    assert reports[0] == reports[1]
    assert reports[0] != reports[2]


# -- problems beyond numbers ------------------------------------------------------------------------------------------


class NotWritten(Scale):
    def backward(self, dy):
        return self.w.value * dy


class PartlyWritten(Scale):
    def backward(self, dy):
        self.w.grad[1:] = np.sum(dy * self.x, axis=0)[1:]
        return self.w.value * dy


class Added(Scale):
    def backward(self, dy):
        self.w.grad += np.sum(dy * self.x, axis=0)
        return self.w.value * dy


class NoGradientAtAll(NotWritten):
    def __init__(self):
        super().__init__()
        self.w.grad = None


class Idle(Scale):
    """w is there, but does nothing."""

    def forward(self, x, train=True):
        return x * 2

    def backward(self, dy):
        self.w.grad[...] = 0
        return dy * 2


class NaNBack(Scale):
    def backward(self, dy):
        dx = super().backward(dy)
        dx[0, 0] = np.nan
        return dx


class NaNForth(Scale):
    def forward(self, x, train=True):
        with np.errstate(invalid="ignore"):
            return np.log(x)


class XOverwrittenForth(Scale):
    def forward(self, x, train=True):
        y = super().forward(x.copy())
        x *= 2
        return y


class XOverwrittenBack(Scale):
    def backward(self, dy):
        dx = super().backward(dy)
        np.multiply(self.w.value, dy, out=self.x)
        return dx


class DyOverwritten(Scale):
    def backward(self, dy):
        dx = super().backward(dy)
        dy[...] = dx
        return dx


class Restless(Scale):
    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def forward(self, x, train=True):
        return super().forward(x) * (self.rng.random(x.shape) > 0.5)


class RestlessBack(Scale):
    calls = 0

    def backward(self, dy):
        self.calls += 1
        return super().backward(dy) * (1 + self.calls % 2)


class WrongShapeTold(Scale):
    def output_shape(self, input_shape):
        return (*input_shape, 1)


class WrongShapeBack(Scale):
    def backward(self, dy):
        return super().backward(dy)[:1]


class OtherParameters(Scale):
    def backward_parameters(self, dy):
        self.backward(dy / 2)


class Coarse(Scale):
    def forward(self, x, train=True):
        return super().forward(x).astype(np.float32)


class Faint(Scale):
    """1 hides all that w and x do: their slopes are smaller than what rounding makes of them."""

    def forward(self, x, train=True):
        return super().forward(x) * 1e-10 + 1

    def backward(self, dy):
        return super().backward(dy * 1e-10)


@pytest.mark.parametrize(("kind", "problem"), [
    (NotWritten, "w.grad is not written by backward: 3 of 3 elements"),
    (PartlyWritten, "w.grad is not written by backward: 1 of 3 elements"),
    (NoGradientAtAll, "w.grad is not written by backward: 3 of 3 elements"),
    (Added, "w.grad is added to, not written: what it held before is still in it"),
    (Idle, "w.grad is zero everywhere"),
    (NaNBack, "dx has NaN: 1 of 12 elements"),
    (NaNForth, "forward makes NaN or inf: 5 of 12 elements of y"),
    (XOverwrittenForth, "x is overwritten by forward"),
    (XOverwrittenBack, "x is overwritten by backward"),
    (DyOverwritten, "dy is overwritten by backward"),
    (Restless, "forward gives two answers for one x: whatever is drawn must follow from set_step"),
    (RestlessBack, "dx is another one when forward and backward are called again"),
    (WrongShapeTold, "output_shape says (3, 1), but forward makes (3,)"),
    (WrongShapeBack, "dx of shape (=(1, 3)) must be (4, 3)"),
    (OtherParameters, "w.grad by backward_parameters is not the one by backward"),
    (Coarse, "forward makes float32 of float64: too coarse for differences"),
    (Faint, "x: slopes too small to be compared"),
])
def test_each_problem_has_a_line(kind, problem):
    assert gradcheck.check(Scale(), random(4, 3)).ok
    report = gradcheck.check(kind(), random(4, 3))
    assert not report.ok
    assert any(p.startswith(problem) for p in report.problems), str(report)
    assert f"  problem: {problem}" in str(report)


def test_a_slope_of_zero_everywhere_is_a_note(backend):
    report = gradcheck.check(ReLU(), -1 - random(3, 4) ** 2)
    assert report.ok
    assert report.notes == ["dx is zero everywhere"]


def test_computing_in_float32_inside_does_not_pass():
    class Inside(Scale):
        def forward(self, x, train=True):
            return super().forward(x.astype(np.float32)).astype(np.float64)

    assert not gradcheck.check(Inside(), random(4, 3)).ok


class Silent(Scale):
    def forward(self, x, train=True):
        super().forward(x)


def test_what_is_no_layer_is_said():
    with pytest.raises(ValueError, match="Silent: forward returns NoneType, and must return an array, or a tuple of"):
        gradcheck.check(Silent(), random(4, 3))
    scale = Scale()
    scale.parameters()[0].value = 2.0
    with pytest.raises(ValueError, match=r"w: value \(=2.0\) must be an array"):
        gradcheck.check(scale, random(4, 3))


def test_a_gradient_of_zero_has_no_relative_error(backend):
    assert gradcheck.sweep(ReLU(), -1 - random(3, 4) ** 2, [1e-3, 1e-5]) == [(1e-3, 0.0), (1e-5, 0.0)]


def test_what_forward_overwrites_is_not_said_of_backward():
    problems = gradcheck.check(XOverwrittenForth(), random(4, 3)).problems
    assert "x is overwritten by forward" in problems
    assert "x is overwritten by backward" not in problems


def test_a_loss_needs_labels():
    with pytest.raises(ValueError, match=r"labels \(=None\) must be given with a loss"):
        gradcheck.check(Scale(), random(4, 3), loss=SoftmaxCrossEntropy())


# -- nothing is left behind -------------------------------------------------------------------------------------------


class Falls(Tanh):
    def backward(self, dy):
        raise RuntimeError("fell over")


@pytest.mark.parametrize("end", [Tanh, Falls])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_gradients_and_steps_are_restored_to_the_bit(end, dtype, backend):
    net = Sequential(Dropout(0.3), Concat(Conv2D(1, 2, 3), Conv2D(1, 2, 3)), Dense(16, 3), Dropout(0.2), end())
    net.astype(dtype)
    weights = np.random.default_rng(1).standard_normal((3, 16)).astype(dtype)
    weights[0, :5] = (-0.0, np.finfo(dtype).tiny / 4, np.pi, 1 / 3, np.finfo(dtype).eps)
    dense = net[2]
    dense.weight.assign(weights)
    backend.fill(dense.weight.grad, -0.0)
    net.set_step(7)
    before = [(p.numpy().tobytes(), backend.to_host(p.grad).tobytes()) for p in net.parameters()]
    if end is Falls:
        with pytest.raises(RuntimeError, match="fell over"):
            gradcheck.check(net, random(2, 1, 4, 4))
    else:
        gradcheck.check(net, random(2, 1, 4, 4), samples=5).raise_if_failed()
    assert [(p.numpy().tobytes(), backend.to_host(p.grad).tobytes()) for p in net.parameters()] == before
    assert {p.value.dtype for p in net.parameters()} == {np.dtype(dtype)}
    assert net[0].step == net[3].step == 7


def test_plain_arrays_are_restored_themselves():
    layer = Scale(dtype=np.float32)
    value, grad = layer.w.value, layer.w.grad
    grad[...] = 3
    report = gradcheck.check(layer, random(4, 3))
    assert report.ok
    assert {p.tensor for p in report.points} == {"x", "w"}
    assert layer.w.value is value
    assert layer.w.grad is grad
    assert (grad == 3).all()
    assert value.tobytes() == np.linspace(1.0, 2.0, 3).astype(np.float32).tobytes()


def test_x_and_labels_of_the_caller_are_left_alone(backend):
    x, labels = random(3, 4), np.array([0, 3, 1])
    before = x.copy()
    gradcheck.check(SoftmaxCrossEntropy(), x, labels=labels).raise_if_failed()
    assert (x == before).all()
    assert labels.tolist() == [0, 3, 1]


def test_dropout_is_checked_at_work(backend):
    """Not switched off: what is dropped has no slope, by backward and by differences, and the rest has."""
    layer = Dropout(0.5, "inverted")
    layer.seed(3)
    report = gradcheck.check(layer, random(4, 6), directions=0)
    report.raise_if_failed()
    dropped = {tuple(i) for i in np.argwhere(layer.forward(np.ones((4, 6))) == 0).tolist()}
    assert 0 < len(dropped) < 24
    assert {p.index for p in report.points if p.numeric == p.analytic == 0} == dropped
