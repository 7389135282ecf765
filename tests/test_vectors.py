"""What is spelled out in instructions: does it do what the plain loops beside it say?"""
import numpy as np
import pytest

pytest.importorskip("numba")
import numba
from spelled_out import compiled

from npnet.kernels.numba import minimal, reductions, transforms, vectors
from npnet.kernels.numba.arrays import LINE, aligned
from npnet.kernels.numba.tile import lanes

BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ODD = ((1, -1, 0), (0.5, 0, 2))  # no two rows or columns alike
MATRICES = {"odd": ODD, **{
    f"{matrix.__name__} {kernel}": turn(matrix(kernel))
    for matrix in (minimal.a_t, minimal.b_t, minimal.g) for kernel in minimal.POINTS for turn in (tuple, minimal.turned)
}}


def run(function, *arguments):
    compiled(function)(*arguments)


@BOTH
@pytest.mark.parametrize("name", MATRICES)
def test_a_square_is_combined_along_and_down(name, dtype):
    """M X Mᵀ; and plus a number, not less than another, and with a mark where it is not finite."""
    matrix, size = np.array(MATRICES[name]), lanes(np.dtype(dtype).itemsize)
    rng, count, (high, wide) = np.random.default_rng(0), 2 * size, matrix.shape
    x, b = rng.standard_normal((wide, wide + 1, count + 3)).astype(dtype), rng.standard_normal(count).astype(dtype)
    close, square = 1e-6 if dtype == np.float32 else 1e-14, transforms.square("test", MATRICES[name])
    for bad in (None, np.inf, -np.inf, np.nan):
        if bad is not None:
            x[0, 0, size // 2] = bad
        with np.errstate(invalid="ignore"):
            expected = np.einsum("ki,lj,ijv->klv", matrix, matrix, x[:, :wide, :count].astype(np.float64))
        numbers = (x.reshape(-1), x[0].size, count + 3, count)
        for call in (lambda f, *a: f(*a), run):
            y, z = np.zeros((2, high, high + 2, count + 1), dtype)
            steps, wrong = (y[0].size, count + 1), np.zeros(count, dtype)
            with np.errstate(invalid="ignore"):
                call(square, *numbers, y.reshape(-1), *steps)
                call(square, *numbers, z.reshape(-1), *steps, b, dtype(-0.1), wrong)
            if bad is None:
                for got, whole in ((y, expected), (z, np.maximum(expected + b, -0.1))):
                    np.testing.assert_allclose(
                        got[:, :high, :count], whole, atol=close * 10 * np.abs(whole).max(), rtol=close)
            for got in (y, z):
                assert not got[:, high:].any()
                assert not got[..., count:].any()
            assert list(np.flatnonzero(wrong != 0)) == ([] if bad is None else [size // 2])


def test_twins_are_rows_that_differ_in_signs_only():
    assert transforms._twins(((1, 2, 3), (1, -2, 3), (1, 2, 3), (0, 1, 0))) == {0: 1}
    assert transforms._twins(((1, 2), (-1, -2))) == {}


@BOTH
def test_a_square_is_turned_over(dtype):
    rng, size = np.random.default_rng(0), lanes(np.dtype(dtype).itemsize)
    square, fast, plain = rng.standard_normal(size * (size + 3)).astype(dtype), *np.zeros((2, size * (size + 5)), dtype)
    run(vectors.transpose, square, size + 3, fast, size + 5, size)
    vectors.transpose(square, size + 3, plain, size + 5, size)
    np.testing.assert_array_equal(fast, plain)
    np.testing.assert_array_equal(fast.reshape(size, -1)[:, :size], square.reshape(size, -1)[:, :size].T)


@BOTH
@pytest.mark.parametrize("each", [2, 4])
def test_groups_are_turned_over(each, dtype):
    size = lanes(np.dtype(dtype).itemsize)
    if size < each:
        pytest.skip("a vector is shorter")
    rng, count = np.random.default_rng(0), size // each
    square, fast, plain = (
        rng.standard_normal(count * (size + 3)).astype(dtype), *np.zeros((2, count * (size + 5)), dtype))
    run(vectors.transpose_groups, square, size + 3, fast, size + 5, each, size)
    vectors.transpose_groups(square, size + 3, plain, size + 5, each, size)
    np.testing.assert_array_equal(fast, plain)
    groups = square.reshape(count, -1)[:, :size].reshape(count, count, each)
    np.testing.assert_array_equal(
        fast.reshape(count, -1)[:, :size].reshape(count, count, each), groups.transpose(1, 0, 2))


@BOTH
def test_a_square_is_turned_over_past_the_caches(dtype):
    size, line = lanes(np.dtype(dtype).itemsize), LINE // np.dtype(dtype).itemsize
    square = np.random.default_rng(0).standard_normal((size, size)).astype(dtype)
    for function in (vectors.transpose_past, lambda *a: run(vectors.transpose_past, *a)):
        target = aligned(size * 3 * line, np.dtype(dtype))
        target[:] = 0
        function(square.reshape(-1), size, target, 3 * line, size)
        np.testing.assert_array_equal(target.reshape(size, -1)[:, :size], square.T)
        assert not target.reshape(size, -1)[:, size:].any()


@BOTH
def test_so_many_numbers_are_moved_and_no_more(dtype):
    source, size = np.arange(60, dtype=dtype) + 1, lanes(np.dtype(dtype).itemsize)
    for count in (0, 1, size - 1, size, size + 1, 3 * size):
        fast, plain = np.zeros((2, 80), dtype)
        run(vectors.move, source, 3, fast, 7, count)
        vectors.move(source, 3, plain, 7, count)
        np.testing.assert_array_equal(fast, plain)
        assert np.count_nonzero(fast) == count
        run(vectors.move_plus, source, 3, 0.5, 6.0, fast, 7, count)
        vectors.move_plus(source, 3, dtype(0.5), dtype(6), plain, 7, count)
        np.testing.assert_array_equal(fast, plain)
        np.testing.assert_array_equal(fast[7 : 7 + count], np.maximum(source[3 : 3 + count] + dtype(0.5), 6))
        for made in (None, np.resize(np.array([1, 0, -1, np.nan], dtype), 80)):
            run(vectors.add_to, source, 3, made, fast, 7, count)
            vectors.add_to(source, 3, made, plain, 7, count)
            np.testing.assert_array_equal(fast, plain)
            passed = np.ones(count, bool) if made is None else np.arange(7, 7 + count) % 4 == 0
            np.testing.assert_array_equal(fast[7 : 7 + count] != 0, passed)
        assert np.count_nonzero(fast[: 7]) == np.count_nonzero(fast[7 + count :]) == 0
        end = np.arange(count, dtype=dtype)  # what lies behind is not read
        run(vectors.move, end, 0, fast, 0, count)
        np.testing.assert_array_equal(fast[:count], end)


@BOTH
def test_rows_are_summed_and_nothing_beyond_is_touched(dtype):
    rng, size = np.random.default_rng(0), lanes(np.dtype(dtype).itemsize)
    for count in (0, 1, size + 3, reductions.TOGETHER * size, 3 * reductions.TOGETHER * size + 2 * size + 1):
        for taps in (np.array([3, 0, 11]), np.array([2]), np.array([], np.int64)):
            source = rng.standard_normal(count + 11).astype(dtype)  # what lies behind is not read
            rows = np.array([source[tap : tap + count] for tap in taps], np.float64).reshape(taps.size, count)
            for function, expected in ((reductions.sum_rows, rows), (reductions.sum_squares, rows**2)):
                fast, plain = np.full((2, count + 40), 7, dtype)
                run(function, source, taps, fast, 9, count)
                function(source, taps, plain, 9, count)
                np.testing.assert_allclose(fast, plain, rtol=1e-6, atol=1e-6)
                np.testing.assert_allclose(plain[9 : 9 + count], expected.sum(axis=0), rtol=1e-5, atol=1e-5)
                assert (fast[:9] == 7).all()
                assert (fast[9 + count :] == 7).all()


@BOTH
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_every_so_manyth_number_is_picked_and_no_other_is_read(dtype, stride):
    size = lanes(np.dtype(dtype).itemsize)
    for count in (0, 1, 2, size - 1, size, size + 1, 3 * size):
        source = np.arange(5 + max(0, count - 1) * stride + 1, dtype=dtype)  # it ends with the last
        fast, plain = np.zeros((2, 4 * size + 3), dtype)
        run(vectors.pick, source, 5, stride, fast, 3, count)
        vectors.pick(source, 5, stride, plain, 3, count)
        np.testing.assert_array_equal(fast, plain)
        np.testing.assert_array_equal(fast[3 : 3 + count], source[5::stride][:count])
        assert np.count_nonzero(fast) == count


@BOTH
@pytest.mark.parametrize("few", [False, True])
def test_maps_go_into_lanes_and_come_back(dtype, few):
    rng, size = np.random.default_rng(0), lanes(np.dtype(dtype).itemsize)
    count, done = (size // 2 + 1,) * 2 if few else (None, size)
    x = np.round(100 * rng.standard_normal((size, size + 3))).astype(dtype)
    places = rng.permutation(size + 2) * size  # one to spare at either end
    fast, plain = np.zeros((2, places.size * size), dtype)
    end = x.reshape(-1)[: x.size - 1 - size + done]  # what lies behind is not read
    run(vectors.to_lanes, end, 2, size + 3, places, 1, count, fast, size)
    vectors.to_lanes(end, 2, size + 3, places, 1, count, plain, size)
    np.testing.assert_array_equal(fast, plain)
    np.testing.assert_array_equal(fast.reshape(-1, size)[places[1 : 1 + done] // size], x[:, 2 : 2 + done].T)
    assert np.count_nonzero(fast) == np.count_nonzero(x[:, 2 : 2 + done])
    if few:
        return
    for function in (lambda *a: run(vectors.from_lanes, *a), vectors.from_lanes):
        back = np.zeros_like(x)
        function(fast, places, 1, back.reshape(-1), 2, size + 3, size)
        np.testing.assert_array_equal(back[:, 2 : 2 + size], x[:, 2 : 2 + size])
        assert not back[:, :2].any()


@numba.njit
def normalise(a, taps, v, count, alpha, k, place, d, b, lanes):
    reductions.normalise(a, taps, v, count, alpha, k, place, d, b, lanes)


@BOTH
def test_a_vector_is_normalised_and_nothing_beyond_is_touched(dtype):
    rng, size = np.random.default_rng(0), LINE // np.dtype(dtype).itemsize
    a, taps, place = rng.standard_normal(5 * size).astype(dtype), np.array([0, size, 3 * size - 1]), 2 * size
    total = sum(a[tap + size : tap + 2 * size].astype(np.float64) ** 2 for tap in taps)
    d = 2 + 0.5 * total
    b = a[place + size : place + 2 * size] / d**0.75
    for function in (normalise, reductions.normalise):
        for count in (None, size + 3, 1, 0):
            written = [aligned(6 * size, np.dtype(dtype)) for _ in range(2)]
            for array in written:
                array[:] = 7
            function(a, taps, size, count, dtype(0.5), dtype(2), place, *written, size)
            done = size if count is None else min(count, size)
            for array, expected in zip(written, (d, b), strict=True):
                np.testing.assert_allclose(array[place + size :][:done], expected[:done], rtol=1e-6)
                assert (array[: place + size] == 7).all()
                assert (array[place + size + done :] == 7).all()
            b_alone = np.full(6 * size, 7, dtype) if count is not None else aligned(6 * size, np.dtype(dtype))
            function(a, taps, size, count, dtype(0.5), dtype(2), place, None, b_alone, size)
            np.testing.assert_array_equal(b_alone[place + size :][:done], written[1][place + size :][:done])


@numba.njit
def share_out(db, b, d, start, count, shares, place, lanes):
    reductions.share_out(db, b, d, start, count, shares, place, lanes)


@numba.njit
def take_shares(db, a, d, start, count, shares, taps, v, factor, rectified, da, lanes):
    reductions.take_shares(db, a, d, start, count, shares, taps, v, factor, rectified, da, lanes)


@BOTH
def test_shares_are_passed_on_and_collected_and_nothing_beyond_is_touched(dtype):
    rng, size = np.random.default_rng(0), LINE // np.dtype(dtype).itemsize
    db, a, shares, start = *rng.standard_normal((3, 5 * size)).astype(dtype), 2 * size
    d, taps, v = (0.1 + rng.random(5 * size)).astype(dtype), np.array([0, size, 3 * size - 1]), 3
    here = slice(start, start + size)
    total = sum(shares[tap + v : tap + v + size].astype(np.float64) for tap in taps)
    da = db[here] / d[here].astype(np.float64) ** 0.75 - 0.3 * a[here] * total
    passed = db[here] * a[here] / d[here].astype(np.float64)
    for share, take in ((share_out, take_shares), (reductions.share_out, reductions.take_shares)):
        for count in (None, size + 3, size // 2 + 1, 1, 0):
            done, written = size if count is None else min(count, size), aligned(5 * size, np.dtype(dtype))
            written[:] = 7
            for rectified in (True, False):
                take(db, a, d, start, count, shares, taps, v, dtype(0.3), rectified, written, size)
                expected = np.where(a[here] > 0, da, 0) if rectified else da
                np.testing.assert_allclose(written[here][:done], expected[:done], rtol=1e-6, atol=2e-6)
                assert (np.delete(written, np.r_[start : start + done]) == 7).all()
            if count is not None:
                written[:] = 7
                share(db, a, d, start, count, written, size + 1, size)
                np.testing.assert_allclose(written[size + 1 :][:done], passed[:done], rtol=1e-6)
                assert (np.delete(written, np.r_[size + 1 : size + 1 + done]) == 7).all()


def test_the_inverse_root_is_as_good_as_a_quotient():
    """Of numbers from the smallest to the largest: an estimate and a step of Newton's."""
    size = LINE // 4
    d = np.geomspace(1e-37, 3e38, 40 * size).astype(np.float32)
    b = aligned(d.size, d.dtype)
    for v in range(0, d.size, size):  # b = 1 / d^¾
        normalise(np.ones_like(d), np.zeros(1, np.int64), v, None, np.float32(0), np.float32(d[v]), 0, None, b, size)
    expected = d[::size].astype(np.float64) ** -0.75
    np.testing.assert_allclose(b[::size], expected, rtol=4e-7)


def test_what_is_divided_by_infinity_is_zero():
    """1e20 is a number, its square none."""
    size = LINE // 4
    b = aligned(size, np.dtype(np.float32))
    a = np.full(size, 1e20, np.float32)
    normalise(a, np.zeros(1, np.int64), 0, None, np.float32(1), np.float32(2), 0, None, b, size)
    np.testing.assert_array_equal(b, 0)


def test_what_is_divided_by_nothing_is_infinite():
    """1e-30 is a number, its square none."""
    size = LINE // 4
    b = aligned(size, np.dtype(np.float32))
    a = np.full(size, 1e-30, np.float32)
    normalise(a, np.zeros(1, np.int64), 0, None, np.float32(1), np.float32(0), 0, None, b, size)
    np.testing.assert_array_equal(b, np.inf)
