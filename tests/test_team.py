"""Teams of threads: each gets its number and what it was called with, whichever library numba's threads come from."""
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")
import numba
from hypothesis import given
from hypothesis import strategies as st

from npnet.kernels.numba.arrays import LINE
from npnet.kernels.numba.team import claim, divided, parallel, share, threads

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


def _count(done, some, begun, thread, team):
    first, last = claim(begun, done.size, some, thread, team)
    while first < last:
        for job in range(first, last):
            done[job] += 1
        first, last = claim(begun, done.size, some, thread, team)


count = parallel(_count, claims=True)


@given(jobs=st.integers(0, 40), some=st.integers(1, 7), team=st.integers(1, 4))
def test_a_thread_takes_the_jobs_of_its_own_share_first(jobs, some, team):
    begun, of = np.zeros(team, np.int64), [range(*share(jobs, thread, team)) for thread in range(team)]
    mine = [claim(begun, jobs, some, team - 1, team) for _ in range(-(-len(of[-1]) // some))]
    assert [job for first, last in mine for job in range(first, last)] == list(of[-1])
    others = []
    while (piece := claim(begun, jobs, some, team - 1, team)) != (0, 0):
        assert piece[1] - piece[0] <= some
        others += range(*piece)
    assert others == [job for jobs_of in of[:-1] for job in jobs_of]


@pytest.mark.parametrize("some", [1, 7])
def test_every_job_is_done_by_one_thread_whoever_comes_first(some):
    for done in (np.zeros(100_003, np.int64), np.zeros(1, np.int64), np.zeros(0, np.int64)):
        for _ in range(2):  # the second time from the beginning again
            done[:] = 0
            count(done, some)
            assert (done == 1).all()
        _count(done, some, np.zeros(1, np.int64), 0, 1)  # the plain loop
        assert (done == 2).all()


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


COUNTING = """
import re
import numpy as np
from npnet.kernels.numba import pool
x = np.ones((2, 3, 16, 16), np.float32)
pool.average_pool_forward(x, 3, 1, 0, False, np.ones((2, 3, 14, 14), np.float32))
pool.average_pool_forward(x, 3, 2, 0, False, np.ones((2, 3, 8, 8), np.float32))
[one], [two] = (f.write.inspect_llvm().values() for f in (pool._average_forward, pool._average_two_forward))
loops, more = ([part for part in code.split("\\ndefine ") if "NRT_" not in part.split("(")[0] and "cpython" not in part]
               for code in (one, two))
print(len(loops) > 5, sum(len(re.findall("@NRT_(?:in|de)cref", part)) for part in loops + more))
"""


def test_threads_do_not_count_who_uses_an_array(tmp_path):
    """Of average pooling, which gives slices to functions: numba counted each of them."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, text=True, env=environment)
    assert result.stdout.split() == ["True", "0"], result.stderr[-500:]


def _who(out, thread, team):
    out[thread] = team


who = parallel(_who, few=100)


def test_few_numbers_are_for_the_thread_that_calls():
    for size, team in ((100, 1), (101, threads())):
        out = np.zeros(size)
        who(out)
        assert (out[:team] == team).all()
        assert not out[team:].any()


def _number_parts(out, pair, table, factor):
    for i in range(out.size):
        out[i] = factor * (pair[0][i] + pair[1][i] + table[i, 1]) + 1000 * (i == 0) + 10_000 * (i == out.size - 1)


number_parts = divided(_number_parts, few=100)


@given(size=st.integers(1, 700), team=st.integers(1, threads()))
def test_every_thread_gets_a_part_of_every_array(size, team):
    """Also of those in tuples, of some rows of a table; each number is in one part, and parts begin where a line
    does."""
    before = threads()
    numba.set_num_threads(team)
    try:
        out, step = np.full(size, -1), np.arange(size)
        number_parts(out, (step, 2 * step), np.stack([step, 4 * step], axis=1)[:, ::-1][:, ::-1], 10)
    finally:
        numba.set_num_threads(before)
    cuts = {0, size} | (set() if size <= 100 else {size * i // team // LINE * LINE for i in range(team)})
    begins, ends = sorted(cuts)[:-1], np.array(sorted(cuts)[1:]) - 1
    expected = 70 * step
    expected[begins] += 1000
    expected[ends] += 10_000
    np.testing.assert_array_equal(out, expected)


def _number_rows(table, labels):
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            table[i, j] += labels[i] + table.size * 1000


number_rows = divided(_number_rows, few=0)


@given(rows=st.integers(1, 9), columns=st.integers(0, 3))
def test_and_of_a_table_whole_rows(rows, columns):
    table, labels = np.zeros((rows, columns), np.int64), np.arange(rows)
    number_rows(table, labels)
    for thread in range(threads()):
        first, last = share(rows, thread, threads())
        expected = np.arange(first, last)[:, None] + 1000 * (last - first) * columns
        np.testing.assert_array_equal(table[first:last], np.broadcast_to(expected, (last - first, columns)))


def test_a_thread_of_pythons_that_asks_to_be_alone_is_and_no_other():
    from concurrent.futures import ThreadPoolExecutor

    from npnet.kernels import numba as fast

    before = threads()
    with ThreadPoolExecutor(1, initializer=fast.on_one_thread) as alone, ThreadPoolExecutor(1) as other:
        assert alone.submit(threads).result() == 1
        assert other.submit(threads).result() == before
    assert threads() == before
