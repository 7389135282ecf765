import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import small_net

from npnet.data import Loader, shapes
from npnet.errors import UserError
from npnet.evaluate.first_layer import grey_share, pictures
from npnet.evaluate.neighbours import BLOCK, bits, features, nearest, nearest_by_hamming, recall
from npnet.layers import ReLU, Sequential


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 30), st.integers(0, 10**6), st.sampled_from([1, 1e4]))
def test_the_nearest_are_those_that_differences_say(n, q, d, seed, far):
    """Also far from the origin, where the product's rounding is larger than the distances."""
    rng = np.random.default_rng(seed)
    gallery, queries = (far + rng.integers(-3, 4, (count, d)).astype(np.float32) / 4 for count in (n, q))
    k = min(4, n)
    indices, distances = nearest(gallery, queries, k)
    for i in range(q):
        exact = np.sqrt(((gallery.astype(np.float64) - queries[i]) ** 2).sum(axis=1))
        order = np.argsort(exact, kind="stable")[:k]
        np.testing.assert_array_equal(indices[i], order)
        np.testing.assert_allclose(distances[i], exact[order], rtol=1e-12)


def test_blocks_make_one_gallery():
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((2 * BLOCK + 7, 3)).astype(np.float32)
    for where in (0, BLOCK - 1, BLOCK, 2 * BLOCK + 6):
        indices, distances = nearest(gallery, gallery[where : where + 1], 1)
        assert (indices[0, 0], distances[0, 0]) == (where, 0)


@pytest.mark.parametrize(("shapes", "k", "message"), [
    (((5, 3), (2, 4)), 1, r"gallery \(=\(5, 3\)\) and queries \(=\(2, 4\)\)"),
    (((5, 3), (2, 3)), 6, r"k \(=6\) must be at least 1 and at most 5"),
    (((5, 3), (2, 3)), 0, r"k \(=0\)"),
])
def test_what_cannot_be_searched_is_said(shapes, k, message):
    with pytest.raises(ValueError, match=message):
        nearest(*(np.zeros(shape, np.float32) for shape in shapes), k)


def test_the_last_hidden_layer_is_what_the_last_dense_layer_sees(backend):
    net, data = small_net(), shapes.load("train", 30, 16)
    found = features(net, Loader(data, 8, crop=14, train=False))
    assert found.shape[0] == 30
    scores = net.forward(np.ascontiguousarray(data.images[..., 1:15, 1:15]).astype(np.float32), train=False)
    last = net.layers[-1]
    np.testing.assert_allclose(found @ last.weight.numpy().T + last.bias.numpy(), scores, rtol=1e-4, atol=1e-4)


def test_a_net_without_a_hidden_layer_has_none(backend):
    with pytest.raises(ValueError, match="must have a hidden layer"):
        features(Sequential(ReLU()), Loader(shapes.load("train", 3), 3, train=False))


def test_features_of_a_net_that_diverged_are_an_error(backend):
    net = small_net()
    net.parameters()[0].assign(np.full(net.parameters()[0].shape, np.nan, np.float32))
    with pytest.raises(UserError, match="not finite"):
        features(net, Loader(shapes.load("train", 3, 16), 3, crop=14, train=False))


@given(st.integers(1, 50), st.integers(1, 70), st.integers(0, 10**6))
def test_hamming_search_counts_the_bits_that_differ(n, length, seed):
    rng = np.random.default_rng(seed)
    gallery, query = rng.random((n, length)), rng.random((3, length))
    found = nearest_by_hamming(bits(gallery), bits(query), n)
    for i in range(3):
        apart = ((gallery > 0.5) != (query[i] > 0.5)).sum(axis=1)
        np.testing.assert_array_equal(found[i], np.argsort(apart, kind="stable"))
    some = nearest_by_hamming(bits(gallery), bits(query), max(1, n // 2))
    np.testing.assert_array_equal(some, found[:, : max(1, n // 2)])


def test_recall_counts_the_exact_ones_that_were_found():
    assert recall(np.array([[1, 2, 3], [7, 8, 9]]), np.array([[3, 5], [9, 7]])) == 0.75


def test_the_share_of_grey():
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.standard_normal((1, 1, 5, 5)), 3, axis=1)
    red_minus_green = np.concatenate([grey[:, :1], -grey[:, :1], 0 * grey[:, :1]], axis=1)
    share = grey_share(np.concatenate([grey, red_minus_green, grey[:, :1] * [[[[1]], [[0]], [[0]]]], 0 * grey]))
    np.testing.assert_allclose(share, [1, 0, 1 / 3, 0], atol=1e-12)
    assert grey_share(rng.standard_normal((500, 3, 11, 11))).mean() == pytest.approx(1 / 3, abs=0.01)
    with pytest.raises(ValueError, match=r"kernels \(=\(4, 1, 3, 3\)\) must be \(O, 3, KH, KW\)"):
        grey_share(np.zeros((4, 1, 3, 3)))


def test_kernels_as_pictures_use_all_greys():
    w = np.stack([np.linspace(-3, 1, 27), np.full(27, 2.0)]).reshape(2, 3, 3, 3)
    shown = pictures(w)
    assert shown.dtype == np.uint8
    assert (shown[0].min(), shown[0].max()) == (0, 255)
    assert (shown[1] == 127).all()
