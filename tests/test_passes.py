"""Passes through a net: calls of kernels wait until its end, and nobody sees them waiting."""
import threading

import numpy as np
import pytest

from npnet import kernels
from npnet.kernels import calls
from npnet.layers import LRN, Concat, Conv2D, Dense, Dropout, Layer, MaxPool2D, ReLU, Sequential, WithHeads
from npnet.layers.parameter import Gaussian

pytest.importorskip("numba")

from npnet.kernels.numba.prepared import Unless, _Prepared, loop, prepared


@pytest.fixture(autouse=True)
def fast():
    with kernels.using("numba") as backend:
        yield backend
    assert calls._pass.waiting is None
    assert not calls._pass.open


@pytest.fixture
def made(monkeypatch):
    """How many calls were made together, each time; 1 for a call by itself."""
    several, one, counts = _Prepared.make, _Prepared.__call__, []
    monkeypatch.setattr(_Prepared, "make", staticmethod(lambda some: counts.append(len(some)) or several(some)))
    monkeypatch.setattr(_Prepared, "__call__", lambda call: counts.append(1) or one(call))
    return counts


WIDE = Gaussian(0.3)


def layers():
    both = Concat(
        Sequential(Conv2D(8, 4, 1, weight=WIDE), ReLU()),
        Sequential(MaxPool2D(3, 1, 1), Conv2D(8, 4, 1, weight=WIDE), ReLU()))
    return {"conv1": Conv2D(3, 8, 5, 1, 2, weight=WIDE), "relu1": ReLU(), "pool1": MaxPool2D(3, 2), "norm1": LRN(3),
            "both": both, "conv2": Conv2D(8, 8, 3, 1, 1, weight=WIDE), "relu2": ReLU(), "drop": Dropout(0.5),
            "fc": Dense(8 * 4 * 4, 5, weight=WIDE)}


def net_of(**others):
    """With others in their places."""
    net = Sequential(**(layers() | others))
    net.initialise(0)
    return net


def batch(images=4):
    rng = np.random.default_rng(0)
    return rng.standard_normal((images, 3, 8, 8), np.float32), rng.standard_normal((images, 5), np.float32)


def one_by_one(net, x, dy):
    """What each layer makes, and the gradients."""
    net.initialise(0)
    seen = []
    for layer in net.layers:
        x = layer.forward(x)
        seen.append(x.copy())
    for layer in reversed(net.layers):
        dy = layer.backward(dy)
    return seen, dy.copy(), [p.grad.copy() for p in net.parameters()]


