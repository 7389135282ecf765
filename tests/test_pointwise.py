"""Convolution by 1 × 1 as a product: of any number of channels, pixels and images."""
import numpy as np
import pytest
from convolutions import all_three, operands, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

from npnet.kernels import numpy as definition

pytest.importorskip("numba")
import numba

from npnet.kernels import numba as fast
from npnet.kernels.numba import conv, pointwise, tile, vectors

# images, channels and outputs of a group, groups, height, width, padding
SHAPES = [(3, 200, 40, 1, 7, 7, 0), (2, 330, 9, 1, 14, 15, 0), (5, 17, 51, 2, 3, 4, 0), (1, 1, 1, 1, 1, 1, 0),
          (9, 64, 24, 1, 1, 1, 0), (1, 48, 130, 1, 28, 29, 0), (2, 161, 8, 3, 5, 5, 0)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_it_is_the_convolution_of_the_definition(shape, dtype, tolerance):
    arguments = operands(shape, dtype, kernel=1)
    expected = all_three(definition, shape, *(a.astype(np.float64) for a in arguments))
    for key, got in all_three(fast, shape, *arguments).items():
        assert got.dtype == dtype
        assert relative_error(got, expected[key]) < tolerance, key


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 6), c=st.integers(1, 20), o=st.integers(1, 20), groups=st.integers(1, 3), h=st.integers(1, 17),
       w=st.integers(1, 17))
def test_of_any_shape(n, c, o, groups, h, w):
    shape = (n, c, o, groups, h, w, 0)
    arguments = operands(shape, np.float64, kernel=1)
    expected = all_three(definition, shape, *arguments)
    for key, got in all_three(fast, shape, *arguments).items():
        np.testing.assert_allclose(got, expected[key], rtol=1e-10, atol=1e-10, err_msg=key)


def test_what_is_not_finite_stays_where_it_is():
    shape = (2, 20, 9, 1, 5, 7, 0)
    x, w, b, dy = operands(shape, np.float32, kernel=1)
    x[0, 3, 1, 2], x[1, 19, 4, 6], dy[1, 8, 0, 0] = np.nan, np.inf, -np.inf
    expected = all_three(definition, shape, x, w, b, dy)
    for key, got in all_three(fast, shape, x, w, b, dy).items():
        np.testing.assert_array_equal(np.isnan(got), np.isnan(expected[key]), err_msg=key)
        np.testing.assert_array_equal(np.isposinf(got), np.isposinf(expected[key]), err_msg=key)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_columns_brought_together_or_not_give_the_same(monkeypatch, shape, packed):
    """Which of the two is the way depends on the machine: here both are gone. (1 × 1, and those that are tiles.)"""
    monkeypatch.setattr(pointwise, "PACKED", packed)
    monkeypatch.setattr(conv, "PACKED", packed)
    conv._plan.cache_clear()
    for kernel, of in ((1, shape), (3, (*shape[:-1], 1))):
        arguments = operands(of, np.float64, kernel=kernel)
        expected = all_three(definition, of, *arguments)
        for key, got in all_three(fast, of, *arguments).items():
            np.testing.assert_allclose(got, expected[key], rtol=1e-10, atol=1e-10, err_msg=f"{key}, {kernel}")
    conv._plan.cache_clear()


