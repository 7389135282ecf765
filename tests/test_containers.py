import numpy as np
import pytest

from npnet.layers import (
    LRN,
    AvgPool2D,
    Concat,
    Constant,
    Conv2D,
    Cost,
    Dense,
    Dropout,
    Gaussian,
    Layer,
    LRNWithin,
    MaxPool2D,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
    Tanh,
    WithHeads,
)
from npnet.layers.containers import forward_through

WIDE = Gaussian(0.3)


def net():
    """One of every kind, nested: small, and every parameter of it learns."""
    return Sequential(
        pool0=AvgPool2D(1, 1),
        conv1=Conv2D(2, 4, 3, pad=1, weight=WIDE),
        pool1=MaxPool2D(3, 2),
        relu1=ReLU(),
        norm1=LRN(3, alpha=0.5),
        mixed=Concat(
            a=Conv2D(4, 3, 1, weight=WIDE),
            b=Sequential(reduce=Conv2D(4, 2, 1, weight=WIDE), conv=Conv2D(2, 2, 3, pad=1, weight=WIDE)),
        ),
        drop=Dropout(0.3),
        fc=Dense(5 * 4 * 4, 3, weight=WIDE),
    )


def images(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 2, 8, 8)).astype(np.float32)


def gradients(model):
    return {p.name: np.array(p.grad) for p in model.parameters()}


def test_layers_are_found_by_name_and_by_place(backend):
    model = net()
    assert model["conv1"] is model[1] is model.layers[1]
    assert model["mixed"]["b"]["conv"].kernel == 3
    assert Sequential(ReLU(), last=ReLU()).names == ["0", "last"]
    assert len(model) == 8
    with pytest.raises(KeyError, match="'conv9': the layers are pool0, conv1"):
        model["conv9"]


def test_parameters_carry_the_names_of_the_layers_around_them(backend):
    assert [p.name for p in net().parameters()] == [
        "conv1.weight", "conv1.bias", "mixed.a.weight", "mixed.a.bias", "mixed.b.reduce.weight", "mixed.b.reduce.bias",
        "mixed.b.conv.weight", "mixed.b.conv.bias", "fc.weight", "fc.bias",
    ]


def test_walk_visits_every_layer_in_order(backend):
    kinds = [type(layer).__name__ for layer in net().walk()]
    assert kinds == ["Sequential", "AvgPool2D", "Conv2D", "MaxPool2D", "ReLU", "LRN", "Concat", "Conv2D", "Sequential",
                     "Conv2D", "Conv2D", "Dropout", "Dense"]


def test_a_sequence_is_its_layers_one_after_another(backend):
    model, x, dy = net(), images(2), np.ones((2, 3), np.float32)
    y, dx = np.array(model.forward(x)), np.array(model.backward(dy))
    model.set_step(0)
    z = x
    for layer in model.layers:
        z = layer(z)
    np.testing.assert_array_equal(z, y)
    for layer in reversed(model.layers):
        dy = layer.backward(dy)
    np.testing.assert_array_equal(dy, dx)


def test_branches_lie_side_by_side_and_their_gradients_add(backend):
    model = Concat(a=Conv2D(2, 3, 1), b=ReLU(), c=MaxPool2D(3, 1, pad=1))
    x = images(3)
    y = np.array(model.forward(x))
    alone = [np.array(layer.forward(x)) for layer in model.layers]
    np.testing.assert_array_equal(y, np.concatenate(alone, axis=1))
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    dx = np.array(model.backward(dy))
    parts = [np.ascontiguousarray(part) for part in np.split(dy, [3, 5], axis=1)]
    expected = sum(np.array(layer.backward(part)) for layer, part in zip(model.layers, parts, strict=True))
    np.testing.assert_allclose(dx, expected, rtol=1e-6, atol=1e-6)