def assert_close(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_the_calls_of_a_pass_are_made_together(made):
    net, (x, dy) = net_of(), batch()
    for _ in range(3):  # at first each call is worked out, and anew where scratch memory has grown since
        made.clear()
        net.forward(x)
        net.backward_parameters(dy)
    assert len(made) == 2, "forward, and back"
    assert min(made) > 5


def test_what_comes_of_it_is_what_comes_of_the_layers_one_by_one():
    net, (x, dy) = net_of(), batch()
    seen, dx, gradients = one_by_one(net_of(), x, dy)
    for _ in range(3):
        net.initialise(0)
        y = net.forward(x)
        np.testing.assert_allclose(y, seen[-1], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(net.backward(dy), dx, rtol=1e-5, atol=1e-5)
        assert_close([p.grad for p in net.parameters()], gradients)


class Looks(Layer):
    """A layer of a user's own, who works with NumPy."""

    def forward(self, x, train=True):
        self.seen = x.copy()
        y = self._copied("y", x)
        return self.output(y.shape, y.dtype, y)

    def backward(self, dy):
        self.seen_back = dy.copy()
        return self._copied("dx", dy)

    def _copied(self, name, x):
        y = self.like(name, x)
        y[...] = x
        return y

    def output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize("place", ["relu1", "norm1", "relu2", "drop"])
def test_a_layer_of_a_users_own_sees_what_is_done_before_it(place):
    net, (x, dy) = net_of(**{place: Looks()}), batch()
    other = net_of(**{place: Looks()})
    one_by_one(other, x, dy)
    for _ in range(3):
        net.initialise(0)
        net[place].seen = net[place].seen_back = None
        net.forward(x)
        net.backward(dy)
        np.testing.assert_allclose(net[place].seen, other[place].seen, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(net[place].seen_back, other[place].seen_back, rtol=1e-5, atol=1e-5)


class Within(Layer):
    """It has layers of npnet's in it, and reads what they have made."""

    def __init__(self):
        super().__init__()
        self.net, self.alone = Sequential(Conv2D(8, 8, 3, 1, 1), ReLU(), MaxPool2D(3, 1, 1)), Conv2D(8, 8, 1)

    def children(self):
        return [self.net, self.alone]

    def forward(self, x, train=True):
        first = self.net.forward(x, train)
        self.sums = [float(first.sum())]
        y = self.alone.forward(first, train)
        self.sums.append(float(y.sum()))
        return self.output(y.shape, y.dtype, y)

    def backward(self, dy):
        dx = self.alone.backward(dy)
        self.sums.append(float(dx.sum()))
        dx = self.net.backward(dx)
        self.sums.append(float(dx.sum()))
        return dx

    def output_shape(self, input_shape):
        return input_shape


def test_a_net_within_a_users_layer_is_done_when_it_returns():
    net, other, (x, dy) = net_of(norm1=Within()), net_of(norm1=Within()), batch()
    one_by_one(other, x, dy)
    for _ in range(3):
        net.initialise(0)
        net.forward(x)
        net.backward(dy)
        np.testing.assert_allclose(net["norm1"].sums, other["norm1"].sums, rtol=1e-4)


@pytest.mark.parametrize("of", ["layer", "class"])
def test_a_function_in_place_of_a_method_sees_what_is_done_before_it(of, monkeypatch):
    net, (x, dy) = net_of(), batch()
    seen, _, _ = one_by_one(net_of(), x, dy)
    for _ in range(2):
        net.forward(x)
    found, forward = [], MaxPool2D.forward
    if of == "layer":
        layer = net["pool1"]
        layer.forward = lambda *given: (found.append(given[0].copy()), forward(layer, *given))[1]
    else:
        monkeypatch.setattr(
            MaxPool2D, "forward", lambda self, *given: (found.append(given[0].copy()), forward(self, *given))[1])
    for _ in range(2):
        found.clear()
        net.initialise(0)
        y = net.forward(x)
        np.testing.assert_allclose(found[0], seen[1], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(y, seen[-1], rtol=1e-5, atol=1e-5)


def test_a_layer_that_fails_leaves_nothing_waiting(made):
    class Fails(Looks):
        def forward(self, x, train=True):
            raise RuntimeError("in the middle")

    net, (x, _) = net_of(relu2=Fails()), batch()
    for _ in range(2):
        made.clear()
        with pytest.raises(RuntimeError, match="in the middle"):
            net.forward(x)
        assert calls._pass.waiting is None
        assert not calls._pass.open
    assert sum(made) >= 5, "what was before it is done"
    conv = net["conv1"]
    np.testing.assert_array_equal(conv.forward(x).copy(), conv.forward(x.copy()))


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_a_convolution_that_must_be_done_again_is_in_the_middle_of_a_pass(wrong):
    """Minimal filtering makes NaN of numbers that are not finite; then Python has the plain way done."""
    net, (x, dy) = net_of(), batch()
    for _ in range(2):
        net.forward(x)
        net.backward(dy)
    x[1, 2, 3, 4] = wrong
    other = net_of()
    for _ in range(2):
        got, expected = one_by_one(other, x, dy), net.forward(x).copy()
        net.initialise(0)
        y = net.forward(x)
        np.testing.assert_allclose(y, got[0][-1], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(net.backward(dy), got[1], rtol=1e-5, atol=1e-5)
    assert np.isfinite(expected[[0, 2, 3]]).all()


def test_heads_and_their_sum():
    def build():
        net = WithHeads({"pool1": Sequential(fc=Dense(8 * 4 * 4, 5))}, **layers())
        net.initialise(0)
        return net

    net, (x, dy) = build(), batch()
    with kernels.using("numpy"):
        plain = build()
    for _ in range(3):
        net.initialise(0)
        plain.initialise(0)
        assert_close(net.forward(x), plain.forward(x))
        np.testing.assert_allclose(net.backward((dy, dy)), plain.backward((dy, dy)), rtol=1e-3, atol=1e-5)
        assert_close([p.grad for p in net.parameters()], [p.grad for p in plain.parameters()])


def test_what_is_not_kept_out_of_training_is_made_again_on_the_way_back():
    """By a kernel that is called at once, behind those that wait."""
    net, other, (x, dy) = net_of(), net_of(), batch()
    for _ in range(3):
        for one in (net, other):
            one.forward(x, train=False)
        dx = dy
        for layer in reversed(other.layers):
            dx = layer.backward(dx)
        np.testing.assert_allclose(net.backward(dy), dx, rtol=1e-5, atol=1e-5)


def test_python_between_calls_that_wait_is_done_in_its_place():
    done, numbers = [], np.ones(2, np.float64)
    some = [
        prepared(lambda i=i: [loop(done.append, i), loop(Unless(numbers, lambda: done.append(10 * i)))]).prepare()
        for i in range(1, 4)]
    for call in some[:2]:
        call()
    done.clear()
    _Prepared.make(some)
    assert done == [1, 2, 3]
    numbers[1] = 0
    some[1].let_go()
    done.clear()
    _Prepared.make(some)
    assert done == [1, 10, 2, 20, 3, 30]


def test_what_waits_in_one_thread_is_not_made_by_another():
    x, _ = batch()
    expected, found = net_of().forward(x).copy(), []

    class Waits(Looks):
        def forward(self, x, train=True):
            other = threading.Thread(target=lambda: found.append(net_of().forward(batch()[0]).copy()))
            other.start()
            other.join()
            return super().forward(x, train)

    net = net_of(norm1=Waits())
    for _ in range(2):
        net.forward(x)
    assert_close(found, [expected, expected])


def test_whatever_looks_at_numbers_can_be_prepared_or_waits(fast):
    """All of the contract but what looks at none."""
    none = {"channels", "column", "empty", "on_one_thread", "room", "view"}
    for name in set(fast.__all__) - none:
        kernel = getattr(fast, name)
        assert hasattr(kernel, "prepare") or kernel.__code__ is calls.after_what_waits(len).__code__, name


@pytest.mark.parametrize("call", [lambda fast, x: fast.scale(x, 2.0, x), lambda fast, x: fast.relu_forward(x, x)])
def test_a_kernel_that_is_called_at_once_sees_what_is_done_before_it(fast, call, monkeypatch):
    done = []
    monkeypatch.setattr(calls._pass, "waiting", [prepared(lambda: [loop(done.append, 1)]).prepare()])
    call(fast, np.ones(3, np.float32))
    assert done == [1]
    monkeypatch.undo()
