"""Convolution with fewer multiplications: is it the same convolution?"""
import numpy as np
import pytest
from convolutions import all_three, operands, relative_error
from plain import use_plain_loops

from npnet.kernels import numpy as definition

pytest.importorskip("numba")
import numba

from npnet.kernels import numba as fast
from npnet.kernels.numba import conv, minimal, winograd
from npnet.kernels.numba.arrays import LINE, aligned
from npnet.kernels.numba.tile import lanes

# images, channels and outputs of a group, groups, height, width, padding
SHAPES = [(9, 16, 32, 1, 9, 11, 1), (3, 32, 16, 2, 17, 18, 0), (1, 16, 64, 1, 30, 23, 2), (40, 48, 16, 1, 4, 5, 1),
          (4, 16, 112, 2, 13, 13, 1), (12, 64, 16, 1, 7, 7, 1), (9, 16, 16, 1, 9, 6, 1)]
FIVES = [(9, 16, 32, 1, 9, 11, 2), (3, 32, 16, 2, 17, 18, 0), (1, 16, 64, 1, 30, 23, 4), (10, 48, 16, 1, 8, 8, 2)]
FOURS = [(9, 16, 32, 1, 9, 11, 2), (3, 32, 16, 2, 17, 18, 0), (2, 48, 96, 1, 13, 13, 1)]
# as SHAPES, behind the size of the kernel and the stride: first layers
STRIDES = [(11, 4, (3, 3, 96, 1, 63, 67, 0)), (7, 2, (2, 3, 64, 1, 55, 61, 3)), (7, 2, (2, 3, 16, 1, 64, 63, 3)),
           (9, 4, (3, 5, 48, 1, 40, 51, 4)), (5, 2, (4, 16, 32, 1, 21, 20, 2)), (16, 4, (2, 3, 16, 1, 61, 60, 5))]
BOTH = [*((3, shape) for shape in SHAPES), *((4, shape) for shape in FOURS), *((5, shape) for shape in FIVES)]


def forget():
    winograd.suits.cache_clear()
    winograd._plan.cache_clear()


@pytest.fixture(autouse=True)
def everywhere(monkeypatch):
    """Taken for as few channels as there are in tests."""
    monkeypatch.setattr(winograd, "CHANNELS", 0)
    forget()
    yield
    monkeypatch.undo()
    forget()


@pytest.fixture(params=[winograd.APART, 0], ids=["sums apart", "sums shared"])
def apart(request, monkeypatch):
    """Have threads sums of their own, and does somebody?"""
    monkeypatch.setattr(winograd, "APART", request.param)
    forget()
    return request.param > 0


@pytest.fixture
def taken(monkeypatch):
    """How often the results of this way were taken, and how often they were thrown away."""
    counts = {True: 0, False: 0}

    def counting(function):
        def call(*arguments):
            def count():
                counts[0 not in finite.tolist()] += 1

            loops, finite = function(*arguments)
            return [*loops, (count, ())], finite
        return call

    for name in ("forward", "weight"):
        monkeypatch.setattr(winograd, name, counting(getattr(winograd, name)))
    return counts


@pytest.mark.parametrize(("kernel", "shape"), BOTH, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 3e-5)])
def test_it_is_the_convolution_of_the_definition(kernel, shape, dtype, tolerance, taken, apart):
    """float32: of the largest number, against sums in float64. It is 9e-6 at most; with every product 2e-6."""
    arguments = operands(shape, dtype, kernel)
    expected = all_three(definition, shape, *(a.astype(np.float64) for a in arguments))
    for key, got in all_three(fast, shape, *arguments).items():
        assert got.dtype == dtype
        assert relative_error(got, expected[key]) < tolerance, key
    assert taken == {True: 3, False: 0}


