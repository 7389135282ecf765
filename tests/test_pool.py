import numpy as np
import pytest

from npnet.layers import AvgPool2D, MaxPool2D

pytestmark = pytest.mark.usefixtures("backend")

CASES = [  # height, width, and the layer
    (6, 6, (2, 2)),
    (7, 5, (3, 2)),
    (8, 9, (3, 2, 0, "floor")),
    (8, 5, (3, 2, 1)),
    (5, 6, (3, 1, 1)),
    (7, 8, (2, 3, 1)),
    (4, 4, (5, 2, 2)),
    (2, 3, (4, 3)),  # the window is larger than the image
    (1, 1, (1, 1)),
]


def window(layer, i, j, h, w, border=0):
    """The pixels of window (i, j), in row-major order; with `border`, those within that far outside too."""
    return [
        (row, column)
        for row in range(i * layer.stride - layer.pad, i * layer.stride - layer.pad + layer.size)
        for column in range(j * layer.stride - layer.pad, j * layer.stride - layer.pad + layer.size)
        if -border <= row < h + border and -border <= column < w + border
    ]


@pytest.mark.parametrize("sign", [1, -1], ids=["any", "negative"])
@pytest.mark.parametrize(("h", "w", "arguments"), CASES)
def test_max_is_the_largest_pixel_of_the_window(h, w, arguments, sign):
    """All-negative input shows a border that counts as 0 and not as −∞."""
    layer = MaxPool2D(*arguments)
    x = np.random.default_rng(0).standard_normal((2, 3, h, w))
    x = -1 - np.abs(x) if sign < 0 else x
    y = layer.forward(x)
    assert y.shape == (2, *layer.output_shape((3, h, w)))
    dy = np.random.default_rng(1).standard_normal(y.shape)
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(y.shape):
        best = max(window(layer, i, j, h, w), key=lambda pixel: x[n, c, *pixel])
        assert y[n, c, i, j] == x[n, c, *best]
        dx[n, c, *best] += dy[n, c, i, j]
    np.testing.assert_allclose(layer.backward(dy), dx, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count_pad", [False, True])
@pytest.mark.parametrize(("h", "w", "arguments"), CASES)
def test_average_is_the_sum_over_the_pixels_that_count(h, w, arguments, count_pad):
    layer = AvgPool2D(*arguments, count_pad=count_pad)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 3, h, w))
    y = layer.forward(x)
    dy = rng.standard_normal(y.shape)
    expected, dx = np.zeros_like(y), np.zeros_like(x)
    for n, c, i, j in np.ndindex(y.shape):
        counted = len(window(layer, i, j, h, w, border=layer.pad if count_pad else 0))
        for row, column in window(layer, i, j, h, w):
            expected[n, c, i, j] += x[n, c, row, column] / counted
            dx[n, c, row, column] += dy[n, c, i, j] / counted
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), dx, rtol=1e-12, atol=1e-12)


