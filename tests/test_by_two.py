"""Pooling at a stride of 2: what is spelled out in instructions, the plain loop beside it, and the words."""
import numpy as np
import pytest

pytest.importorskip("numba")

from spelled_out import compiled, numbers

from npnet.kernels import numba as fast
from npnet.kernels import numpy as definition
from npnet.kernels.numba import by_two
from npnet.kernels.numba.sweeps import Sum
from npnet.kernels.numba.tile import lanes

BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES = pytest.mark.parametrize("size", [1, 2, 3, 5])

pooled, passed_back = compiled(by_two.pooled), compiled(by_two.passed_back)


def planned(dtype, size, wide, height=9):
    """Maps of whose rows so many windows are made, with a margin where they may have one."""
    pad = min(1, size - 1)
    width = 2 * wide + size - 2 - 2 * pad
    tall = (height + 2 * pad - size) // 2 + 1
    return by_two.halving((height, width), (tall, wide), size, pad, np.dtype(dtype).itemsize)


@BOTH
@SIZES
@pytest.mark.parametrize("place", [np.uint8, np.uint16, None])
def test_a_vector_of_windows(dtype, size, place):
    """Of whole rows, or with a row outside; what lies behind them is left alone, or is to be written later."""
    single = lanes(np.dtype(dtype).itemsize)
    plan = planned(dtype, size, single + 3)
    x, pad = numbers(plan.height * plan.width, dtype, size), plan.pad
    for first, last in ((0, size), (0, max(1, size - 1)), (min(1, size - 1), size)):
        for v, count in ((0, single), (single, min(3, single))):
            for function, end in ((pooled, 5 + count), (pooled, 3 * single), (by_two.pooled, 0)):
                y = np.full(3 * single + 8, 7, dtype)
                argmax = None if place is None else np.full(y.size, 7, place)
                function(x, 2 * v - pad, plan.width, None, plan.inside, plan.apart, 2 * v, plan.before, first, last,
                         size, y, argmax, 5, plan.wide, plan.wide - v, end, single, None)
                for j in range(count):
                    columns = [c for c in range(size) if 0 <= 2 * (v + j) - pad + c < plan.width]
                    seen = [(k, c) for k in range(first, last) for c in columns]
                    values = np.array([x[k * plan.width + 2 * (v + j) - pad + c] for k, c in seen])
                    k, c = seen[values.argmax()]  # the first of equal ones, the first NaN
                    np.testing.assert_equal(y[5 + j], values[values.argmax()])
                    assert argmax is None or argmax[5 + j] == k * size + c
                for array in (y, argmax):
                    if array is not None:
                        assert (array[:5] == 7).all()
                        assert (array[max(end, 5 + count) :] == 7).all()


@BOTH
@SIZES
@pytest.mark.parametrize("what", [None, Sum(False)])
def test_a_vector_of_windows_that_sees_nothing_outside_needs_no_table(dtype, size, what):
    """Which vectors those are, the plan says; more than the row is not even read."""
    single = lanes(np.dtype(dtype).itemsize)
    for wide in range(1, 3 * single):
        plan = planned(dtype, size, wide)
        pad, width = plan.pad, plan.width
        x = numbers(size * width, dtype, wide) if what is None else np.arange(size * width, dtype=dtype)
        for v in range(0, wide, single):
            pixels = 2 * v - pad, 2 * (v + single - 1) - pad + size + size % 2  # from, to
            assert (pad <= 2 * v <= plan.clear) == (pixels[0] >= 0 and pixels[1] <= width)
            if not pad <= 2 * v <= plan.clear:
                continue
            expected, places = np.full(single, 7, dtype), np.full(single, 7, np.uint8)
            pooled(x, 2 * v - pad, width, None, plan.inside, plan.apart, 2 * v, plan.before, 0, size, size, expected,
                   None if what else places, 0, wide, wide - v, single, single, what)
            for function in (pooled, by_two.pooled):
                y, argmax = np.full(single, 7, dtype), np.full(single, 7, np.uint8)
                function(x, 2 * v - pad, width, None, None, plan.apart, 2 * v, plan.before, 0, size, size, y,
                         None if what else argmax, 0, wide, wide - v, single, single, what)
                few = min(single, wide - v)
                np.testing.assert_array_equal(y[:few], expected[:few])
                np.testing.assert_array_equal(argmax[:few], places[:few])


