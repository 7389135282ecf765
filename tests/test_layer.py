"""What every layer holds to."""
import gc

import numpy as np
import pytest

from npnet import counter, kernels
from npnet.gradcheck import suite
from npnet.layers import (
    LRN,
    AvgPool2D,
    Concat,
    Constant,
    Conv2D,
    Dense,
    Dropout,
    LRNWithin,
    MaxPool2D,
    ReLU,
    Sequential,
    WithHeads,
)
from npnet.train import SGD

CASES = [case for case in suite("numpy", "numba") if case.train and not (case.classes and len(case.shape) == 2)
         and not isinstance(case.layer, WithHeads)]


@pytest.fixture(params=["numpy", "numba"])
def backend(request, monkeypatch):
    monkeypatch.setattr(kernels, "_active", kernels._active)
    kernels.use(request.param)


@pytest.mark.parametrize("case", CASES, ids=[f"{case.backend}-{case.name}" for case in CASES])
def test_a_gradient_of_another_shape_is_refused(case):
    """The kernels do not look at bounds: without this, they read and write where nothing of the net is."""
    layer, x = case.layer, np.random.default_rng(0).standard_normal(case.shape)
    layer.astype(np.float64)
    y = layer.forward(x)
    for shape in ((y.shape[0] + 1, *y.shape[1:]), (*y.shape[:-1], y.shape[-1] + 3), y.shape[:1], (1, *y.shape)):
        for backward in (layer.backward, layer.backward_parameters):
            with pytest.raises(ValueError, match="must be like the last output"):
                backward(np.ones(shape))
    with pytest.raises(ValueError, match="must be like the last output"):
        layer.backward(np.ones(y.shape, np.float32))
    layer.backward(np.ones(y.shape))


def test_an_evaluation_in_between_is_noticed(backend):
    layer = ReLU()
    dy = np.ones_like(layer.forward(np.ones((4, 3), np.float32)))
    layer.forward(np.ones((2, 3), np.float32), train=False)
    with pytest.raises(ValueError, match=r"dy of shape \(=\(4, 3\)\)"):
        layer.backward(dy)


def test_backward_before_forward_says_so(backend):
    with pytest.raises(ValueError, match="Dense: backward needs a forward pass before it"):
        Dense(3, 2).backward(np.ones((1, 2), np.float32))


@pytest.mark.parametrize("layer", [Conv2D(2, 3, 3), MaxPool2D(3, 2), AvgPool2D(2, 2), LRN(), LRNWithin()])
def test_a_batch_of_none_is_refused(layer):
    with pytest.raises(ValueError, match="N at least 1"):
        layer.forward(np.ones((0, 2, 6, 6), np.float32))


def alike():
    branches = Concat(Conv2D(2, 2, 1), Conv2D(2, 2, 1))
    return Sequential(Dense(8, 8), Dropout(), branches, Sequential(Dense(8, 8), Dropout()))


