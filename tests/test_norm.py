import numpy as np
import pytest

from npnet.layers import LRN, LRNWithin

pytestmark = pytest.mark.usefixtures("backend")

# window, channels (or height), β. α is 0.8 below: at the paper's 1e-4 a wrong window passes unseen
CASES = [(5, 7, 0.75), (3, 4, 0.5), (4, 6, 1.1), (2, 1, 0.75), (2, 4, 0.75), (9, 5, 0.75), (1, 3, 0.75)]


def across(size, here, length):
    """Where the window around `here` reaches."""
    return [j for j in range(length) if here - size // 2 <= j < here - size // 2 + size]


def written_out(a, db, denominator, windows, alpha, beta):
    """b and ∂L/∂a, from each element's denominator and the elements in its window."""
    b, da = np.empty_like(a), db * denominator**-beta
    for e in np.ndindex(a.shape):
        b[e] = a[e] / denominator[e] ** beta
        for j in windows(*e):  # every element in e's window has a part in e's denominator
            da[j] -= 2 * alpha * beta * a[j] * db[e] * a[e] * denominator[e] ** (-beta - 1)
    return b, da


@pytest.mark.parametrize(("size", "channels", "beta"), CASES)
def test_every_channel_is_divided_by_its_window(size, channels, beta):
    def windows(n, i, y, x):
        return [(n, j, y, x) for j in across(size, i, channels)]

    a, db = np.random.default_rng(0).standard_normal((2, 2, channels, 3, 2))
    d = np.empty_like(a)
    for e in np.ndindex(a.shape):
        d[e] = 1.5 + 0.8 * sum(a[j] ** 2 for j in windows(*e))
    layer = LRN(size, alpha=0.8, beta=beta, k=1.5)
    b, da = written_out(a, db, d, windows, 0.8, beta)
    np.testing.assert_allclose(layer.forward(a), b, rtol=1e-12)
    np.testing.assert_allclose(layer.backward(db), da, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("size", "height", "beta"), CASES)
def test_every_pixel_is_divided_by_its_window(size, height, beta):
    def windows(n, i, y, x):
        return [(n, i, yy, xx) for yy in across(size, y, height) for xx in across(size, x, 4)]

    a, db = np.random.default_rng(1).standard_normal((2, 2, 2, height, 4))
    d = np.empty_like(a)
    for e in np.ndindex(a.shape):
        d[e] = 1.5 + 0.8 * sum(a[j] ** 2 for j in windows(*e))
    layer = LRNWithin(size, alpha=0.8, beta=beta, k=1.5, per_pixel=False)
    b, da = written_out(a, db, d, windows, 0.8, beta)
    np.testing.assert_allclose(layer.forward(a), b, rtol=1e-12)
    np.testing.assert_allclose(layer.backward(db), da, rtol=1e-11, atol=1e-12)


def test_an_even_window_reaches_one_further_back_than_ahead():
    a = np.zeros((1, 5, 1, 1))
    a[0, 2] = 1.0
    layer = LRN(4, alpha=1.0, beta=1.0, k=1.0)
    layer.forward(a + 1e-9)
    assert [round(float(d)) for d in layer.d[0, :, 0, 0]] == [1, 2, 2, 2, 2]  # 2 lies in the windows of 1, 2, 3, 4


def test_the_papers_constants_on_ones():
    b = LRN().forward(np.ones((1, 7, 1, 1)))
    assert b[0, 3, 0, 0] == pytest.approx(2.0005**-0.75, rel=1e-12)
    assert b[0, 0, 0, 0] == pytest.approx(2.0003**-0.75, rel=1e-12)


def test_per_channel_divides_alpha_by_the_window():
    a = np.random.default_rng(2).standard_normal((1, 6, 2, 2))
    np.testing.assert_array_equal(LRN(4, 0.8, per_channel=True).forward(a), LRN(4, 0.2).forward(a))
    assert LRN(5, 1e-4, per_channel=True).alpha == pytest.approx(2e-5)


def test_per_pixel_divides_alpha_by_the_area_of_the_window():
    a = np.random.default_rng(3).standard_normal((1, 2, 5, 5))
    np.testing.assert_array_equal(
        LRNWithin(4, 0.8, per_pixel=True).forward(a), LRNWithin(4, 0.05, per_pixel=False).forward(a)
    )
    assert LRNWithin(3, 9e-5).alpha == pytest.approx(1e-5)


@pytest.mark.parametrize("layer", [LRN(5, 1e-4, k=1), LRN(5, 1e-4, per_channel=True, groups=2), LRNWithin(3, 9e-5)])
def test_what_it_says_it_is_makes_the_same(layer):
    again = eval(repr(layer))
    assert repr(again) == repr(layer)
    assert again.alpha == layer.alpha


def test_zeros_stay_zeros_and_nan_stays_nan():
    for layer in (LRN(), LRNWithin()):
        a = np.zeros((1, 9, 9, 9))
        assert not layer.forward(a).any()
        a[0, 4, 4, 4] = np.nan
        assert np.isnan(layer.forward(a)[0, 4, 4, 4])


@pytest.mark.parametrize(("call", "message"), [
    (lambda: LRN(size=0), r"size \(=0\) must be at least 1"),
    (lambda: LRN(size=2.5), r"size \(=2.5\) must be a whole number"),
    (lambda: LRN(k=0), r"k \(=0\) must be positive"),
    (lambda: LRN(alpha=-1), r"alpha \(=-1\) must not be negative"),
    (lambda: LRN(k=1e-38), r"k \(=1e-38\) must be positive, 1.18e-38 or more"),
    (lambda: LRNWithin(size=-3), r"size \(=-3\) must be at least 1"),
    (lambda: LRNWithin(k=-1.5), r"k \(=-1.5\) must be positive"),
    (lambda: LRNWithin(alpha=-0.1), r"alpha \(=-0.1\) must not be negative"),
    (lambda: LRN().forward(np.zeros((2, 12))), r"LRN: x of shape \(=\(2, 12\)\) must be \(N, any, any, any\)"),
    (lambda: LRNWithin().forward(np.zeros(3)), r"LRNWithin: x of shape \(=\(3,\)\) must be \(N, any, any, any\)"),
])
def test_mistakes_are_named_with_their_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_groups_are_normalised_apart(backend):
    """AlexNet's two GPUs: as if each half of the channels were an image of its own."""
    rng = np.random.default_rng(0)
    a, db = rng.standard_normal((2, 6, 3, 2)), rng.standard_normal((2, 6, 3, 2))
    both, one = LRN(5, 0.8, groups=2), LRN(5, 0.8)
    b, da = np.array(both.forward(a)), np.array(both.backward(db))
    for half in (slice(0, 3), slice(3, 6)):
        np.testing.assert_array_equal(b[:, half], one.forward(np.ascontiguousarray(a[:, half])))
        np.testing.assert_array_equal(da[:, half], one.backward(np.ascontiguousarray(db[:, half])))
    with pytest.raises(ValueError, match=r"channels \(=7\) must be divisible by groups \(=2\)"):
        both.forward(rng.standard_normal((1, 7, 2, 2)))
    with pytest.raises(ValueError, match=r"groups \(=0\) must be at least 1"):
        LRN(groups=0)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (5, 5), (3, 8)])