@BOTH
@SIZES
def test_two_rows_of_which_half_a_vector_holds_one(dtype, size):
    single = lanes(np.dtype(dtype).itemsize)
    for wide in {1, max(1, single // 2 - 1), single // 2}:
        if wide * 2 + size - 2 - 2 * min(1, size - 1) < 1:
            continue
        plan = planned(dtype, size, wide)
        assert plan.pairs
        x, pad, row = numbers(plan.height * plan.width, dtype, wide), plan.pad, 2 * plan.width
        for what in (None, Sum(False)):
            pixels = x if what is None else np.arange(x.size, dtype=dtype)
            for function, end in ((pooled, 5 + 2 * wide), (pooled, 3 * single), (by_two.pooled, 0)):
                y = np.full(3 * single + 8, 7, dtype)
                argmax = np.full(3 * single + 8, 7, np.uint8) if what is None else None
                function(pixels, -pad, plan.width, row, plan.inside, plan.apart, plan.apart - 2 * single, plan.before,
                         0, size, size, y, argmax, 5, wide, 2 * wide, end, single, what)
                for r in range(2):
                    for j in range(wide):
                        columns = [c for c in range(size) if 0 <= 2 * j - pad + c < plan.width]
                        seen = [(k, c) for k in range(size) for c in columns]
                        values = np.array([pixels[r * row + k * plan.width + 2 * j - pad + c] for k, c in seen])
                        if what is not None:
                            np.testing.assert_allclose(y[5 + r * wide + j], values.sum(), rtol=1e-6)
                            continue
                        k, c = seen[values.argmax()]
                        np.testing.assert_equal(y[5 + r * wide + j], values[values.argmax()])
                        assert argmax[5 + r * wide + j] == k * size + c
                assert (y[:5] == 7).all()
                assert (y[max(end, 5 + 2 * wide) :] == 7).all()


@BOTH
@SIZES
@pytest.mark.parametrize("named", [True, False])
def test_back_to_two_rows_of_pixels(dtype, size, named):
    """Of one row of windows, and those above, and of two; every window names one of its pixels, or all."""
    rng, single = np.random.default_rng(size), lanes(np.dtype(dtype).itemsize)
    rows = (size + 1) // 2
    for wide, pair in ((single + 3, False), (max(1, single // 2 - 2), True)):
        plan = planned(dtype, size, wide)
        if pair and not plan.pairs_back and single < 8:
            continue
        assert plan.pairs_back == pair
        dy = rng.standard_normal((rows + 1) * wide).astype(dtype)
        argmax = rng.integers(0, size**2, dy.size).astype(np.uint8) if named else None
        width, pad = plan.width, plan.pad
        for upper, lower, first in ((True, True, 0), (True, False, 0), (False, True, min(1, rows - 1))):
            if pair and not (upper and lower):
                continue
            expected = np.full(9 + 4 * width + 2 * single, 7.0)
            for r in range(2 if pair else 1):
                for f in (0, 1):
                    for t in range(pad, width + pad) if (lower if f else upper) else ():
                        seen = [(r + rows - 1 - b, t // 2 - d, (2 * b + f) * size + 2 * d + t % 2)
                                for b in range(first, rows) for d in range(rows)
                                if 2 * b + f < size and 2 * d + t % 2 < size and 0 <= t // 2 - d < wide]
                        expected[9 + (2 * r + f) * width + t - pad] = sum(
                            dy[i * wide + j] for i, j, here in seen if not named or argmax[i * wide + j] == here)
            done = 9 + (4 if pair else 2) * width
            for function, end in ((passed_back, done), (passed_back, expected.size), (by_two.passed_back, 0)):
                dx = np.full(expected.size, 7, dtype)
                for v in [plan.room - single] if pair else range((plan.columns - 1) // single * single, -1, -single):
                    function(dy, argmax, (rows - 1) * wide + (0 if pair else v), 2 * width if pair else None, first,
                             rows, size, plan.there, plan.room, v, plan.kept, wide, dx,
                             9 - pad + (0 if pair else 2 * v), width, upper, lower,
                             pad == 0 if pair else 2 * v >= pad, end, single)
                where = slice(0, done) if end > done else slice(None)
                if (upper and lower) or end <= done:
                    if not (upper and lower):  # a whole vector may reach into the row that nobody wants
                        where = expected != 7
                    np.testing.assert_allclose(dx[where], expected[where], rtol=1e-5, atol=1e-6)


@BOTH
@pytest.mark.parametrize("shape", [(6, 6), (6, 3), (6, 8), (13, 13), (7, 40), (5, 17)])
def test_nothing_is_written_beyond_an_array(dtype, shape):
    """Small maps, of which a vector has two rows: a mask of 8 lanes for bytes was one of 16 to LLVM."""
    coarse = tuple((length + 2 - 3) // 2 + 1 for length in shape)
    x = np.random.default_rng(0).standard_normal((1, 3, *shape)).astype(dtype)

    def guarded(shape, dtype):
        room = np.full(np.prod(shape) + 128, 77, dtype)
        return room, room[64:-64].reshape(shape)

    (all_y, y), (all_places, places), (all_dx, dx) = (
        guarded((1, 3, *of), kind) for of, kind in ((coarse, dtype), (coarse, np.uint8), (shape, dtype)))
    fast.max_pool_forward(x, 3, 2, 1, False, places, y)
    fast.max_pool_backward(y, places, 3, 2, 1, dx)
    for room in (all_y, all_places, all_dx):
        assert (room[:64] == 77).all()
        assert (room[-64:] == 77).all()
    expected, again = np.zeros_like(y), np.zeros_like(places)
    definition.max_pool_forward(x, 3, 2, 1, False, again, expected)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(places, again)