@pytest.mark.parametrize(("kernel", "stride", "shape"), STRIDES, ids=str)
@pytest.mark.parametrize("more", [0, 1], ids=["rounded down", "rounded up"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 3e-5)])
def test_with_a_stride_every_pixel_of_a_square_is_a_channel(
    kernel, stride, shape, dtype, tolerance, more, taken, apart
):
    """The gradient of the input, which no first layer is asked for, goes another way."""
    if lanes(np.dtype(dtype).itemsize) < stride:
        pytest.skip("a vector is shorter than the stride")
    arguments = operands(shape, dtype, kernel, stride=stride, more=more)
    expected = all_three(definition, shape, *(a.astype(np.float64) for a in arguments), stride=stride)
    for key, got in all_three(fast, shape, *arguments, stride=stride).items():
        assert relative_error(got, expected[key]) < tolerance, key
    assert taken == {True: 2, False: 0}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("where", ["a line", "behind it", "some images"])
def test_rows_that_are_lines_of_the_cache_are_the_same_numbers(where, dtype, taken):
    """They are written past the caches, but only where all of them begin a line: not in an array that begins 16 bytes
    later, and of one whose images are half a line apart only every other."""
    line, shape = LINE // np.dtype(dtype).itemsize, (3, 16, 32, 1, 13, 16, 1)
    x, w, b, dy = operands(shape, dtype)
    assert dy.shape[3] % line == 0
    apart, begin = dy[0].size + (line // 2 if where == "some images" else 0), 2 if where == "behind it" else 0
    memory = aligned(begin + 3 * apart, dy.dtype)
    memory[:] = 7
    y = np.lib.stride_tricks.as_strided(memory[begin:], dy.shape, (apart * dy.itemsize, *dy[0].strides))
    expected = np.zeros(dy.shape)
    definition.conv2d_forward(*(a.astype(np.float64) for a in (x, w, b)), 1, 1, 1, True, expected)
    fast.conv2d_forward(x, w, b, 1, 1, 1, True, y)
    assert relative_error(y, expected) < (3e-5 if dtype == np.float32 else 1e-13)
    assert (memory[:begin] == 7).all()
    for n in range(3):
        assert (memory[begin + n * apart + dy[0].size : begin + (n + 1) * apart] == 7).all()
    assert taken == {True: 1, False: 0}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_with_a_stride_what_is_not_finite_is_seen(value, taken):
    kernel, stride, shape = STRIDES[1]
    arguments = operands(shape, np.float32, kernel, stride=stride)
    arguments[0][1, 2, 30, 31] = value
    with np.errstate(invalid="ignore"):
        expected = all_three(definition, shape, *arguments, stride=stride)
    for key, got in all_three(fast, shape, *arguments, stride=stride).items():
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected[key]), err_msg=key)
    assert taken == {True: 0, False: 2}


@pytest.mark.parametrize(("kernel", "shape"), [BOTH[0], BOTH[1], BOTH[6]], ids=str)
def test_some_channels_of_an_array_are_written_as_a_whole_one(kernel, shape, taken):
    """As at the end of an Inception module's branch: with the same bits, and what lies between stays as it is."""
    x, w, b, dy = operands(shape, np.float32, kernel)
    whole, larger = np.zeros_like(dy), np.full((dy.shape[0], dy.shape[1] + 3, *dy.shape[2:]), 7, np.float32)
    for y in (whole, definition.channels(larger, 2, dy.shape[1])):
        fast.conv2d_forward(x, w, b, 1, shape[-1], shape[3], True, y)
    inside = slice(2, 2 + dy.shape[1])
    np.testing.assert_array_equal(larger[:, inside], whole)
    assert (np.delete(larger, np.r_[inside], axis=1) == 7).all()
    assert taken == {True: 2, False: 0}


