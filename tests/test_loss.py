import math

import numpy as np
import pytest

from npnet.layers import SoftmaxCrossEntropy


def labels(*values):
    return np.array(values, np.int64)


def test_it_is_minus_the_mean_log_probability_of_the_label(backend):
    z = np.random.default_rng(0).standard_normal((4, 3))
    t = labels(2, 0, 1, 1)
    loss, expected = SoftmaxCrossEntropy(), 0.0
    for n in range(4):
        expected += math.log(sum(math.exp(z[n, k]) for k in range(3))) - z[n, t[n]]  # log Σ e^z − z of the label
    assert loss.forward(z, t) == pytest.approx(expected / 4, rel=1e-12)
    for n, k in np.ndindex(4, 3):
        p = math.exp(z[n, k]) / sum(math.exp(z[n, j]) for j in range(3))
        assert loss.probabilities[n, k] == pytest.approx(p, rel=1e-12)


def test_the_gradient_is_how_much_too_probable_each_class_is(backend):
    z, t = np.random.default_rng(1).standard_normal((5, 4)), labels(0, 3, 3, 1, 2)
    loss = SoftmaxCrossEntropy()
    loss.forward(z, t)
    dz = loss.backward()
    np.testing.assert_allclose(dz, (loss.probabilities - np.eye(4)[t]) / 5, rtol=1e-12)
    np.testing.assert_allclose(dz.sum(axis=1), 0, atol=1e-15)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_it_is_log_k_before_any_training(backend, classes):
    z, t = np.zeros((6, classes), np.float32), labels(0, 1, 0, 1, 1, 0)
    assert SoftmaxCrossEntropy().forward(z, t) == pytest.approx(math.log(classes), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits_are_nothing_special(backend, dtype):
    """Warnings are errors in these tests, so an overflow inside would fail."""
    loss = SoftmaxCrossEntropy()
    z = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0]], dtype)
    assert loss.forward(z, labels(0, 1)) == pytest.approx(1e4)  # 0 for the first, 2e4 for the second
    np.testing.assert_array_equal(loss.backward(), np.array([[0, 0, 0], [0.5, -0.5, 0]], dtype))


def test_a_nan_is_not_hidden(backend):
    loss = SoftmaxCrossEntropy()
    assert math.isnan(loss.forward(np.array([[0.0, 1.0], [0.0, np.nan], [1.0, 0.0]]), labels(0, 0, 1)))
    np.testing.assert_array_equal(np.isnan(loss.backward()), [[False, False], [True, True], [False, False]])


def test_a_class_ruled_out_has_probability_0(backend):
    loss, z = SoftmaxCrossEntropy(), np.array([[-np.inf, 0.0]])
    assert loss.forward(z, labels(1)) == 0
    np.testing.assert_array_equal(loss.probabilities, [[0, 1]])
    assert loss.forward(z, labels(0)) == math.inf


def test_errors_counts_the_images_whose_label_is_not_in_first_place(backend):
    loss = SoftmaxCrossEntropy()
    z = np.array([[1.0, 3, 2], [1, 3, 2], [5, 5, 0], [5, 5, 0], [0, 0, 0], [np.nan, 0, 0]])
    for label, expected in [(0, [1, 1, 0, 0, 0, 1]), (1, [0, 0, 1, 1, 1, 1]), (2, [1, 1, 1, 1, 1, 1])]:
        for n in range(6):  # of equal logits the first is in first place; NaN counts as wrong
            loss.forward(z[n : n + 1], labels(label))
            assert loss.errors == expected[n], (n, label)
        loss.forward(z, labels(*[label] * 6))
        assert loss.errors == sum(expected)


def test_ranks_are_places_and_of_equal_scores_the_first_stands_higher(backend):
    scores = np.array([[0.1, 0.4, 0.2, 0.3], [1, 1, 1, 1], [0, 2, 2, 1], [np.nan, 9, 0, 0]])
    expected = [[3, 0, 2, 1], [0, 1, 2, 3], [3, 0, 1, 2], [3, 3, 3, 3]]
    for label in range(4):
        ranks = np.full(4, -1, np.int64)
        backend.label_ranks(scores, labels(*[label] * 4), ranks)
        assert list(ranks) == [row[label] for row in expected]


def test_softmax_rows_are_probabilities(backend):
    p = np.full((3, 4), np.nan, np.float32)
    backend.softmax(np.array([[0, 0, 0, 0], [1e4, 0, 0, 0], [-1e4, -1e4, -1e4, -1e4]], np.float32), p)
    np.testing.assert_array_equal(p, [[0.25] * 4, [1, 0, 0, 0], [0.25] * 4])


@pytest.mark.parametrize(("call", "message"), [
    (lambda loss: loss.forward(np.zeros((3, 4)), labels(0, 4, 1)), r"labels\[1\] \(=4\) must be in 0 … 3"),
    (lambda loss: loss.forward(np.zeros((3, 4)), labels(0, 1, -1)), r"labels\[2\] \(=-1\) must be in 0 … 3"),
    (lambda loss: loss.forward(np.zeros((3, 4)), np.zeros(3, np.int32)), r"labels of dtype \(=int32\) must be int64"),
    (lambda loss: loss.forward(np.zeros((3, 4)), np.zeros(3)), r"labels of dtype \(=float64\) must be int64"),
    (lambda loss: loss.forward(np.zeros((3, 4)), labels(0, 1)),
     r"logits \(=\(3, 4\)\) must be \(N, K\), neither of them 0, and labels \(=\(2,\)\) be \(N,\)"),
    (lambda loss: loss.forward(np.zeros((0, 4)), labels()), r"logits \(=\(0, 4\)\) must be \(N, K\), neither"),
    (lambda loss: loss.forward(np.zeros((1, 0)), labels(0)), r"logits \(=\(1, 0\)\) must be \(N, K\), neither"),
    (lambda loss: loss.forward(np.zeros((1, 4), int), labels(0)),
     r"SoftmaxCrossEntropy: logits of dtype \(=int64\) must be float32 or float64"),
    (lambda loss: loss.forward(np.zeros((4, 3)).T, labels(0, 1, 2)),
     r"SoftmaxCrossEntropy: logits of shape \(=\(3, 4\)\) and strides \(=\(8, 24\)\) must be row-major: np"),
    (lambda loss: loss.backward(), "SoftmaxCrossEntropy: backward needs a forward pass before it"),
    (lambda loss: loss.forward(np.zeros(4), labels(0, 1, 2, 3)), r"logits \(=\(4,\)\) must be \(N, K\)"),
    (lambda loss: loss.kernels.label_ranks(np.zeros((1, 4)), labels(5), labels(0)), r"labels\[0\] \(=5\) must be in"),
])
def test_mistakes_are_named_with_their_values(backend, call, message):
    with pytest.raises(ValueError, match=message):
        call(SoftmaxCrossEntropy())
