import copy

import numpy as np
import pytest

import npnet
from npnet import counter, kernels
from npnet.layers import AvgPool2D, Dense, Dropout, MaxPool2D, ReLU, Sequential

pytestmark = pytest.mark.usefixtures("backend")


def mask(layer, shape=(4, 5, 3, 2), dtype=np.float32):
    return np.array(layer.forward(np.ones(shape, dtype))) != 0


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_a_fraction_of_p_is_dropped(p):
    n = 100_000
    kept = mask(Dropout(p), (10, n // 10)).mean()
    assert abs(kept - (1 - p)) < 4 * np.sqrt(p * (1 - p) / n)


def test_the_mask_is_that_of_the_counter():
    """Of elements, counted in row-major order, four share 64 bits: each is dropped if its quarter is below 2¹⁶ p."""
    layer = Dropout(0.3)
    layer.seed(7, 1)
    four = counter.bits(counter.key(counter.key(7, 1), 0), np.arange(30, dtype=np.uint64))
    shares = (four[:, None] >> np.array([0, 16, 32, 48], np.uint64) & np.uint64(2**16 - 1)).ravel() / 2.0**16
    np.testing.assert_array_equal(mask(layer).ravel(), shares >= 0.3)


@pytest.mark.parametrize("count", [1, 5, 7, 15, 17, 33, 8191, 8193])
def test_any_number_of_elements_has_the_same_mask_as_far_as_it_goes(count):
    np.testing.assert_array_equal(mask(Dropout(), (count,)), mask(Dropout(), (8200,))[:count])


@pytest.mark.parametrize("p", [0.25, 0.5, 0.7])
def test_elements_that_share_a_hash_are_independent(p):
    """Of all pairs p² are dropped together, were they cut from one hash or not."""
    dropped = ~mask(Dropout(p), (400_000,)).reshape(-1, 4)
    for i in range(4):
        for j in range(i):
            both = (dropped[:, i] & dropped[:, j]).mean()
            assert abs(both - p**2) < 4 * np.sqrt(p**2 * (1 - p**2) / len(dropped)), (i, j)


def test_the_mask_is_a_function_of_seed_and_step():
    a, b = Dropout(), Dropout()
    a.seed(3), b.seed(3)
    first, second = mask(a), mask(a)
    assert (first != second).any(), "the next step has another mask"
    np.testing.assert_array_equal(mask(b), first)
    b.set_step(1)
    np.testing.assert_array_equal(mask(b), second)
    b.set_step(0)
    np.testing.assert_array_equal(mask(b), first)
    b.seed(4)
    assert (mask(b) != first).any(), "another seed has another mask"


@pytest.mark.parametrize("convention", ["paper", "inverted"])
def test_step_after_step_forward_and_back_have_the_mask_of_the_step(convention):
    """In the same arrays, for which calls are worked out once."""
    layer, other = Dropout(0.4, convention), Dropout(0.4, convention)
    x, dy = np.ones((2, 50), np.float32), np.full((2, 50), 2, np.float32)
    for step in range(4):
        other.set_step(step)
        y, dx = np.array(layer.forward(x)), np.array(layer.backward(dy))
        np.testing.assert_array_equal(y, other.forward(x.copy()))
        np.testing.assert_array_equal(dx, 2 * y)
    smaller = np.ones((1, 50), np.float32)
    y = np.array(layer.forward(smaller))
    np.testing.assert_array_equal(layer.backward(smaller), y)


def test_an_evaluation_in_between_changes_no_mask():
    a, b = Dropout(), Dropout()
    mask(a), mask(b)
    a.forward(np.ones((7, 3), np.float32), train=False)
    np.testing.assert_array_equal(mask(a), mask(b))


def test_the_mask_is_the_same_in_both_precisions_and_under_any_shape():
    single, double, flat = mask(Dropout(0.3)), mask(Dropout(0.3), dtype=np.float64), mask(Dropout(0.3), (120,))
    np.testing.assert_array_equal(single, double)
    np.testing.assert_array_equal(single.ravel(), flat)


def test_the_mask_is_the_same_in_all_backends(backend):
    x = np.random.default_rng(0).standard_normal((17, 33)).astype(np.float32)
    ours = np.array(Dropout(0.4, "inverted").forward(x))
    try:
        npnet.use("numpy")
        np.testing.assert_array_equal(Dropout(0.4, "inverted").forward(x), ours)
    finally:
        npnet.use(backend)
    assert kernels.active() is backend


def test_two_dropouts_of_a_net_have_masks_of_their_own():
    net = Sequential(Dropout(), Dropout())
    net.initialise(0)
    assert (mask(net[0]) != mask(net[1])).any()


def test_the_papers_convention_rescales_at_test_time_only():
    x = np.full((50, 100), 2.0)
    layer = Dropout(0.25)
    assert set(np.unique(layer.forward(x))) == {0.0, 2.0}
    np.testing.assert_array_equal(layer.forward(x, train=False), 1.5)  # · (1 − p)


def test_the_inverted_convention_rescales_in_training_only():
    x = np.full((50, 100), 3.0)
    layer = Dropout(0.25, convention="inverted")
    np.testing.assert_allclose(np.unique(layer.forward(x)), [0.0, 4.0], rtol=1e-15)  # / (1 − p)
    np.testing.assert_array_equal(layer.forward(x, train=False), 3.0)


@pytest.mark.parametrize("convention", ["paper", "inverted"])
def test_testing_gives_what_training_gives_on_average(convention):
    layer, x = Dropout(0.4, convention), np.full((10, 10_000), 1.0)
    trained, tested = float(layer.forward(x).mean()), float(layer.forward(x, train=False).mean())
    assert trained == pytest.approx(tested, abs=0.01)


@pytest.mark.parametrize("convention", ["paper", "inverted"])
def test_the_gradient_goes_where_the_values_came_from(convention):
    layer = Dropout(0.4, convention)
    ones = np.ones((6, 7))
    for train in (True, False, True):
        y = np.array(layer.forward(ones, train))
        np.testing.assert_array_equal(layer.backward(ones), y)
        np.testing.assert_array_equal(layer.backward(ones), y)  # asked again, the mask is the same


@pytest.mark.parametrize("convention", ["paper", "inverted"])
def test_p_zero_changes_nothing(convention):
    x = np.random.default_rng(1).standard_normal((5, 7))
    layer = Dropout(0.0, convention)
    for train in (True, False):
        np.testing.assert_array_equal(layer.forward(x, train), x)
        np.testing.assert_array_equal(layer.backward(x), x)


def test_what_is_dropped_is_zero_whatever_it_was():
    y = np.array(Dropout(0.5).forward(np.full((10, 10), np.inf)))
    assert set(np.unique(y)) == {0.0, np.inf}


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Dropout(1.0), r"p \(=1.0\) must be at least 0 and less than 1"),
    (lambda: Dropout(-0.1), r"p \(=-0.1\) must be at least 0"),
    (lambda: Dropout(convention="caffe"), r"convention \(='caffe'\) must be 'paper' or 'inverted'"),
])
def test_mistakes_are_named_with_their_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("convention", "behind", "calls"), [("paper", True, 1), ("inverted", True, 2),
                                                             ("paper", False, 2)])
