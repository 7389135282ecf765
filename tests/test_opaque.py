import operator

import numpy as np
import pytest
from opaque import Handle, Opaque

import npnet
from npnet import kernels, models
from npnet.layers import (
    LRN,
    AbsTanh,
    AvgPool2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Local2D,
    LRNWithin,
    MaxPool2D,
    ReLU,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
)
from npnet.train import SGD

LAYERS = {
    "conv": lambda: Conv2D(4, 4, 3, stride=2, pad=1, groups=2, rounding="ceil"),
    "local": lambda: Local2D(4, 4, 3, input_size=8),
    "max pool": lambda: MaxPool2D(3, 2),
    "average pool": lambda: AvgPool2D(3, 2, pad=1, count_pad=True),
    "lrn": lambda: LRN(),
    "lrn within": lambda: LRNWithin(),
    "relu": lambda: ReLU(),
    "tanh": lambda: Tanh(),
    "sigmoid": lambda: Sigmoid(),
    "abs tanh": lambda: AbsTanh(),
    "dropout": lambda: Dropout(0.3),
    "inverted dropout": lambda: Dropout(0.3, "inverted"),
    "concat": lambda: Concat(Conv2D(4, 2, 1), MaxPool2D(3, 1, pad=1), Sequential(Conv2D(4, 1, 1), ReLU())),
}


def around(make):
    """A net with the layer in the middle: 8 × 8 pixels in, 3 classes out."""
    def net():
        middle = make()
        features = int(np.prod(middle.output_shape((4, 8, 8))))
        return Sequential(first=Conv2D(3, 4, 3, pad=1), middle=middle, fc=Dense(features, 3))
    return net, (3, 8, 8), 3


NETS = {name: around(make) for name, make in LAYERS.items()}
NETS |= {name: (net, models.INPUTS[name], 10) for name, net in models.MODELS.items() if "cifar" in name}


@pytest.fixture
def restore():
    before = kernels._active
    yield
    kernels._active = before


def train(net, shape, classes, wrap, steps=2, n=3):
    """`steps` steps of training, an evaluation and the gradient of the input: the losses, and the net."""
    rng = np.random.default_rng(0)
    x, labels = wrap(rng.standard_normal((n, *shape)).astype(np.float32)), wrap(rng.integers(0, classes, n))
    model, loss, losses = net(), SoftmaxCrossEntropy(), []
    model.initialise(1)
    sgd = SGD(model.parameters(), rate=0.01)
    for _ in range(steps):
        losses.append((loss.forward(model.forward(x), labels), loss.errors))
        model.backward_parameters(loss.backward())
        sgd.step()
    model.backward(loss.backward())
    losses.append((loss.forward(model.forward(x, train=False), labels), loss.errors))
    return losses, model


@pytest.mark.parametrize("name", NETS)
def test_a_training_step_touches_no_element_outside_a_kernel(name, restore):
    """And gives the same bits: nothing else was done than by the kernels."""
    net, shape, classes = NETS[name]
    npnet.use("numpy")
    expected, plain = train(net, shape, classes, wrap=lambda x: x)
    npnet.use(Opaque())
    losses, hidden = train(net, shape, classes, wrap=Handle)
    assert losses == expected
    for p, q in zip(plain.parameters(), hidden.parameters(), strict=True):
        assert type(q.value) is type(q.grad) is Handle
        assert p.grad.any(), f"no gradient reaches {p.name}: it would show nothing"
        np.testing.assert_array_equal(q.numpy(), p.numpy(), err_msg=p.name)


@pytest.mark.parametrize("name", NETS)
def test_a_step_copies_back_the_loss_and_nothing_else(name, restore):
    net, shape, classes = NETS[name]
    backend = Opaque()
    npnet.use(backend)
    train(net, shape, classes, wrap=Handle, steps=2)
    assert backend.copied == [(2,)] * 3  # two steps and the evaluation: the loss and the number of errors


def test_a_backend_is_chosen_by_name_or_given(restore):
    backend = Opaque()
    npnet.use(backend)
    assert kernels.active() is backend
    assert ReLU().kernels is backend
    npnet.use("numpy")
    assert kernels.active_name() == "numpy"


@pytest.mark.parametrize("look", [
    lambda h: h + 1, lambda h: 1 - h, lambda h: np.float32(2) * h, lambda h: np.ones((2, 3)) * h, lambda h: -h,
    lambda h: h @ h, lambda h: h == 0, lambda h: h != h, lambda h: h < 0, lambda h: h[0],
    lambda h: operator.setitem(h, 0, 1), lambda h: len(h), lambda h: list(h), lambda h: bool(h), lambda h: float(h),
    lambda h: int(h), lambda h: abs(h), lambda h: np.asarray(h), lambda h: np.exp(h), lambda h: np.sum(h),
    lambda h: h.size, lambda h: h.T, lambda h: h.sum(), lambda h: h.copy(), lambda h: h._array, lambda h: h.ndim,
    lambda h: setattr(h, "shape", (6,)), lambda h: 1 in h, lambda h: operator.iadd(h, 1), lambda h: memoryview(h),
])
def test_a_handle_shows_no_element(look):
    """The proof above is worth as much as this: every way in is closed."""
    with pytest.raises(TypeError):
        look(Handle(np.zeros((2, 3))))


def test_a_handle_has_a_shape_a_dtype_and_reshape(restore):
    array = np.zeros((2, 3), np.float32)
    handle = Handle(array)
    flat = handle.reshape((6,))
    assert (handle.shape, handle.dtype, flat.shape) == ((2, 3), np.float32, (6,))
    Opaque().fill(flat, 1.0)
    np.testing.assert_array_equal(array, 1)  # the same memory
    with pytest.raises(TypeError, match="fill: a NumPy array was passed"):
        Opaque().fill(array, 2.0)