def test_layers_of_one_shape_begin_differently(backend):
    net = alike()
    values = [p.numpy() for p in net.parameters() if p.name.endswith("weight")]
    for i, a in enumerate(values):
        assert not any(np.array_equal(a, b) for b in values[:i] if b.shape == a.shape)
    x = np.ones((4, 64), np.float32)
    assert not np.array_equal(net[1].forward(x), net[3][1].forward(x))
    again = alike()
    again.initialise(0)
    for p, q in zip(net.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_values_given_before_a_layer_joins_a_net_stay():
    layer = Dense(3, 2)
    layer.weight.assign(np.full((2, 3), 5, np.float32))
    assert (Sequential(Dense(2, 3), layer).parameters()[2].numpy() == 5).all()


def test_a_layer_has_one_place():
    layer = Dense(3, 3)
    with pytest.raises(ValueError, match="the same layer stands in two places"):
        Sequential(layer, ReLU(), layer)
    with pytest.raises(ValueError, match="the same layer stands in two places"):
        Sequential(layer, Sequential(layer))


def test_a_layer_is_in_one_net():
    """Another would give its weights other names, and dropout other masks."""
    net = Sequential(fc=Dense(3, 3), relu=ReLU())
    with pytest.raises(ValueError, match="Concat: Dense is in a net already: make a layer for each"):
        Concat(ReLU(), net["fc"])
    assert [p.name for p in net.parameters()] == ["fc.weight", "fc.bias"]
    whole = Sequential(body=net, head=Dense(3, 2))
    assert whole.parameters()[0].name == "body.fc.weight"
    with pytest.raises(ValueError, match="Sequential: Sequential is in a net already"):
        Sequential(net)
    layer = Dense(3, 3)
    Sequential(layer)  # of which nothing is left
    gc.collect()
    Sequential(layer)


def test_layers_of_a_net_are_of_one_backend():
    """Calls of one may wait while the other's are made, which would then read what the pass before has left."""
    with kernels.using("numpy"):
        one = ReLU()
    with kernels.using("numba"):
        other = ReLU()
        with pytest.raises(ValueError, match=r"Sequential: the layers are of 2 backends \(numpy, numba\): make all of "
                                             r"them with one"):
            Sequential(one, other)
        assert Sequential(one).kernels is one.kernels  # whatever is chosen when it is made


def test_what_a_net_allowed_is_gone_with_it():
    """A layer that wrote over its neighbours' arrays there leaves a user's alone, where it has none."""
    fc, relu = Dense(3, 3), ReLU()
    Sequential(fc, relu, Dense(3, 2))
    gc.collect()
    alone, dy = Sequential(relu), np.ones((2, 3), np.float32)
    x = fc.forward(np.ones((2, 3), np.float32))
    before = np.array(x)
    assert (before < 0).any()
    alone.forward(x)
    alone.backward(dy)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(dy, 1)


def test_names_are_different():
    with pytest.raises(ValueError, match="Sequential: two layers are called '1'"):
        Sequential(Dense(3, 4), Dense(4, 4), **{"1": Dense(4, 4)})


@pytest.mark.parametrize("name", ["average", "ema.velocity"])
def test_names_that_checkpoints_need_are_refused(name):
    with pytest.raises(ValueError, match=f"parameter '{name}' must have another name"):
        Dense(3, 4).parameter(name, (3,), Constant())


@pytest.mark.parametrize("make", [
    ReLU, Dropout, lambda: MaxPool2D(3, 1), lambda: MaxPool2D(3, 2), lambda: AvgPool2D(3, 2), LRN, LRNWithin])
@pytest.mark.parametrize("dtype", ["~f4", "~f8", "f2", "i8", "u1", "?"])
def test_numbers_that_kernels_cannot_read_are_refused(make, dtype):
    """Bytes in the other order would be read as other numbers, without a word, once there is a compiled loop."""
    layer, x = make(), np.ones((1, 2, 5, 5), np.float32)
    layer.forward(x)
    other = x.astype(np.dtype(dtype[1:]).newbyteorder() if dtype[0] == "~" else dtype)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"{type(layer).__name__}: x of dtype \(=.*\) must be float32 or float64"):
            layer.forward(other)
    layer.backward(np.array(layer.forward(x)))


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8])
def test_seeds_and_steps_may_be_numpys(kind):
    a, b = (Sequential(Dense(4, 3), Dropout()) for _ in range(2))
    a.initialise(kind(2)), b.initialise(2)
    a.set_step(kind(5)), b.set_step(5)
    x = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(a.forward(x), b.forward(x))
    assert counter.key(kind(2), kind(3)) == counter.key(2, 3)
    assert counter.Key(kind(2), kind(3)).number == counter.Key(2, 3).number
    with pytest.raises(TypeError, match="float"):
        counter.key(2.5)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Conv2D(3, 4, 2.5), r"kernel \(=2.5\) must be a whole number"),
    (lambda: Conv2D(3, 4.0, 3), r"out_channels \(=4.0\) must be a whole number"),
    (lambda: MaxPool2D(3, 1.5), r"stride \(=1.5\) must be a whole number"),
    (lambda: LRN(alpha=float("nan")), r"alpha \(=nan\) must not be negative"),
    (lambda: LRN(k=float("nan")), r"k \(=nan\) must be positive"),
])
def test_senseless_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_optimiser_made_before_astype_is_refused():
    layer = Dense(3, 2)
    sgd = SGD(layer.parameters())
    layer.astype(np.float64)
    with pytest.raises(ValueError, match=r"weight of dtype \(=float64\) must be float32"):
        sgd.step()


def test_an_input_that_is_not_row_major_is_said(backend):
    x = np.zeros((2, 6, 5, 3), np.float32).transpose(0, 3, 1, 2)  # as pictures are read
    says = r"x of shape \(=\(2, 3, 6, 5\)\) and strides \(=.*\) must be row-major: "
    says += r"np\.ascontiguousarray\(x\) makes it so"
    for layer in (Conv2D(3, 4, 3), MaxPool2D(2, 2), LRN()):
        with pytest.raises(ValueError, match=f"{type(layer).__name__}: {says}"):
            layer.forward(x)


def test_what_a_fully_connected_layer_learns_from_is_read_as_it_lies():
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((9, length), np.float32) for length in (7, 13))
    with kernels.using("numba"):
        layer = Dense(7, 13)
        layer.forward(x)
        layer.backward_parameters(dy)
        for other in (np.asfortranarray(dy), np.repeat(dy, 2, axis=1)[:, ::2], dy[:, ::-1]):
            with pytest.raises(ValueError, match=r"array of shape \(=\(9, 13\)\) and strides .* must be row-major"):
                layer.backward_parameters(other)
