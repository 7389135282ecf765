"""Teams of threads: each gets its number and what it was called with, whichever library numba's threads come from."""
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")
import numba

from npnet.kernels.numba.compile import parallel, share

PROGRAM = """
import numpy as np
from npnet.kernels import numba as fast
a = np.arange(2 * 7 * 5 * 11, dtype=np.float32).reshape(2, 7, 5, 11) / 100
d, b = np.zeros((2, *a.shape), np.float32)
fast.lrn_forward(a, 5, 0.8, 0.75, 2.0, d, b)  # the first of all kernels, which asks nobody for the number of threads
print(f"{b.sum():.4f}")
"""


def _number(out, some, offset, thread, team):
    first, last = share(out.shape[0], thread, team)
    for i in range(first, last):
        out[i, 0], out[i, 1], out[i, 2] = thread, team, some[0][i] + offset


number = parallel(_number)


def test_every_thread_does_its_share():
    before = numba.get_num_threads()
    try:
        for team in range(1, before + 1):
            numba.set_num_threads(team)
            out, pair = np.full((7, 3), -1), (np.arange(7), np.zeros(2))
            number(out, pair, 5)
            expected = [(t, team, i + 5) for t in range(team) for i in range(*share(7, t, team))]
            np.testing.assert_array_equal(out, expected)
    finally:
        numba.set_num_threads(before)


def test_a_team_larger_than_its_work():
    out = np.full((1, 3), -1)
    number(out, (np.arange(1), np.zeros(2)), 5)
    assert out[0, 2] == 5


@pytest.mark.parametrize("settings", [{"NUMBA_THREADING_LAYER": "workqueue"}, {"NUMBA_NUM_THREADS": "1"}, {}])
def test_a_new_process_finds_what_was_compiled(settings):
    """Of any threading layer, with any number of threads; the second time from numba's cache."""
    results = {
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True,
                       env={**os.environ, **settings}).stdout
        for _ in range(2)
    }
    i = np.arange(2 * 7 * 5 * 11).reshape(2, 7, 5, 11) / 100
    squares = np.stack([(i[:, max(0, c - 2) : c + 3] ** 2).sum(axis=1) for c in range(7)], axis=1)
    assert len(results) == 1
    assert float(results.pop()) == pytest.approx((i / (2 + 0.8 * squares) ** 0.75).sum(), rel=1e-5)
