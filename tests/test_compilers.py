"""Several processes compile what a pass needs, and nobody notices but by the time it takes."""
import io
import os
import pickle
import subprocess
import sys
import threading
from collections import defaultdict, deque
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("numba")

from npnet.kernels.numba import compilers, conv, dense
from npnet.kernels.numba.launch import Launch
from npnet.kernels.numba.prepared import _Prepared, loop, prepared

PROGRAM = """
import os
import numpy as np
from npnet import kernels
from npnet.kernels.numba import compilers
from npnet.kernels.numba.launch import Launch
from npnet.layers import Dense, ReLU, Sequential
x = np.random.default_rng(0).standard_normal((4, 6), np.float32)
results = []
for name in ("numba", "numpy"):
    with kernels.using(name):
        net = Sequential(ReLU(), Dense(6, 5), ReLU(), Dense(5, 3), ReLU())
        net.initialise(0)
        net.backward(net.forward(x))
        results.append([p.grad for p in net.parameters()])
for ours, plain in zip(*results):
    np.testing.assert_allclose(ours, plain, 1e-4, 1e-7)
found = sum(sum(launch.write.stats.cache_hits.values()) for launch in Launch.made.values())
begun = [helper.process for helper in compilers._helpers[os.getpid()]]
print(found, len(begun))
for process in begun:
    process.stdin.close()
    process.wait(60)
"""


def run(folder):
    """How many loops a net found on disk that were not there when it began, and how many helpers it had."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder), "NUMBA_NUM_THREADS": "2"}).stdout.split()


def test_a_helper_compiles_part_of_what_a_pass_needs(tmp_path):
    found, helpers = run(tmp_path)
    assert int(found) >= 2  # one of the way there, one of the way back; all others this process may be faster to take
    assert helpers == "1"
    everything, helpers = run(tmp_path)  # now all is there
    assert int(everything) > int(found)
    assert helpers == "0"


@pytest.fixture
def jobs(monkeypatch):
    """Four that nothing has been compiled for, and which of them this process was asked to."""
    asked = []
    monkeypatch.setattr(Launch, "is_missing", lambda launch, types: True)
    monkeypatch.setattr(Launch, "compile", lambda launch, types: asked.append(types[0]))
    monkeypatch.setattr(compilers, "_helpers", defaultdict(list))
    return SimpleNamespace(all=[(conv.correlate, (i,)) for i in range(4)], asked=asked)


def test_one_thread_has_no_helper(jobs):
    def worked_out():
        yield pytest.fail("nobody need know what the jobs are")

    compilers.compile_all(worked_out(), 0)
    assert jobs.asked == []


def helper(answer=b"\n"):
    """In place of a process: its pipes."""
    return SimpleNamespace(poll=lambda: None, stdin=io.BytesIO(), stdout=io.BytesIO(answer))


def begins(monkeypatch, process):
    monkeypatch.setattr(compilers, "_begin", process)


def gone():
    raise BrokenPipeError


def test_a_helper_that_has_ended_is_begun_again(monkeypatch):
    """And nothing stays open that led to it."""
    program = "input(); print()"
    begins(monkeypatch, lambda: subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    monkeypatch.setattr(compilers.pickle, "dumps", lambda job: b"\n")
    helper, processes = compilers._Helper(), []
    for _ in range(2):
        helper.ask(deque([()]))
        processes.append(helper.process)
        helper.process.wait(60)
    one, two = processes
    assert one is not two
    assert one.stdin.closed
    assert one.stdout.closed
    with two:
        pass


def test_a_helper_that_fails_is_not_begun_again(jobs, monkeypatch):
    begun, left = [], deque(jobs.all)
    begins(monkeypatch, lambda: begun.append(len(left)) or helper(b""))
    process = compilers._Helper()
    process.ask(left)
    assert begun == [3]  # its own was taken before: until it is there, who asked may have done all others
    assert len(left) == 3  # for who asked


@pytest.mark.parametrize("process", [
    gone, lambda: SimpleNamespace(poll=lambda: None, stdin=SimpleNamespace(write=lambda _: gone()))])
def test_without_a_helper_all_are_compiled_here_but_one_at_most(jobs, monkeypatch, process):
    begins(monkeypatch, process)
    compilers.compile_all(jobs.all, 1)
    assert set(jobs.asked) in ({0, 1, 2}, {0, 1, 2, 3})  # the one that it was to have is compiled when it is called
    assert not compilers._one_list.locked()


def test_each_is_compiled_once(jobs, monkeypatch):
    process = helper(b"\n" * 9)
    begins(monkeypatch, lambda: process)
    compilers.compile_all([*jobs.all, *jobs.all], 1)
    process.stdin.seek(0)
    theirs = []
    while process.stdin.tell() < len(process.stdin.getvalue()):
        launch, types = pickle.load(process.stdin)
        assert launch is conv.correlate
        theirs += types
    assert sorted([*jobs.asked, *theirs]) == [0, 1, 2, 3]


def test_an_interrupt_leaves_nothing_to_helpers(jobs, monkeypatch):
    answer, asked = threading.Event(), threading.Event()
    process = helper()
    process.stdout = SimpleNamespace(readline=lambda: answer.wait(10))
    process.stdin = SimpleNamespace(write=lambda job: asked.set(), flush=lambda: None)
    begins(monkeypatch, lambda: process)

    def interrupted(launch, types):
        asked.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(Launch, "compile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compilers.compile_all(jobs.all, 1)
    assert not compilers._one_list.locked()
    asked.clear()
    answer.set()
    with compilers._helpers[os.getpid()][0].asked:  # it has answered, and is asked for nothing more
        assert not asked.is_set()


def test_two_threads_do_not_share_a_helper(jobs, monkeypatch):
    begins(monkeypatch, lambda: pytest.fail("another list is under way"))
    with compilers._one_list:
        compilers.compile_all(jobs.all, 1)
    assert jobs.asked == []


def test_a_helper_answers_each_job_and_ends_with_who_asks(jobs, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"".join(map(pickle.dumps, jobs.all)))))
    compilers.help_others()
    assert jobs.asked == [0, 1, 2, 3]
    assert capsys.readouterr().out == "\n" * 4
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert all(timer.finished.is_set() for timer in timers)  # or they would end this process


def test_a_helper_does_not_wait_forever():
    program = "from npnet.kernels.numba import compilers\ncompilers.PATIENCE = 0.1\ncompilers.help_others()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        assert process.wait(60) == 0  # nobody has closed its input


def test_what_fails_fails_in_its_turn():
    """And what comes before it is done."""
    y = np.zeros(3, np.float32)

    @prepared
    def set_one():
        return [loop(y.fill, 1)]

    @prepared
    def fail():
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        _Prepared.make([set_one.prepare(), fail.prepare()])
    assert (y == 1).all()


def test_types_are_those_that_numba_finds():
    x, w, b, y = (np.zeros(shape, np.float32) for shape in ((3, 7), (5, 7), 5, (3, 5)))
    dense.dense_forward(x, w, b, False, y)
    [[launch, arguments]] = dense.dense_forward.__wrapped__(x, w, b, False, y)
    assert launch.types(arguments) in launch.write.overloads
    assert not launch.is_missing(launch.types(arguments))
