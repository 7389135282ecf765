"""The sweeps of pooling: what is spelled out in instructions, the plain loop beside it, and the words."""
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")

from spelled_out import compiled, numbers

from npnet.kernels.numba import passing, sweeps
from npnet.kernels.numba.tile import MASK, lanes

BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])
STRIDES = pytest.mark.parametrize("stride", [1, 2, 3])
SIZES = pytest.mark.parametrize("size", [1, 2, 3, 5])

across, down, down_maps, back = (
    compiled(function) for function in (sweeps.across, sweeps.down, sweeps.down_maps, passing.passed_back))


PLACES = pytest.mark.parametrize("place", [np.uint8, np.uint16, np.uint32])


def columns_of(count, size):
    return (np.arange(count) * 7 % size).astype(np.int32)


def mask(inside):
    return -inside.ravel().astype(MASK)


@BOTH
@STRIDES
@SIZES
def test_along_a_row(dtype, stride, size):
    """Two columns of margin before, as many windows as fit in that and the row; nothing is read beyond it."""
    single = lanes(np.dtype(dtype).itemsize)
    for width in (1, single + 3):
        x, pad = numbers(width, dtype), min(2, size - 1)
        count = -(-width // stride)
        columns = np.arange(stride * 4 * single) - pad
        inside = np.array([(columns + tap >= 0) & (columns + tap < width) for tap in range(0, size, stride)])
        before = np.maximum(0, -columns[::stride]).astype(np.int32)
        results = []
        for function in (across, sweeps.across):
            best, which = np.zeros(7 + 4 * single, dtype), np.zeros(7 + 4 * single, np.int32)
            for v in range(0, count, single):
                function(x, v * stride - pad, mask(inside), columns.size, before, v, count - v, size, stride,
                         best, which, 7 + v, single, None, sweeps.kind(stride))
            assert not best[:7].any()
            results.append((best[7 : 7 + count], which[7 : 7 + count]))
        for function in (across, sweeps.across) if width > single and stride == 1 else ():  # no count: a whole vector
            whole, which = np.zeros(7 + single, dtype), np.zeros(7 + single, np.int32)
            function(x, -pad, mask(inside), columns.size, before, 0, None, size, stride, whole, which, 7, single, None,
                     sweeps.kind(stride))
            assert not whole[:7].any()
            np.testing.assert_array_equal(whole[7:], results[1][0][:single])
            np.testing.assert_array_equal(which[7:], results[1][1][:single])
        for best, which in results:
            for j in range(count):
                seen = range(max(0, j * stride - pad), min(width, j * stride - pad + size))
                if seen:
                    where = seen[x[seen].argmax()]  # the first of equal ones, the first NaN
                    assert which[j] == where - (j * stride - pad)
                    np.testing.assert_equal(best[j], x[where])


@BOTH
@SIZES
@PLACES
def test_down_columns(dtype, size, place):
    single = lanes(np.dtype(dtype).itemsize)
    best, which = numbers(9 * single + 16, dtype), columns_of(9 * single + 16, size)
    for count in (1, single, single + 1):
        done = min(count, single)
        for function, end in ((down, 5 + done), (down, 3 * single), (sweeps.down, 0)):
            y, argmax = np.full(3 * single + 8, 7, dtype), np.full(3 * single + 8, 7, place)
            function(best, which, 3, single + 2, size, y, argmax, 5, count, end, single, None)
            seen = 3 + np.arange(size)[:, None] * (single + 2) + np.arange(done)
            row = best[seen].argmax(axis=0)
            where = seen[row, np.arange(done)]
            np.testing.assert_array_equal(y[5 : 5 + done], best[where])
            np.testing.assert_array_equal(argmax[5 : 5 + done], row * size + which[where])
            for array in (y, argmax):
                assert (array[:5] == 7).all()
                assert (array[max(end, 5 + done) :] == 7).all()


@BOTH
@SIZES
@pytest.mark.parametrize("asked", [True, False])
def test_down_the_columns_of_maps_that_lie_one_after_another(dtype, size, asked):
    """Of three maps, from some pixels before the end of one on. No row of another map counts, and no row outside."""
    single, height, width, pad = lanes(np.dtype(dtype).itemsize), 5, 4, (size - 1) // 2
    pixels, planes = height * width, 3
    best, rows = numbers(planes * pixels, dtype), (np.arange(2 * pixels) % pixels // width).astype(np.int32)
    which = columns_of(best.size, size) if asked else None
    for first in (0, pixels - 3, 2 * pixels - 1):
        q, count = first % pixels, min(single + 1, best.size - first)
        done, results = min(count, single), []
        for function, end in ((down_maps, 5 + done), (down_maps, 3 * single), (sweeps.down_maps, 0)):
            y, argmax = np.full(3 * single + 8, 7, dtype), np.full(3 * single + 8, 7, np.uint8)
            function(best, which, first, width, size, pad, rows[q:], height, y, argmax if asked else None, 5, count,
                     end, single, None)
            results.append((y, argmax, end))
        for y, argmax, end in results:
            for j in range(done):
                plane, pixel = divmod(first + j, pixels)
                seen = [p for k in range(size) if 0 <= (p := pixel + (k - pad) * width) < pixels]
                where = plane * pixels + seen[best[plane * pixels :][seen].argmax()]
                np.testing.assert_equal(y[5 + j], best[where])
                row = (where - first - j) // width + pad
                assert argmax[5 + j] == (row * size + which[where] if asked else 7)
            for array in (y, argmax):
                assert (array[:5] == 7).all()
                assert (array[max(end, 5 + done) :] == 7).all()


@BOTH
@STRIDES
@SIZES
@pytest.mark.parametrize("squares", [False, True])
def test_sums_along_a_row(dtype, stride, size, squares):
    single = lanes(np.dtype(dtype).itemsize)
    for width in (1, single + 3):
        x, pad = np.random.default_rng(size).standard_normal(width).astype(dtype), min(2, size - 1)
        count, columns = -(-width // stride), np.arange(stride * 4 * single) - pad
        inside = np.array([(columns + tap >= 0) & (columns + tap < width) for tap in range(0, size, stride)])
        seen = [x[max(0, j * stride - pad) : max(0, j * stride - pad + size)] for j in range(count)]
        before = np.zeros(4 * single, np.int32)
        for function in (across, sweeps.across):
            sums = np.zeros(7 + 4 * single, dtype)
            for v in range(0, count, single):
                function(x, v * stride - pad, mask(inside), columns.size, before, v, count - v, size, stride,
                         sums, None, 7 + v, single, sweeps.Sum(squares), sweeps.kind(stride))
            expected = [np.sum(pixels**2 if squares else pixels) for pixels in seen]
            np.testing.assert_allclose(sums[7 : 7 + count], expected, rtol=1e-5, atol=1e-5)


@BOTH
@SIZES
def test_sums_down_columns(dtype, size):
    """Of a row of windows, and of many maps."""
    single, height, width = lanes(np.dtype(dtype).itemsize), 5, 4
    pad, what = (size - 1) // 2, sweeps.Sum(False)
    rows = np.random.default_rng(size).standard_normal(3 + (size + 3) * single + 60).astype(dtype)
    which_row = (np.arange(2 * height * width) % (height * width) // width).astype(np.int32)
    for one, maps in ((down, down_maps), (sweeps.down, sweeps.down_maps)):
        y = np.full(3 * single + 8, 7, dtype)
        one(rows, None, 3, single, size, y, None, 5, single - 1, 4 + single, single, what)
        expected = sum(rows[3 + k * single :][: single - 1] for k in range(size))
        np.testing.assert_allclose(y[5 : 4 + single], expected, rtol=1e-5, atol=1e-5)
        assert (y[:5] == 7).all()
        assert (y[4 + single :] == 7).all()
        first, pixels = height * width - 3, height * width
        maps(rows, None, first, width, size, pad, which_row[first:], height, y, None, 5, single, 5 + single, single,
             what)
        for j in range(single):
            plane, pixel = divmod(first + j, pixels)
            seen = [p for k in range(size) if 0 <= (p := pixel + (k - pad) * width) < pixels]
            expected = rows[plane * pixels :][seen].sum()
            np.testing.assert_allclose(y[5 + j], expected, rtol=1e-5, atol=1e-5)


@BOTH
@STRIDES
@SIZES
@pytest.mark.parametrize(("reach", "named"), [(0, True), (1, True), (0, False)])
def test_back(dtype, stride, size, reach, named):
    """Two rows of windows, each apart (reach 0) or all as one; every one names one of the pixels that it sees, or all.
    """
    rng, single = np.random.default_rng(0), lanes(np.dtype(dtype).itemsize)
    wide, pad, limit = single + 3, min(1, size - 1), stride * (single + 2)
    reach, count = reach * wide, wide * (1 + reach)
    dy, argmax = rng.standard_normal(2 * wide).astype(dtype), rng.integers(0, size**2, 2 * wide).astype(np.uint8)
    argmax, results, row = argmax if named else None, [], max(0, size - 1 - stride)
    for function, end in ((back, 9 + limit), (back, limit + 20), (passing.passed_back, 0)):
        dx = np.full(limit + 20, 7, dtype)
        for v in range(0, -(-(limit + pad) // stride), single):
            function(dy, argmax, wide, 2, reach, wide, count, size, stride, v, row, pad, limit, dx, 9 - pad, end,
                     single, sweeps.kind(stride))
        results.append(dx[: 9 + limit] if end > 9 + limit else dx)
    expected = np.full(limit + 20, 7.0)
    for t in range(limit):
        j, f = divmod(t + pad, stride)
        windows = [(j - d - k * reach, wide + j - d - k * wide, (row + k * stride) * size + d * stride + f)
                   for k in range(2) for d in range(size) if d * stride + f < size]
        expected[9 + t] = sum(dy[w] for place, w, here in windows
                              if 0 <= place < count and (not named or argmax[w] == here))
    for dx in results:
        np.testing.assert_allclose(dx, expected[: dx.size], rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="it needs mprotect")
@BOTH
def test_nothing_is_read_that_is_not_there(dtype):
    """Arrays that begin where memory begins, and end where it ends: to read beside them would kill the process."""
    code = f"""
import ctypes, mmap
import numpy as np
from npnet.kernels import numba as fast

def fenced(shape, dtype, at_end):
    size, page = int(np.prod(shape)) * np.dtype(dtype).itemsize, mmap.PAGESIZE
    pages = -(-size // page)
    memory = mmap.mmap(-1, (pages + 2) * page)
    array = np.frombuffer(memory, np.uint8)
    start = page + (pages * page - size if at_end else 0)
    for wall in (0, (pages + 1) * page):
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(array.ctypes.data + wall), page, 0) == 0
    kept.append(memory)
    return array[start : start + size].view(dtype).reshape(shape)

def look(size, stride, side, maps, at_end, dtype=np.{np.dtype(dtype)}):
    pad = size // 2
    fine, coarse = ((1, maps, length, length) for length in (side, (side + 2 * pad - size) // stride + 1))
    x, y, dx = fenced(fine, dtype, at_end), fenced(coarse, dtype, at_end), fenced(fine, dtype, at_end)
    argmax = fenced(coarse, np.uint8, at_end)
    x[...] = 1 + np.arange(x.size).reshape(fine)
    fast.max_pool_forward(x, size, stride, pad, False, argmax, y)
    row, column = np.divmod(argmax.astype(int), size)
    row += np.arange(coarse[2])[:, None] * stride - pad
    column += np.arange(coarse[3]) * stride - pad
    assert (x[0, np.arange(maps)[:, None, None], row[0], column[0]] == y[0]).all()
    y[...] = 0
    fast.max_pool_forward(x, size, stride, pad, False, None, y)
    assert y.min() > 0
    fast.max_pool_backward(y, argmax, size, stride, pad, dx)
    assert dx.sum() == y.sum()
    fast.average_pool_forward(x, size, stride, pad, False, y)
    fast.average_pool_backward(y, size, stride, pad, False, dx)
    for step in (1, 2, 4):  # a convolution picks every so manyth pixel
        w, out = np.ones((2, maps, 3, 3), dtype), np.zeros((1, 2, *[(side - 3) // step + 1] * 2), dtype)
        fast.conv2d_forward(x, w, np.zeros(2, dtype), step, 0, 1, False, out)
        assert out.min() > 0

kept = []
for size, stride, side, maps in ((3, 1, 28, 1), (3, 2, 28, 1), (5, 1, 9, 1), (3, 1, 7, 3), (3, 1, 4, 1), (3, 2, 7, 3),
                                 (3, 2, 13, 2), (5, 3, 14, 17)):
    for at_end in (False, True):
        print(size, stride, side, maps, at_end, flush=True)
        look(size, stride, side, maps, at_end)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, f"{result.stdout.splitlines()[-1:]}: {result.stderr[-500:]}"


@BOTH
def test_where_one_map_ends_the_next_begins(dtype):
    """Maps small and large, more than are taken at a time, with and without a look at where the largest were."""
    from npnet.kernels import numba as fast
    from npnet.kernels import numpy as definition

    shapes = (((1, 50, 4, 4), 3), ((3, 7, 5, 9), 3), ((2, 600, 4, 5), 3), ((1, 3, 9, 9), 5),
              ((1, 2, 20, 3), 5), ((1, 3, 8, 2), 3), ((2, 2, 16, 1), 3))  # narrower than a window
    for (n, c, h, w), size in shapes:
        x, pad = numbers(n * c * h * w, dtype).reshape(n, c, h, w), size // 2
        dy = np.random.default_rng(1).standard_normal(x.shape).astype(dtype)
        results = []
        for backend in (definition, fast):
            y, again, dx, argmax = *(np.zeros_like(x) for _ in range(3)), np.zeros(x.shape, np.uint8)
            backend.max_pool_forward(x, size, 1, pad, False, argmax, y)
            backend.max_pool_forward(x, size, 1, pad, False, None, again)
            backend.max_pool_backward(dy, argmax, size, 1, pad, dx)
            results.append((argmax, y, again, dx))
        for expected, got in zip(*results, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