@pytest.mark.parametrize("value", [0, np.nan])
@pytest.mark.parametrize(("kernel", "shape"), [BOTH[0], BOTH[1], BOTH[6]], ids=str)
def test_some_channels_of_a_gradient_are_read_as_a_whole_one(kernel, shape, value, taken, apart):
    """Also where the result is not finite, and computed once more."""
    x, w, b, dy = operands(shape, np.float32, kernel)
    dy[0, 1, 2, 3] += value
    larger = np.full((dy.shape[0], dy.shape[1] + 3, *dy.shape[2:]), 7, np.float32)
    part = definition.channels(larger, 2, dy.shape[1])
    part[...] = dy
    for found, expected in zip(*(
        all_three(fast, shape, x, w, b, gradient).values() for gradient in (part, dy)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    assert taken == ({True: 6, False: 0} if value == 0 else {True: 2, False: 4})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("where", ["x", "weight", "dy"])
def test_what_is_not_finite_goes_where_it_should_and_nowhere_else(value, where, taken):
    """3e38 is finite, but not what comes of it on the way."""
    shape = SHAPES[0]
    x, weight, b, dy = operands(shape, np.float32)
    a = {"x": x, "weight": weight, "dy": dy}[where]
    a[1, 3, 2, 1] = value
    with np.errstate(over="ignore", invalid="ignore"):
        expected = all_three(definition, shape, x, weight, b, dy)
    for key, got in all_three(fast, shape, x, weight, b, dy).items():
        e = expected[key]
        if value == 3e38 and np.isinf(e).any():
            continue  # the order of the sum decides
        if where == "weight" and key == "dx":  # it meets the zeros around dy too, which the definition leaves out
            assert not np.isfinite(got[~np.isfinite(e)]).any()
            continue
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(e), err_msg=key)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(e), err_msg=key)
        close = np.isfinite(e)
        np.testing.assert_allclose(got[close], e[close], atol=1e-4 * np.abs(e[close]).max(), rtol=1e-4)
    assert taken == {True: 1, False: 2}


def test_the_number_of_threads_decides_nothing_but_the_order_of_sums(apart):
    """Each tile is computed by itself. The gradient of the weights is summed in one order, or in one for each number of
    threads."""
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("there is one thread only")
    results, before = [], numba.get_num_threads()
    arguments = operands(SHAPES[4], np.float32)
    try:
        for threads in (1, 2, 2):
            numba.set_num_threads(threads)
            results.append(all_three(fast, SHAPES[4], *arguments))
    finally:
        numba.set_num_threads(before)
    for key in results[0]:
        np.testing.assert_array_equal(results[1][key], results[2][key])
        if key not in ("dw", "db") or not apart:
            np.testing.assert_array_equal(results[0][key], results[1][key])


def test_a_thread_without_a_tile_adds_nothing(monkeypatch):
    """One image of one row of tiles, for two threads; what their memory held before was 1e30."""
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("there is one thread only")
    monkeypatch.setattr(winograd, "LEAST", 1)
    forget()
    shape, before = (1, 16, 16, 1, 4, 9, 1), numba.get_num_threads()
    arguments = operands(shape, np.float64)
    expected = all_three(definition, shape, *arguments)
    try:
        numba.set_num_threads(2)
        for _ in range(2):
            got = all_three(fast, shape, *arguments)
            for memory in winograd.scratch(np.dtype(np.float64), (2**20,)):
                memory[:] = 1e30
    finally:
        numba.set_num_threads(before)
    assert relative_error(got["dw"], expected["dw"]) < 1e-13