def test_of_equal_pixels_the_first_is_the_largest():
    layer = MaxPool2D(3, 2)
    layer.forward(np.ones((1, 1, 5, 5)))
    dx = layer.backward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    np.testing.assert_array_equal(
        dx[0, 0], [[1, 0, 2, 0, 0], [0, 0, 0, 0, 0], [3, 0, 4, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    )


def test_the_first_of_equal_pixels_lies_in_the_image_even_if_all_are_minus_infinity():
    """The border is −∞ too, but no gradient may go there."""
    layer = MaxPool2D(3, 2, pad=1)
    y = layer.forward(np.full((2, 1, 3, 3), -np.inf))
    np.testing.assert_array_equal(y, -np.inf)
    dx = layer.backward(np.broadcast_to([[1.0, 2.0], [3.0, 4.0]], (2, 1, 2, 2)).copy())
    np.testing.assert_array_equal(dx, np.broadcast_to([[1, 2, 0], [3, 4, 0], [0, 0, 0]], (2, 1, 3, 3)))


def test_gradients_add_where_windows_overlap():
    layer = MaxPool2D(3, 2)
    x = np.zeros((1, 1, 5, 5))
    x[0, 0, 2, 2] = 1.0  # in all four windows
    layer.forward(x)
    dx = layer.backward(np.array([[[[1.0, 20.0], [300.0, 4000.0]]]]))
    expected = np.zeros((5, 5))
    expected[2, 2] = 4321.0
    np.testing.assert_array_equal(dx[0, 0], expected)


def test_out_of_training_there_is_a_gradient_too():
    """Where the largest were is not kept then: whoever asks waits for it. What was returned stays as it is."""
    x = np.round(np.random.default_rng(0).standard_normal((2, 3, 7, 6)), 1)
    layer, asked = MaxPool2D(3, 2, pad=1), MaxPool2D(3, 2, pad=1)
    y, dy = np.array(layer.forward(x)), np.random.default_rng(1).standard_normal(layer.forward(x).shape)
    dx = np.array(layer.backward(dy))
    got = asked.forward(x, train=False)
    np.testing.assert_array_equal(got, y)
    got[...] = 0  # by a ReLU, say, that writes over it
    for _ in range(2):
        np.testing.assert_array_equal(asked.backward(dy), dx)
    assert not got.any()


def test_nan_stays_nan():
    x = np.zeros((1, 1, 5, 5))
    x[0, 0, 1, 1] = np.nan
    expected = [[np.nan, 0], [0, 0]]
    np.testing.assert_array_equal(MaxPool2D(3, 2).forward(x)[0, 0], expected)
    np.testing.assert_array_equal(AvgPool2D(3, 2).forward(x)[0, 0], expected)
    for place in [(0, 0), (4, 4)]:  # first and last of a window, behind and before something larger
        x = np.ones((1, 1, 5, 5))
        x[0, 0, *place] = np.nan
        assert np.isnan(MaxPool2D(5, 1).forward(x)).all()


def test_a_window_that_fits_in_part_is_kept():
    sizes = [(3, 32, 32)]
    for _ in range(3):
        sizes.append(MaxPool2D(3, 2).output_shape(sizes[-1]))
    assert sizes == [(3, 32, 32), (3, 16, 16), (3, 8, 8), (3, 4, 4)]


def test_a_window_that_would_start_in_the_padding_is_dropped():
    y = MaxPool2D(2, 2, pad=1).forward(np.arange(25.0).reshape(1, 1, 5, 5))  # a fourth would start at row 5
    np.testing.assert_array_equal(y[0, 0], [[0, 2, 4], [10, 12, 14], [20, 22, 24]])


@pytest.mark.parametrize(("h", "w", "arguments"), CASES)
def test_an_average_leaves_a_constant_image_constant(h, w, arguments):
    np.testing.assert_allclose(AvgPool2D(*arguments).forward(np.full((1, 2, h, w), 3.0)), 3.0, rtol=1e-12)


def test_counted_padding_makes_the_border_darker():
    y = AvgPool2D(3, 2, pad=1, rounding="floor", count_pad=True).forward(np.full((1, 1, 3, 3), 9.0))
    np.testing.assert_allclose(y[0, 0], [[4, 4], [4, 4]])  # 4 of 9 pixels in the image
    y = AvgPool2D(2, 2, count_pad=True).forward(np.full((1, 1, 3, 3), 9.0))
    np.testing.assert_allclose(y[0, 0], [[9, 9], [9, 9]])  # what a ceil window reads past the padding is not counted


@pytest.mark.parametrize("pool", [MaxPool2D, AvgPool2D])
@pytest.mark.parametrize(("arguments", "message"), [
    ((0, 1), r"size \(=0\) must be at least 1"),
    ((2, 0), r"stride \(=0\) must be at least 1"),
    ((2, 1, 2), r"pad \(=2\) must be at least 0 and less than the size \(=2\)"),
    ((2, 1, -1), r"pad \(=-1\) must be at least 0 and less than the size \(=2\)"),
    ((2, 1, 0, "round"), r"rounding \(='round'\) must be 'floor' or 'ceil'"),
])
def test_mistakes_are_named_with_their_values(pool, arguments, message):
    with pytest.raises(ValueError, match=message):
        pool(*arguments)


@pytest.mark.parametrize("pool", [MaxPool2D, AvgPool2D])
def test_a_wrong_input_is_named(pool):
    with pytest.raises(ValueError, match=rf"{pool.__name__}: x of shape \(=\(2, 12\)\) must be \(N, any, any, any\)"):
        pool(2, 2).forward(np.zeros((2, 12)))
    with pytest.raises(ValueError, match=r"size \(=3\) must be at most length \+ 2·pad \(=2\)"):
        pool(3, 2, rounding="floor").forward(np.zeros((1, 1, 2, 4)))


@pytest.mark.parametrize("size", [15, 16, 17])
def test_windows_with_more_pixels_than_a_byte_can_tell_apart(backend, size):
    """Their last pixel is the largest: number 224, 255 and 288."""
    layer, x = MaxPool2D(size, 1), np.zeros((1, 1, size, size), np.float32)
    x[0, 0, -1, -1] = 1
    assert layer.forward(x) == 1
    dx = np.array(layer.backward(np.full((1, 1, 1, 1), 3, np.float32)))
    np.testing.assert_array_equal(dx, 3 * x)
