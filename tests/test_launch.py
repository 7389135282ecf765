"""Calls of compiled loops that are written down and begun later, several as one."""
import gc

import numpy as np
import pytest

pytest.importorskip("numba")

import numba

from npnet.kernels.numba.launch import Launch, address, starter
from npnet.kernels.numba.prepared import joined, loop, prepared
from npnet.kernels.numba.team import alone, parallel, threads


def _append(log, values, factor):
    """values : a pair."""
    log[0] += 1
    log[int(log[0])] = factor * values[0][-1] + values[1]


append = alone(_append)


def _mark(marks, thread, team):
    marks[thread] += 1


mark = parallel(_mark)


def test_a_call_that_is_written_down_reads_what_is_in_the_arrays_when_it_is_begun():
    log, numbers = np.zeros(9), np.zeros(4, np.float32)
    block = append.block((log, (numbers, 5), 2.0))
    numbers[-1] = 3
    assert not log.any()
    starter()(address(block))
    numbers[-1] = 4
    starter()(address(block))
    np.testing.assert_array_equal(log, [2, 11, 13, 0, 0, 0, 0, 0, 0])


def _sum(out, parts):
    for i in range(len(parts)):
        out[0] += parts[i].sum()


sum_all = alone(_sum)


def test_arguments_of_other_types_and_lengths_have_room():
    """A block as large as the last one is too small for more dimensions, or more in a tuple."""
    words = []
    for parts in ((np.ones(3),), (np.ones((3, 1, 1), np.float32),), (np.ones(2), np.ones(1)), (np.ones(1),) * 7):
        out = np.zeros(1)
        block = sum_all.block((out, parts))
        starter()(address(block))
        sum_all(out, parts)
        assert out[0] == 2 * sum(part.size for part in parts)
        words.append(block.size)
    assert words == sorted(set(words))


def test_several_loops_in_their_order_are_one_call_as_far_as_compiled_code_goes():
    log, seen, marks = np.zeros(9), [], np.zeros(threads(), np.int64)
    one, two, three = (loop(append, log, (np.full(1, float(i)), 0), 1) for i in (1, 2, 3))
    chain = joined([one, loop(mark, marks), two, loop(lambda: seen.append(log.copy())), three, one])
    stopped = chain.begin()
    assert log[0] == 2
    assert [stopped] == list(chain.stops)
    chain.go_on(stopped)
    np.testing.assert_array_equal(log[:5], [4, 1, 2, 3, 1])
    np.testing.assert_array_equal(seen[0][:5], [2, 1, 2, 0, 0])
    assert (marks == 1).all()


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="there is one thread only")
@pytest.mark.parametrize("first", ["compiled", "python"])
def test_with_other_threads_nothing_of_what_was_joined_is_called(first):
    """It may have scratch memory for fewer."""
    log, before = np.zeros(9), numba.get_num_threads()
    loops = [loop(append, log, (np.full(1, 5.0), 0), 1), loop(np.copyto, np.ones(1), np.ones(1))]
    numba.set_num_threads(1)
    try:
        chain = joined(loops if first == "compiled" else loops[::-1])
        numba.set_num_threads(2)
        assert chain.begin() == chain.gate
        assert not log.any()
        numba.set_num_threads(1)
        chain.go_on(chain.begin())
        assert log[1] == 5
    finally:
        numba.set_num_threads(before)


def test_a_prepared_kernel_keeps_the_arrays_that_only_its_loops_know():
    @prepared
    def kernel(out):
        return [loop(append, out, (np.full(1000, 7.0), 1), 1), loop(append, out, (np.full(1000, 8.0), 1), 1)]

    out = np.zeros(9)
    call = kernel.prepare(out)
    for _ in range(3):
        call()
        gc.collect()
        _other = [np.full(1000, -1.0) for _ in range(50)]  # where those lay, if they were given back
    np.testing.assert_array_equal(out, [6, 8, 9, 8, 9, 8, 9, 0, 0])


def test_what_runs_keeps_its_arrays_whoever_lets_go_of_it():
    """The thread that worked it out needs more scratch memory, while another one is at the first of its calls."""
    out, asked, others = np.zeros(9), [], []

    def let_go():
        asked[0].let_go()
        gc.collect()
        others.extend(np.full(1000, -1.0) for _ in range(50))

    def kernel():
        return [loop(let_go), loop(append, out, (np.full(1000, 7.0), 1), 1)]

    asked.append(prepared(kernel).prepare())
    for _ in range(2):
        asked[0]()
    np.testing.assert_array_equal(out[:3], [2, 8, 8])


def test_a_loop_stays_the_plain_function_it_was_made_of():
    assert isinstance(append, Launch)
    assert append.__wrapped__ is _append
    assert append.__name__ == "_append"
    assert append.__doc__ == "values : a pair."