def test_backward_parameters_gives_the_same_gradients_and_stops_at_the_first_layer_that_learns(backend):
    model, x, loss = net(), images(4), SoftmaxCrossEntropy()
    loss.forward(model.forward(x), np.array([0, 1, 2, 1]))
    dy = loss.backward()
    model.backward(dy)
    expected = gradients(model)
    assert all(g.any() for g in expected.values()), "a parameter that has no gradient shows nothing"
    for p in model.parameters():
        backend.fill(p.grad, np.nan)
    untouched = [model["pool0"], model["conv1"]]
    for layer in untouched:
        layer.backward = None  # called, it would fail
    model.backward_parameters(dy)
    for name, grad in gradients(model).items():
        np.testing.assert_array_equal(grad, expected[name], err_msg=name)


def test_backward_parameters_of_a_net_that_learns_nothing_does_nothing(backend):
    model = Sequential(ReLU(), MaxPool2D(2, 2))
    model.forward(images(1))
    model.backward_parameters(np.ones((1, 2, 4, 4), np.float32))


def test_shapes_and_costs_follow_the_layers(backend):
    model = net()
    assert model.output_shape((2, 8, 8)) == (3,)
    assert model["mixed"].output_shape((4, 4, 4)) == (5, 4, 4)
    weights = {"conv1": 4 * 2 * 9, "a": 4 * 3, "reduce": 4 * 2, "conv": 2 * 2 * 9, "fc": 80 * 3}
    assert model.cost((2, 8, 8)) == Cost(
        parameters=sum(weights.values()) + 4 + 3 + 2 + 2 + 3,
        macs=64 * weights["conv1"] + 16 * (weights["a"] + weights["reduce"] + weights["conv"]) + weights["fc"],
    )
    assert Sequential(ReLU()).cost((3, 2, 2)) == Cost(0, 0)


