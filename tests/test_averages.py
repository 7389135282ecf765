"""Average pooling at a stride of 3 and more: what is spelled out in instructions, and the plain loop beside it."""
import numpy as np
import pytest

pytest.importorskip("numba")

from spelled_out import compiled

from npnet.kernels.numba import averages
from npnet.kernels.numba.tile import MASK, lanes

BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])

sum_columns, spread = compiled(averages.sum_columns), compiled(averages.spread)


@BOTH
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_columns_of_some_rows(dtype, rows):
    """Nothing is read beyond the last row; what lies behind the sums is left alone, or is to be written later."""
    single = lanes(np.dtype(dtype).itemsize)
    for count in (1, single - 1, single, single + 3):
        done, apart = min(count, single), single + 2
        x = np.random.default_rng(0).standard_normal(2 + max(0, rows - 1) * apart + done).astype(dtype)
        for function, end in ((sum_columns, 5 + done), (sum_columns, 3 * single), (averages.sum_columns, 0)):
            total = np.full(3 * single + 8, 7, dtype)
            function(x, 2, apart, rows, count, total, 5, end, single)
            expected = sum((x[2 + k * apart :][:done] for k in range(rows)), np.zeros(done, dtype))
            np.testing.assert_allclose(total[5 : 5 + done], expected, rtol=1e-5, atol=1e-6)
            assert (total[:5] == 7).all()
            assert (total[max(end, 5 + done) :] == 7).all()


@BOTH
@pytest.mark.parametrize("count", [0, 1, 4])
def test_what_windows_pass_on_to_a_row(dtype, count):
    single, rng = lanes(np.dtype(dtype).itemsize), np.random.default_rng(count)
    shares, sees = rng.standard_normal(9).astype(dtype), rng.random((6, single)) < 0.5
    expected = (shares[3 : 3 + count, None] * sees[2 : 2 + count]).sum(0)
    for function in (spread, averages.spread):
        row = np.full(2 * single, 7, dtype)
        function(shares, 3, count, -sees.ravel().astype(MASK), 2 * single, row, 2, single)
        np.testing.assert_allclose(row[2 : 2 + single], expected, rtol=1e-5, atol=1e-6)
        assert (row[:2] == 7).all()
        assert (row[2 + single :] == 7).all()