@pytest.mark.parametrize(("together", "sums"), [(1, 24_000), (3, 10**9), (7, 10**9), (4, 1)])
def test_however_many_panels_are_filled_at_a_time(monkeypatch, together, sums):
    """Also several products of one x, one sum of several, and that added to what is there, where a ReLU let it through.
    """
    for name, value in (("PACKED", True), ("TOGETHER", together), ("SUMS", sums)):
        monkeypatch.setattr(pointwise, name, value)
    rng = np.random.default_rng(together)
    for images, channels, side, outputs in ((40, 170, 3, (9, 2, 4)), (11, 5, 9, (170, 161, 1)), (8, 33, 12, (7, 3))):
        x, made = rng.standard_normal((2, images, channels, side, side))
        ws = [rng.standard_normal((o, channels, 1, 1)) for o in outputs]
        bs = [rng.standard_normal(o) for o in outputs]
        dys = [rng.standard_normal((images, o, side, side)) for o in outputs]
        for rectify in (True, False):
            ys, expected = ([np.full_like(dy, np.nan) for dy in dys] for _ in range(2))
            fast.conv1x1_forward(x, ws, bs, rectify, ys)
            definition.conv1x1_forward(x, ws, bs, rectify, expected)
            for y, right in zip(ys, expected, strict=True):
                np.testing.assert_allclose(y, right, rtol=1e-11, atol=1e-11)
        for add, rectified in ((False, None), (True, None), (True, made)):
            dx, right = np.ones((2, *x.shape))
            fast.conv1x1_backward_data(dys, ws, add, rectified, dx)
            definition.conv1x1_backward_data(dys, ws, add, rectified, right)
            np.testing.assert_allclose(dx, right, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("team", [1, 2, 5])
def test_every_weight_is_packed_by_one_of_the_team(team):
    """In the order in which they are read: of some taps all outputs; along the taps or across."""
    whence, whither = np.array([(0, 0, 330), (0, 0, 0), (0, 0, 0)]), np.array([(0, 0, 9), (0, 0, 3), (0, 0, 0)])
    ws = [np.random.default_rng(0).standard_normal((o, 330)) for o in (9, 3, 3)]
    each, rows = tile.even_steps(330), tile.ROWS
    for turned in (False, True):
        flat = tuple(np.ascontiguousarray(w.T if turned else w).ravel() for w in ws)
        way, step = ((1, 9), rows) if turned else ((330, 1), 1)
        if turned:  # all of one width: they make one y
            flat = flat[:1] * 3
        blocks = [(0, 0), (0, rows), (0, 2 * rows)][: -(-9 // rows)] + ([] if turned else [(1, 0)])
        some = whither if not turned else np.array([(0, 0, 9), (0, 0, 0), (0, 0, 0)])
        packed = np.full(3 * len(blocks) * rows * tile.STEPS, np.nan)
        for thread in range(team):
            pointwise._pack_weights(flat, way, whence, some, step, packed, thread, team)
        for part, block in np.ndindex(-(-330 // each), len(blocks)):
            i, o = blocks[block]
            here = packed.reshape(-1, rows * tile.STEPS)[part * len(blocks) + block]
            here = here.reshape(-1, rows).T if turned else here.reshape(rows, -1)
            right = ws[i][o : o + rows, part * each : (part + 1) * each]
            np.testing.assert_array_equal(here[: len(right), : right.shape[1]], right)


@given(st.integers(1, 5000))
def test_steps_are_few_and_even(count):
    each = tile.even_steps(count)
    steps = -(-count // each)
    assert 1 <= each <= tile.STEPS
    assert steps == -(-count // tile.STEPS)
    assert each - (count - each * (steps - 1)) < steps


def test_pixels_are_summed_some_at_a_time(monkeypatch):
    shape = SHAPES[0]
    arguments = operands(shape, np.float64, kernel=1)
    expected = all_three(definition, shape, *arguments)
    for pixels in (1, 60, 10_000):
        monkeypatch.setattr(pointwise, "PIXELS", pixels)
        for key, got in all_three(fast, shape, *arguments).items():
            np.testing.assert_allclose(got, expected[key], rtol=1e-10, atol=1e-10, err_msg=f"{key}, {pixels}")


def test_a_stride_or_padding_goes_another_way():
    assert pointwise.suits((4, 3, 1, 1), 1, 0)
    assert not pointwise.suits((4, 3, 1, 1), 2, 0)
    assert not pointwise.suits((4, 3, 2, 2), 1, 0)
    assert not pointwise.suits((4, 3, 1, 1), 1, 1)


def test_asking_for_what_comes_next_changes_nothing():
    """Even where there is nothing."""
    x = np.arange(100.0)
    for ask in (vectors.will_read, vectors.will_write):
        call = numba.njit(lambda x, start, count: ask(x, start, count))  # noqa: B023
        for start in (0, 90, -5, 10**9):
            call(x, start, 64)
            ask(x, start, 64)
    np.testing.assert_array_equal(x, np.arange(100.0))