def test_arrays_may_begin_anywhere(backend, first, second):
    """Lines of the cache begin elsewhere, in d and b alike or not."""
    a = np.random.default_rng(0).standard_normal((2, 7, 5, 11)).astype(np.float32)
    d, b = (np.zeros(a.size + 20, np.float32)[start : start + a.size].reshape(a.shape) for start in (first, second))
    backend.lrn_forward(a, 5, 0.8, 0.75, 2.0, d, b)
    for i in range(7):
        expected = 2 + 0.8 * (a[:, max(0, i - 2) : i + 3] ** 2).sum(axis=1)
        np.testing.assert_allclose(d[:, i], expected, rtol=1e-5)
        np.testing.assert_allclose(b[:, i], a[:, i] / expected**0.75, rtol=1e-5)
    db, whole = a[:, ::-1].copy(), np.zeros_like(a)
    da = np.zeros(a.size + 20, np.float32)
    backend.lrn_backward(db, a, b, d, 5, 0.8, 0.75, False, whole)
    backend.lrn_backward(db, a, b, d, 5, 0.8, 0.75, False, da[second : second + a.size].reshape(a.shape))
    np.testing.assert_array_equal(da[second : second + a.size].reshape(a.shape), whole)
    assert not np.delete(da, np.r_[second : second + a.size]).any()


def test_out_of_training_there_is_a_gradient_too(backend):
    """The denominators are not kept then: whoever asks waits for them."""
    a, db = np.random.default_rng(0).standard_normal((2, 2, 6, 3, 2))
    for beta in (0.75, 0.6):
        layer, asked = LRN(3, 0.8, beta, groups=2), LRN(3, 0.8, beta, groups=2)
        b, da = np.array(layer.forward(a)), np.array(layer.backward(db))
        np.testing.assert_array_equal(asked.forward(a, train=False), b)
        for _ in range(2):
            np.testing.assert_array_equal(asked.backward(db), da)
