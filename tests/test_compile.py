"""Teams of threads: each gets its number and what it was called with, whichever library numba's threads come from."""
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")
import numba

from npnet.kernels.numba import compile as compiling
from npnet.kernels.numba.compile import _Files, claim, first_job, parallel, serial, share, threads

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


def _count(done, some, next_job, thread, team):
    first = claim(next_job, some)
    while first < done.size:
        for job in range(first, min(done.size, first + some)):
            done[job] += 1
        first = claim(next_job, some)


count = parallel(_count)


@pytest.mark.parametrize("some", [1, 7])
def test_every_job_is_done_by_one_thread_whoever_comes_first(some):
    for done in (np.zeros(100_003, np.int64), np.zeros(1, np.int64), np.zeros(0, np.int64)):
        for _ in range(2):  # the second time from the beginning again
            done[:] = 0
            count(done, some, first_job())
            assert (done == 1).all()
        _count(done, some, first_job(), 0, 1)  # the plain loop
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


@pytest.mark.parametrize("moment", ["_save_data", "_save_index"])
@pytest.mark.parametrize("files", [_Files])  # of numba's own, IndexDataCacheFile, float32 finds "code 64"
def test_two_processes_that_compile_at_once_do_not_find_each_others_code(tmp_path, files, moment):
    """One has read the index, which is empty; before it goes on, another one begins; then they end in turn."""
    class First(files):
        def _load_index(self):
            return {}

    def go_on(self, *arguments):
        First(tmp_path, "f", "stamp").save("float32", "code 32")
        getattr(files, moment)(self, *arguments)

    type("Second", (files,), {moment: go_on})(tmp_path, "f", "stamp").save("float64", "code 64")
    found = files(tmp_path, "f", "stamp")
    assert found.load("float32") in ("code 32", None)
    assert found.load("float64") in ("code 64", None)


def test_what_an_older_source_was_compiled_to_is_not_found(tmp_path):
    """Also by a process that looks while another one saves."""
    _Files(tmp_path, "f", "old").save("float32", "old code")
    seen = []

    class Looked(_Files):
        def _save_index(self, overloads):
            seen.append(_Files(tmp_path, "f", "new").load("float32"))
            super()._save_index(overloads)
            seen.append(_Files(tmp_path, "f", "new").load("float32"))

        def _save_data(self, name, data):
            seen.append(_Files(tmp_path, "f", "new").load("float32"))
            super()._save_data(name, data)

    Looked(tmp_path, "f", "new").save("float32", "new code")
    assert seen == [None, None, "new code"]


def test_kernels_are_kept_so():
    from npnet.kernels.numba import conv

    for kernel in (conv.correlate, conv.pack._for_python):
        assert type(kernel._cache._cache_file) is _Files


def _twice(x):
    for i in range(x.size):
        x[i] += x[i]


twice = serial(_twice)


def _eight_times(x, thread, team):
    first, last = share(x.size, thread, team)
    for _ in range(3):
        twice(x[first:last])


eight_times = parallel(_eight_times)


def test_what_compiled_code_calls_becomes_part_of_it():
    """Machine code of it alone is made where Python calls it, and not before."""
    x = np.arange(7.0)
    eight_times(x)
    np.testing.assert_array_equal(x, 8 * np.arange(7.0))
    assert len(twice.signatures) <= 1  # none, if the cache had what calls it
    assert not twice._for_python.signatures
    twice(x)
    np.testing.assert_array_equal(x, 16 * np.arange(7.0))
    assert len(twice._for_python.signatures) == 1


def test_what_compiled_code_calls_can_be_sent_to_another_process():
    """Numba's functions can; here by the name of the loop, in a process that has made none of them."""
    code = ("import pickle, sys\nimport numpy as np\nfrom npnet.kernels.numba import compile\n"
            "assert pickle.loads(bytes.fromhex(sys.argv[1]))(np.ones(5, np.float32)) == 5")
    result = subprocess.run([sys.executable, "-c", code, pickle.dumps(compiling.total).hex()],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-500:]


COUNTING = """
import re
import numpy as np
from npnet.kernels.numba import pool
x, y = np.ones((2, 3, 16, 16), np.float32), np.ones((2, 3, 8, 8), np.float32)
pool.average_pool_forward(x, 3, 2, 0, False, y)
[code] = pool._average_forward.inspect_llvm().values()
loops = [part for part in code.split("\\ndefine ") if "NRT_" not in part.split("(")[0] and "cpython" not in part]
print(len(loops) > 5, sum(len(re.findall("@NRT_(?:in|de)cref", part)) for part in loops))
"""


def test_threads_do_not_count_who_uses_an_array(tmp_path):
    """Of average pooling, which gives slices to functions: numba counted each of them."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, text=True, env=environment)
    assert result.stdout.split() == ["True", "0"], result.stderr[-500:]


def test_few_numbers_are_for_the_thread_that_calls(monkeypatch):
    """And whatever happens, all threads are back for the next."""
    team, seen = threads(), []
    if team == 1:
        pytest.skip("there is one thread only")

    def kept(loop, **_):
        def fast(y):
            seen.append(threads())
            loop(y)

        return fast

    def loop(y):
        if y[0] < 0:
            raise ArithmeticError

    monkeypatch.setattr(compiling, "_kept", kept)
    run = compiling.compiled(loop)
    run(np.ones(compiling.FEW))
    run(np.ones(compiling.FEW + 1))
    assert seen == [1, team]
    with pytest.raises(ArithmeticError):
        run(-np.ones(3))
    assert threads() == team