def test_it_is_left_alone_where_it_does_not_suit(monkeypatch):
    x, w, y = (8, 16, 9, 9), (32, 16, 3, 3), (8, 32, 9, 9)
    assert winograd.suits(x, w, y, 1, 4)
    assert winograd.suits(x, (32, 16, 5, 5), y, 1, 4)
    assert winograd.suits(x, (32, 16, 4, 4), y, 1, 4)
    assert not winograd.suits(x, (32, 16, 2, 2), y, 1, 4)
    assert not winograd.suits(x, (32, 16, 6, 6), y, 1, 4)
    assert not winograd.suits(x, (32, 16, 3, 5), y, 1, 4)
    assert not winograd.suits(x, w, y, 2, 4)
    assert winograd.suits(x, (32, 16, 5, 5), y, 2, 4)
    assert not winograd.suits(x, (32, 16, 9, 9), y, 3, 4)
    assert not winograd.suits((8, 32, 9, 9), (32, 16, 5, 5), y, 2, 4)  # two groups
    assert not winograd.suits((8, 17, 9, 9), (32, 17, 3, 3), y, 1, 4)
    assert not winograd.suits(x, (33, 16, 3, 3), (8, 33, 9, 9), 1, 4)
    assert not winograd.suits(x, w, (1, 32, 9, 9), 1, 4)
    assert not winograd.suits((8, 16, 3, 3), w, (8, 32, 3, 3), 1, 4)
    monkeypatch.setattr(winograd, "CHANNELS", 11)
    forget()
    assert not winograd.suits(x, w, y, 1, 4)
    monkeypatch.setattr(winograd, "CHANNELS", 10)
    forget()
    assert winograd.suits((8, 3, 9, 9), (64, 3, 7, 7), (8, 64, 9, 9), 2, 4)
    assert not winograd.suits((8, 2, 9, 9), (64, 2, 7, 7), (8, 64, 9, 9), 2, 4)  # filled up, they would be enough


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_the_plain_loops_agree(kernel, monkeypatch, apart):
    """Python, uncompiled: two images of 4 × 5 pixels, or so."""
    monkeypatch.setattr(winograd, "LEAST", 1)
    forget()
    use_plain_loops((winograd, conv), monkeypatch)
    channels = max(lanes(8), winograd.ROWS)
    shape = (2, channels, channels, 1, 4, 5, kernel // 2)
    arguments = operands(shape, np.float64, kernel)
    assert winograd.suits(arguments[0].shape, arguments[1].shape, arguments[3].shape, 1, 8)
    expected = all_three(definition, shape, *arguments)
    with np.errstate(invalid="ignore", over="ignore"):  # rows that fill up a tile are of what memory held before
        found = all_three(fast, shape, *arguments)
    for key, got in found.items():
        np.testing.assert_allclose(got, expected[key], rtol=0, atol=1e-12 * np.abs(expected[key]).max())


@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (11, 4)])
def test_the_plain_loops_agree_with_a_stride(kernel, stride, monkeypatch):
    if lanes(8) < stride:
        pytest.skip("a vector is shorter than the stride")
    monkeypatch.setattr(winograd, "LEAST", 1)
    forget()
    use_plain_loops((winograd, conv), monkeypatch)
    shape = (1, 3, max(lanes(8), winograd.ROWS), 1, 3 * stride + kernel, 5 * stride + kernel, kernel // 2)
    arguments = operands(shape, np.float64, kernel, stride=stride)
    assert winograd.suits(arguments[0].shape, arguments[1].shape, arguments[3].shape, stride, 8)
    expected = all_three(definition, shape, *arguments, stride=stride)
    with np.errstate(invalid="ignore", over="ignore"):
        found = all_three(fast, shape, *arguments, stride=stride)
    for key in ("y", "dw", "db"):
        np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=1e-12 * np.abs(expected[key]).max())


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_the_matrices_are_those_of_minimal_filtering(kernel):
    """y = Aᵀ[(G w) ∘ (Bᵀ x)] is the filter, for any w and x: kernel + 3 multiplications for four outputs."""
    rng = np.random.default_rng(0)
    w, x = rng.standard_normal(kernel), rng.standard_normal(kernel + 3)
    values = (np.array(minimal.g(kernel)) @ w) * (np.array(minimal.b_t(kernel)) @ x)
    y = np.array(minimal.a_t(kernel)) @ values
    np.testing.assert_allclose(y, np.correlate(x, w, "valid"), rtol=1e-12)
