import numpy as np
import pytest

from npnet.layers import Dense, Gaussian

pytestmark = pytest.mark.usefixtures("backend")


def dense(inputs, outputs):
    layer = Dense(inputs, outputs, weight=Gaussian(1.0), bias=Gaussian(1.0))
    layer.astype(np.float64)
    return layer


def test_every_value_and_gradient_is_the_sum_written_out():
    layer = dense(5, 3)
    rng = np.random.default_rng(0)
    x, dy, w = rng.standard_normal((4, 5)), rng.standard_normal((4, 3)), layer.weight.numpy()
    y = np.stack([layer.bias.numpy()] * 4)
    dw, dx = np.zeros_like(w), np.zeros_like(x)
    for n, o, i in np.ndindex(4, 3, 5):
        y[n, o] += w[o, i] * x[n, i]
        dw[o, i] += dy[n, o] * x[n, i]
        dx[n, i] += dy[n, o] * w[o, i]
    np.testing.assert_allclose(layer.forward(x), y, rtol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), dx, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, dw, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, dy.sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize("plainly", [False, True])
def test_rows_in_pieces_and_images_in_blocks_make_the_same(monkeypatch, plainly):
    """Of 16 numbers and a rest, of 4 images at most; with a ReLU, which may come last only."""
    pytest.importorskip("numba")
    from plain import use_plain_loops

    from npnet.kernels import numpy as definition
    from npnet.kernels.numba import dense, rows, vectors

    for name, value in (("NEAR", 16 * 8), ("MOST", 4), ("FEW", 0)):
        monkeypatch.setattr(dense, name, value)
    if plainly:
        use_plain_loops((dense, rows, vectors), monkeypatch)
    rng = np.random.default_rng(0)
    for images, inputs, outputs in ((1, 16, 1), (9, 41, 11), (5, 33, 3)):
        x, w, b = rng.standard_normal((images, inputs)), rng.standard_normal((outputs, inputs)), np.full(outputs, 0.5)
        found, expected = np.full((2, images, outputs), np.nan)
        dense.dense_forward(x, w, b, True, found)
        definition.dense_forward(x, w, b, True, expected)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    x[0, 20] = np.nan
    dense.dense_forward(x, w, b, True, found)
    assert np.isnan(found).sum() == 3, "of one image all outputs"


@pytest.mark.parametrize("plainly", [False, True])
@pytest.mark.parametrize("together", [1, 3, 4])
def test_gradients_are_the_same_however_many_columns_are_taken_at_a_time(monkeypatch, together, plainly):
    """Of fewer and more outputs than are summed over at a time, of inputs that are no whole panels."""
    pytest.importorskip("numba")
    from plain import use_plain_loops

    from npnet.kernels import numpy as definition
    from npnet.kernels.numba import dense, panels, rows, vectors

    monkeypatch.setattr(dense, "TOGETHER", together)
    if plainly:
        use_plain_loops((dense, panels, rows, vectors), monkeypatch)
    rng = np.random.default_rng(0)
    shapes = ((1, 1, 1), (5, 400, 3)) if plainly else ((9, 500, 161), (3, 1001, 330), (5, 97, 11))
    for images, inputs, outputs in shapes:
        dy, x = rng.standard_normal((images, outputs)), rng.standard_normal((images, inputs))
        w = rng.standard_normal((outputs, inputs))
        dx, dw, db = np.full_like(x, np.nan), np.full_like(w, np.nan), np.full(outputs, np.nan)
        right_dx, right_dw, right_db = np.empty_like(x), np.empty_like(w), np.empty(outputs)
        dense.dense_backward_data(dy, w, dx)
        dense.dense_backward_weight(dy, x, dw, db)
        definition.dense_backward_data(dy, w, right_dx)
        definition.dense_backward_weight(dy, x, right_dw, right_db)
        for found, right in ((dx, right_dx), (dw, right_dw), (db, right_db)):
            np.testing.assert_allclose(found, right, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("team", [1, 2, 3])
def test_every_gradient_is_packed_by_one_of_the_team(team):
    """Also where there are fewer blocks than threads; what is behind the last output is 0."""
    pytest.importorskip("numba")
    from npnet.kernels.numba import dense
    from npnet.kernels.numba.tile import ROWS

    for images, outputs in ((3, 1), (2, 2 * ROWS), (5, 2 * ROWS + 3)):
        dy = np.random.default_rng(0).standard_normal((images, outputs))
        blocks, db = np.full((-(-outputs // ROWS), images, ROWS), np.nan), np.full(outputs, np.nan)
        for thread in range(team):
            dense._pack(dy, blocks, db, thread, team)
        packed = blocks.swapaxes(0, 1).reshape(images, -1)
        np.testing.assert_array_equal(packed[:, :outputs], dy)
        assert not packed[:, outputs:].any()
        np.testing.assert_allclose(db, dy.sum(axis=0), rtol=1e-12)


def test_an_image_is_read_channel_by_channel_and_row_by_row():
    layer = dense(2 * 3 * 4, 1)
    x = np.zeros((1, 2, 3, 4))
    x[0, 1, 2, 0] = 1.0
    layer.bias.assign(np.zeros(1))
    assert layer.forward(x)[0, 0] == layer.weight.numpy()[0, 1 * 12 + 2 * 4 + 0]


def test_the_gradient_has_the_shape_of_the_input():
    layer = dense(24, 2)
    x = np.random.default_rng(1).standard_normal((3, 2, 3, 4))
    layer.forward(x)
    dx = np.array(layer.backward(np.ones((3, 2))))
    assert dx.shape == x.shape
    np.testing.assert_allclose(dx[0].ravel(), layer.weight.numpy().sum(axis=0), rtol=1e-12)


def test_cost():
    cost = Dense(256 * 6 * 6, 4096).cost((256, 6, 6))  # AlexNet's sixth layer
    assert (cost.parameters, cost.macs) == (37_752_832, 37_748_736)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Dense(0, 3), r"in_features \(=0\) must be at least 1"),
    (lambda: Dense(3, -2), r"out_features \(=-2\) must be at least 1"),
    (lambda: Dense(12, 3).output_shape((2, 3, 3)),
     r"input_shape \(=\(2, 3, 3\), 18 numbers\) must hold in_features \(=12\) numbers"),
    (lambda: Dense(12, 3).forward(np.zeros((6, 2), np.float32)),
     r"input_shape \(=\(2,\), 2 numbers\) must hold in_features \(=12\) numbers"),
    (lambda: Dense(12, 3).forward(np.zeros((1, 12))), r"Dense: x of dtype \(=float64\) must be float32"),
])
def test_mistakes_are_named_with_their_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()