def test_behind_a_relu_the_way_back_is_the_relus(convention, behind, calls, monkeypatch):
    """What was dropped is 0 there, and what is 0 has no gradient; unless the gradient is to be scaled, or is somebody
    else's, which the ReLU may not write over."""
    net = Sequential(ReLU(), ReLU(), Dropout(0.4, convention), *([AvgPool2D(1, 1)] if behind else []))
    alone = Dropout(0.4, convention)
    x, dy = np.random.default_rng(0).standard_normal((2, 3, 4, 5, 5)).astype(np.float32)
    dy[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    alone.place, drawn, draw = net[2].place, [], net.kernels.dropout
    expected = np.where(mask(alone, x.shape) & (x > 0), dy * np.float32(alone.train_scale), 0)
    monkeypatch.setattr(net.kernels, "dropout", lambda *arguments: drawn.append(1) or draw(*arguments))
    net.forward(x)
    given = dy.copy()
    got = np.array(net.backward(dy))
    assert len(drawn) == calls
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(dy, given)


@pytest.mark.parametrize(("convention", "calls"), [("paper", 1), ("inverted", 2)])
def test_behind_a_relu_nothing_is_left_to_a_layer_either(convention, calls, monkeypatch):
    """What the ReLU will do need not be done by the product behind dropout."""
    net = Sequential(Dense(6, 5), ReLU(), Dropout(0.4, convention), Dense(5, 3))
    drawn, draw = [], net.kernels.dropout
    monkeypatch.setattr(net.kernels, "dropout", lambda *arguments: drawn.append(1) or draw(*arguments))
    net.forward(np.ones((4, 6), np.float32))
    net.backward(np.ones((4, 3), np.float32))
    assert len(drawn) == calls
    assert net[2].left is not None
    assert (net[2].left_back is None) == (calls == 1)


def test_a_dropout_that_somebody_has_replaced_leaves_nothing():
    net = Sequential(Dense(6, 5), Dropout(0.4), Dense(5, 3))
    x = np.ones((4, 6), np.float32)
    net.forward(x)
    net[1].forward = lambda x, *rest: x
    y = np.array(net.forward(x))
    np.testing.assert_array_equal(y, net[2].forward(net[0].forward(x)))


def test_a_key_can_be_copied():
    one = counter.Key(2**64 - 1, 7)
    other = copy.deepcopy(one)
    other.step += 1
    assert (one.number, other.number) == (counter.key(2**64 - 1, 7), counter.key(2**64 - 1, 8))


def stack(kind, convention):
    """Dropout before a fully connected layer, behind something; and once more at the end."""
    behind = {"relu": [ReLU()], "pooling": [AvgPool2D(2, 2)], "flat": [Dense(32, 8), ReLU()], "nothing": []}[kind]
    width = {"relu": 32, "pooling": 8, "flat": 8, "nothing": 32}[kind]
    net = Sequential(*behind, Dropout(0.4, convention), Dense(width, 12), Dropout(0.3, convention), Dense(12, 3))
    net.initialise(5)
    return net


@pytest.mark.parametrize("convention", ["paper", "inverted"])
@pytest.mark.parametrize("kind", ["relu", "pooling", "flat", "nothing"])
def test_with_the_layer_behind_it_dropout_does_what_it_does_alone(kind, convention):
    """Training, testing and training again, of two sizes."""
    rng = np.random.default_rng(0)
    together, apart = stack(kind, convention), stack(kind, convention)
    for images, train in ((4, True), (4, True), (3, False), (3, True), (4, True)):
        x, dy = (rng.standard_normal(shape).astype(np.float32) for shape in ((images, 2, 4, 4), (images, 3)))
        y, dx = np.array(together.forward(x, train)), np.array(together.backward(dy))
        z = x
        for layer in apart.layers:
            z = np.array(layer.forward(z, train))
        dz = dy
        for layer in reversed(apart.layers):
            dz = np.array(layer.backward(dz))
        np.testing.assert_array_equal(y, z)
        np.testing.assert_array_equal(dx, dz)
        for p, q in zip(together.parameters(), apart.parameters(), strict=True):
            np.testing.assert_array_equal(p.grad, q.grad)


def test_dropout_is_begun_with_the_product_behind_it_and_not_over_what_a_user_brings():
    net, x = stack("nothing", "inverted"), np.ones((4, 2, 4, 4), np.float32)
    net.forward(x)
    assert (x == 1).all()
    assert (net[0].left, net[0].left_back) == (None, None)
    assert net[2].left == net[2].left_back == (0.3, net[2].train_scale, net[2]._key)
    net.forward(x, train=False)
    assert (net[2].left, net[2].left_back) == (None, None), "of the training step before"


def test_dropout_over_what_backward_will_ask_for_is_done_elsewhere():
    """Of pooling, nobody but dropout asks for the output; of dropout in front, its own may not be written over."""
    net = Sequential(MaxPool2D(2, 2), Dropout(0.4), Dense(8, 3))
    net.forward(np.ones((2, 2, 4, 4), np.float32))
    assert net[1].left is not None
    other = Sequential(Dropout(0.4), Dense(32, 3))
    other.forward(np.ones((2, 2, 4, 4), np.float32))
    assert other[0].left is None