def test_astype_reaches_every_parameter(backend):
    model = net()
    model.astype(np.float64)
    assert {p.value.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    assert model.forward(images(1).astype(np.float64)).dtype == np.float64


def test_set_step_reaches_every_dropout(backend):
    model = Sequential(Concat(Sequential(Dropout(0.5)), ReLU()))
    x = np.ones((2, 3, 4, 4), np.float32)
    first, second = np.array(model.forward(x)), np.array(model.forward(x))
    assert (first != second).any()
    model.set_step(0)
    np.testing.assert_array_equal(model.forward(x), first)


def test_repr_reads_like_the_call(backend):
    assert repr(Sequential(conv1=Conv2D(3, 8, 5, pad=2), b=Concat(x=ReLU()))) == """\
Sequential(
    conv1=Conv2D(3, 8, 5, pad=2),
    b=Concat(
        x=ReLU(),
    ),
)"""


# -- memory ------------------------------------------------------------------------------------------------------------


class Counting:
    """A backend that counts how often memory is asked for."""

    def __init__(self, backend):
        self.backend, self.made = backend, 0

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def empty(self, shape, dtype):
        self.made += 1
        return self.backend.empty(shape, dtype)


@pytest.fixture
def counting(backend):
    import npnet

    counted = Counting(backend)
    npnet.use(counted)
    return counted  # the backend fixture restores what was chosen before


def step(model, loss, x):
    loss.forward(model.forward(x), np.arange(len(x)) % 3)
    model.backward(loss.backward())


def test_memory_is_taken_at_the_first_batch_only(counting):
    model, loss = net(), SoftmaxCrossEntropy()
    assert counting.made == 0, "a net can be looked at without being filled"
    step(model, loss, images(6))
    model.forward(images(6), train=False)
    made = counting.made
    for n in (6, 2, 1, 6, 5):  # a smaller last batch, and back
        step(model, loss, images(n))
        model.forward(images(n), train=False)
    assert counting.made == made
    step(model, loss, images(7))
    assert counting.made > made, "a larger batch must grow"


def test_a_layer_writes_into_the_same_memory_at_every_batch(backend):
    for layer in (net(), Conv2D(2, 3, 3), MaxPool2D(3, 2), LRN(), Dropout()):
        y = layer.forward(images(4))
        again = layer.forward(images(4, seed=1))
        assert y is again
        smaller = layer.forward(images(3))
        assert np.shares_memory(smaller, again)
        assert smaller.shape == (3, *again.shape[1:])


def test_results_do_not_depend_on_the_batches_before(backend):
    """Sizes go up and down, training and evaluation take turns: every result is that of a fresh net."""
    used = net()
    for n, train in [(4, True), (2, True), (7, False), (1, True), (4, False), (7, True), (2, False)]:
        fresh, x, dy = net(), images(n, seed=n), np.full((n, 3), 0.1, np.float32)
        used.set_step(0)
        np.testing.assert_array_equal(used.forward(x, train), fresh.forward(x, train))
        np.testing.assert_array_equal(used.backward(dy), fresh.backward(dy))
        expected = gradients(fresh)
        for name, grad in gradients(used).items():
            np.testing.assert_array_equal(grad, expected[name], err_msg=name)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Sequential(), "Sequential needs at least one layer"),
    (lambda: Concat(), "Concat needs at least one layer"),
    (lambda: Concat(Conv2D(2, 3, 3), Conv2D(2, 4, 1)).forward(images(1)),
     r"outputs of shapes \(=\[\(3, 6, 6\), \(4, 8, 8\)\]\) that must agree in all but the channels"),
    (lambda: Concat(ReLU(), MaxPool2D(3, 2)).output_shape((2, 9, 7)),
     r"outputs of shapes \(=\[\(2, 9, 7\), \(2, 4, 3\)\]\) that must agree"),
    (lambda: Sequential(conv=Conv2D(2, 3, 3), fc=Dense(12, 2)).forward(images(1)),
     r"Dense: input_shape \(=\(3, 6, 6\), 108 numbers\) must hold in_features \(=12\)"),
])
def test_mistakes_are_named_with_their_values(backend, call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_relu_writes_where_nobody_reads_any_more(backend):
    """Over the output of a convolution or pooling and the gradient from behind, dropout over a ReLU's output too; not
    over what a tanh still needs, and not over what comes from outside."""
    def layers():
        rng = np.random.default_rng(5)
        made = [Conv2D(2, 3, 3, pad=1), ReLU(), MaxPool2D(2, 1), ReLU(), Tanh(), ReLU(), Dropout(0.4), Conv2D(3, 2, 1),
                Dropout(0.4, "inverted"), Tanh(), Dropout(0.4), ReLU()]
        for i, layer in enumerate(made):
            layer.seed(i)
        for layer in made:
            for p in layer.parameters():
                p.assign(rng.standard_normal(p.shape))
        return made

    apart, net, x = layers(), Sequential(*layers()), images(3)
    y = x
    for layer in apart:
        y = layer.forward(y)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    given = dy.copy()
    np.testing.assert_array_equal(net.forward(x), y)
    expected = dy
    for layer in reversed(apart):
        expected = layer.backward(expected)
    np.testing.assert_array_equal(net.backward(dy), expected)
    np.testing.assert_array_equal(dy, given)  # what comes from outside is left as it is
    for p, q in zip(net.parameters(), [p for layer in apart for p in layer.parameters()], strict=True):
        np.testing.assert_array_equal(p.grad, q.grad)
    over = [i for i, layer in enumerate(net.layers) if layer.over_input]
    assert over == [1, 3, 6, 8, 11]  # neither the ReLU nor the dropout behind a tanh, of which each needs what it made
    assert [i for i, layer in enumerate(net.layers) if layer.over_gradient] == [1, 3, 5, 6, 8, 10]
    for i in over:
        x = np.random.default_rng(2).standard_normal(net[i].forward(net[i - 1]._returned).shape).astype(np.float32)
        given = x.copy()
        net[i].forward(x)
        np.testing.assert_array_equal(x, given)


def test_a_relu_does_not_write_over_what_a_head_reads(backend):
    net = WithHeads({"conv": Dense(32, 2)}, conv=Conv2D(1, 2, 3, pad=1), relu=ReLU(), fc=Dense(32, 2))
    assert not net["relu"].over_input
    assert net["relu"].over_gradient


@pytest.mark.parametrize("layers", [
    lambda: (Conv2D(2, 4, 3, weight=WIDE), Conv2D(4, 3, 1, weight=WIDE)),
    lambda: (Dense(2 * 8 * 8, 7, weight=WIDE), Dense(7, 3, weight=WIDE)),
])
def test_a_layer_does_the_work_of_the_relu_behind_it_and_only_then(backend, layers):
    first, last = layers()
    net, x = Sequential(first=first, relu=ReLU(), last=last), images(2)
    y = np.array(net.forward(x))
    rectified = np.array(net["relu"].y)
    alone = np.array(net["first"].forward(x))
    assert alone.min() < 0  # asked by itself, it does not
    np.testing.assert_array_equal(rectified, np.maximum(alone, 0))
    np.testing.assert_array_equal(net["last"].forward(rectified), y)
    assert y.min() < 0  # no ReLU comes behind the last


BACK_THROUGH = [
    lambda: MaxPool2D(3, 2), lambda: MaxPool2D(2, 1, pad=1), lambda: MaxPool2D(3, 3), lambda: LRN(3, alpha=0.5),
    lambda: LRN(3, alpha=0.5, beta=0.6, groups=2), lambda: LRNWithin(3, alpha=0.5),
    lambda: LRNWithin(2, alpha=0.5, beta=0.6), lambda: Concat(Conv2D(4, 2, 1, weight=WIDE), MaxPool2D(3, 1, pad=1)),
    lambda: Concat(Conv2D(4, 2, 1, weight=WIDE), Conv2D(4, 3, 1, weight=WIDE)),
    lambda: Concat(MaxPool2D(3, 1, pad=1), Conv2D(4, 2, 1, weight=WIDE), AvgPool2D(3, 1, pad=1)),
]


@pytest.mark.parametrize("behind", BACK_THROUGH)
def test_what_stands_behind_a_relu_goes_back_through_it_and_only_then(backend, behind, monkeypatch):
    def layers():
        return Conv2D(2, 4, 3, weight=WIDE, bias=Constant(-1.0)), ReLU(), behind()

    apart, (conv, relu, last) = layers(), layers()
    net, x = Sequential(conv=conv, relu=relu, last=last), images(3)
    for p, q in zip([p for layer in apart for p in layer.parameters()], net.parameters(), strict=True):
        q.assign(p.numpy())
    for train in (True, False):
        y = x
        for layer in apart:
            y = layer.forward(y, train)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
        np.testing.assert_array_equal(net.forward(x, train), y)
        assert (np.array(y) == 0).any()
        expected = dy
        for layer in reversed(apart):
            expected = layer.backward(expected)
        assert last.through_relu
        assert not apart[2].through_relu
        with monkeypatch.context() as patch:
            patch.setattr(backend, "relu_backward", None)  # it has nothing left to do
            np.testing.assert_array_equal(net.backward(dy), expected)
    forward_through(net.layers[:2], x, True)  # in two pieces, and back in one
    last.forward(relu.y)
    assert not last.through_relu
    np.testing.assert_array_equal(net.backward(dy), expected)


@pytest.mark.parametrize("behind", [
    lambda: MaxPool2D(3, 2), lambda: LRN(3, alpha=0.5),
    lambda: Concat(Conv2D(9, 2, 1, weight=WIDE), MaxPool2D(3, 1, pad=1))])
@pytest.mark.parametrize("all_end_so", [True, False])
def test_what_stands_behind_branches_goes_back_through_the_relus_at_their_ends(
    backend, behind, all_end_so, monkeypatch
):
    """If all end with one; else each does what it says."""
    def branches():
        pool = MaxPool2D(3, 1, pad=1), Conv2D(2, 2, 1, weight=WIDE), *([ReLU()] if all_end_so else [])
        return Concat(Sequential(Conv2D(2, 4, 1, weight=WIDE), ReLU()),
                      Sequential(Conv2D(2, 3, 3, pad=1, weight=WIDE), ReLU()), Sequential(*pool))

    first, last, x = branches(), behind(), images(3)
    net = Sequential(first=branches(), last=behind())
    for p, q in zip((*first.parameters(), *last.parameters()), net.parameters(), strict=True):
        q.assign(p.numpy())
    y = np.array(last.forward(first.forward(x)))
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    expected = np.array(first.backward(last.backward(dy)))
    np.testing.assert_array_equal(net.forward(x), y)
    assert net["last"].through_relu is all_end_so
    with monkeypatch.context() as patch:
        if all_end_so:
            patch.setattr(backend, "relu_backward", None)  # there is nothing left to do
        np.testing.assert_array_equal(net.backward(dy), expected)
    for name, gradient in gradients(first).items():
        np.testing.assert_array_equal(gradients(net)[f"first.{name}"], gradient, err_msg=name)
    net["last"].forward(first.forward(x))
    assert not net["last"].through_relu


@pytest.mark.parametrize("behind", [lambda: MaxPool2D(3, 2), lambda: LRN(3), lambda: Concat(MaxPool2D(3, 1, pad=1))])
@pytest.mark.parametrize("end", [
    lambda: [], lambda: [Conv2D(2, 2, 3, pad=1, weight=WIDE)], lambda: [MaxPool2D(3, 1, pad=1)],
    lambda: [AvgPool2D(3, 1, pad=1)], lambda: [LRN(3)], lambda: [LRNWithin(3)], lambda: [Tanh()], lambda: [ReLU()],
    lambda: [Conv2D(2, 2, 1, weight=WIDE), ReLU()], lambda: [Conv2D(2, 2, 1, weight=WIDE), Dropout(0.5)],
    lambda: [Concat(MaxPool2D(3, 1, pad=1))]])
def test_whatever_stands_before_the_relu_of_a_branch_gets_a_gradient_that_it_can_read(backend, end, behind):
    """Only convolutions read some channels of a larger array."""
    def nets():
        return Concat(Sequential(Conv2D(2, 4, 1, weight=WIDE), ReLU()), Sequential(*end(), ReLU())), behind()

    (first, last), x = nets(), images(3)
    net = Sequential(*nets())
    for p, q in zip((*first.parameters(), *last.parameters()), net.parameters(), strict=True):
        q.assign(p.numpy())
    for layer in (*first.walk(), *net.walk()):
        layer.seed(1)
    y = np.array(last.forward(first.forward(x)))
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    np.testing.assert_array_equal(net.forward(x), y)
    expected = np.array(first.backward(last.backward(dy)))
    np.testing.assert_array_equal(net.backward(dy), expected)


def test_a_relu_that_a_head_reads_is_gone_through_behind_the_sum(backend):
    """Of the gradients of both ways: pooling's alone is not all of it."""
    conv, relu, pool, head = layers = Conv2D(2, 2, 3, weight=WIDE), ReLU(), MaxPool2D(3, 2), Dense(72, 2, weight=WIDE)
    net = WithHeads({"relu": Dense(72, 2)}, conv=Conv2D(2, 2, 3), relu=ReLU(), pool=MaxPool2D(3, 2))
    for one, other in zip((layer for layer in layers if layer.parameters()), (net["conv"], net.heads["relu"]),
                          strict=True):
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            q.assign(p.numpy())
    x = images(2)
    y = relu.forward(conv.forward(x))
    expected = pool.forward(y), head.forward(y)
    for got, wanted in zip(net.forward(x), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    dys = tuple(np.ones_like(part) for part in expected)
    both = pool.backward(dys[0]) + head.backward(dys[1]).reshape(y.shape)
    np.testing.assert_allclose(net.backward(dys), conv.backward(relu.backward(both)), rtol=1e-5, atol=1e-6)
    assert not net["pool"].through_relu


class Stop(Layer):
    """Passes no gradient on: always the same zeros, which it has made once."""

    def forward(self, x, train=True):
        self.zeros = np.zeros_like(np.array(x)) if getattr(self, "zeros", None) is None else self.zeros
        return self.output(x.shape, x.dtype, x)

    def backward(self, dy):
        return self.zeros

    def output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize("beside", [[Stop()], [Stop(), MaxPool2D(3, 1, pad=1)], [AvgPool2D(3, 1, pad=1)], []])
def test_what_a_layer_of_ones_own_returns_is_not_added_to(beside):
    net, x = Concat(Conv2D(2, 3, 1, weight=WIDE), *beside), images(2)
    dy = np.ones_like(net.forward(x))
    first = np.array(net.backward(dy))
    net.forward(x)
    np.testing.assert_array_equal(net.backward(dy), first)
    assert all(not layer.zeros.any() for layer in beside if isinstance(layer, Stop))


@pytest.mark.parametrize("behind", [(ReLU, ReLU), (ReLU, Tanh), (Tanh, Tanh)])
def test_branches_begin_together_whatever_follows(backend, behind):
    """A ReLU behind each is done at once; behind one of them, by itself."""
    one, other = (Sequential(Conv2D(2, 3, 1, weight=WIDE), kind()) for kind in behind)
    net, x = Concat(one, Conv2D(2, 2, 1, weight=WIDE), other), images(2)
    assert net.together.layers == [one[0], net[1], other[0]]
    y = np.array(net.forward(x))
    expected = [one.forward(x), net[1].forward(x), other.forward(x)]
    np.testing.assert_allclose(y, np.concatenate([np.array(part) for part in expected], axis=1), rtol=1e-5, atol=1e-6)


def test_what_a_branch_keeps_is_not_written_over(backend):
    """Its ReLU reads the output, in which the branch's result is."""
    for branch, kept in ((Sequential(Conv2D(2, 3, 3, pad=1, weight=WIDE), ReLU()), True), (Conv2D(2, 3, 1), False),
                         (Sequential(MaxPool2D(3, 1, pad=1), ReLU()), False)):
        net = Sequential(mixed=Concat(branch, MaxPool2D(3, 1, pad=1)), relu=ReLU())
        assert net["mixed"].keeps_output is kept
        assert (net["relu"].over_input is None) is kept


def test_a_head_reads_what_the_convolution_made_and_not_what_the_relu_makes_of_it(backend):
    net = WithHeads({"conv": Conv2D(2, 1, 1)}, conv=Conv2D(2, 2, 3, weight=WIDE), relu=ReLU(), last=Conv2D(2, 1, 1))
    x = images(1)
    net.forward(x)
    assert np.array(net.heads["conv"].x).min() < 0


def test_branches_that_come_first_learn_the_same_without_the_gradient_of_their_input(backend):
    net = Concat(Sequential(Conv2D(2, 3, 1, weight=WIDE), ReLU()), Conv2D(2, 4, 1, weight=WIDE),
                 Sequential(MaxPool2D(3, 1, pad=1), Conv2D(2, 1, 1, weight=WIDE)))
    x = images(3)
    dy = np.random.default_rng(0).standard_normal(net.forward(x).shape).astype(np.float32)
    net.backward(dy)
    expected = gradients(net)
    net.forward(x)
    for p in net.parameters():
        p.grad[...] = np.nan
    net.backward_parameters(dy)
    for name, gradient in gradients(net).items():
        np.testing.assert_array_equal(gradient, expected[name], err_msg=name)
