"""Several trainings at the same time: what ends one ends all, each with its checkpoint, and nothing waits for ever."""
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from npnet import kernels
from npnet.errors import UserError
from npnet.files import load_arrays
from npnet.recipes import figure1, parallel
from npnet.train import Interrupted, checkpoint, metrics


def job(folder, seed):
    """A training that would take an hour."""
    return figure1.Job("relu", 0.001, seed, 100_000, 0.0, "shapes", 130, folder / str(seed), False, False)


def when_two_train(folder, action):
    def wait():
        end = time.monotonic() + 200
        while time.monotonic() < end and not all((folder / str(s) / metrics.NAME).exists() and
                                                 metrics.read(folder / str(s)) for s in (0, 1)):
            time.sleep(0.05)
        action()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def interruptible():
    """A process in the background of a script ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def train(jobs):
    return dict(parallel.each(figure1.train_one, jobs, 2))


def test_ctrl_c_stops_all_workers_with_their_checkpoints_and_begins_no_other(tmp_path, interruptible):
    thread = when_two_train(tmp_path, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match="go on with --resume"):
        train([job(tmp_path, seed) for seed in range(6)])
    thread.join()
    assert multiprocessing.active_children() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]
    for seed in (0, 1):
        assert (tmp_path / str(seed) / checkpoint.NAME).exists()


@pytest.mark.parametrize("which", [0, 1])
def test_a_killed_worker_is_one_line_that_says_what_to_do(tmp_path, which):
    def kill():
        sorted(multiprocessing.active_children(), key=lambda process: process.pid)[which].kill()

    thread = when_two_train(tmp_path, kill)
    with pytest.raises(UserError, match="a worker process was killed, perhaps for want of memory"):
        train([job(tmp_path, seed) for seed in range(2)])
    thread.join()
    assert multiprocessing.active_children() == []
    killed, stopped = sorted(load_arrays(path)[1]["step"] for path in tmp_path.glob(f"*/{checkpoint.NAME}"))
    assert killed == 0
    assert stopped > 0, "the other one was asked to stop, and wrote a checkpoint"


def test_workers_end_with_a_killed_parent(tmp_path):
    program = f"""
from pathlib import Path
from npnet.recipes import figure1, parallel
if __name__ == "__main__":
    folder = Path({str(tmp_path)!r})
    jobs = [figure1.Job("relu", 0.001, seed, 100_000, 0.0, "shapes", 130, folder / str(seed), False, False)
            for seed in range(2)]
    list(parallel.each(figure1.train_one, jobs, 2))
"""
    (tmp_path / "main.py").write_text(program)
    process = subprocess.Popen([sys.executable, tmp_path / "main.py"], stderr=subprocess.PIPE, text=True)
    when_two_train(tmp_path, process.kill).join()
    _, complaints = process.communicate(timeout=60)  # until the last of them has closed it
    assert complaints == ""
    assert len(list(tmp_path.glob(f"*/{checkpoint.NAME}"))) == 2


def double(x):
    if x == 3:
        raise UserError("three is too many")
    if x == 4:
        raise ZeroDivisionError("four")
    return 2 * x


def test_results_come_with_their_jobs():
    before = os.environ.get("NUMBA_NUM_THREADS")
    for number in (1, 2, 8):
        assert dict(parallel.each(double, [0, 1, 2], number)) == {0: 0, 1: 2, 2: 4}
    assert os.environ.get("NUMBA_NUM_THREADS") == before
    assert list(parallel.each(double, [], 2)) == []


@pytest.mark.parametrize("number", [1, 2])
def test_what_is_the_users_to_mend_is_told_as_it_was_there(number):
    with pytest.raises(UserError, match=r"^three is too many$"):
        list(parallel.each(double, [3, 5], number))
    assert multiprocessing.active_children() == []


def test_other_errors_come_as_they_were_with_where_they_were(capfd):
    with pytest.raises(ZeroDivisionError, match="four") as raised:
        list(parallel.each(double, [4], 2))
    assert "in double" in raised.value.__notes__[0]
    assert capfd.readouterr() == ("", "")


def test_a_backend_that_cannot_be_had_is_said_once(capfd, monkeypatch):
    monkeypatch.setattr(kernels, "_active", None)
    monkeypatch.setenv("NPNET_BACKEND", "abacus")
    with pytest.raises(ValueError, match=r"backend \(='abacus'\)"):
        list(parallel.each(double, [0], 2))
    assert capfd.readouterr() == ("", "")


def test_who_wants_no_more_results_stops_the_workers(tmp_path):
    ends = parallel.each(figure1.train_one, [figure1.Job(
        "relu", 0.001, 0, 1, 0.0, "shapes", 130, tmp_path / "short", False, False), job(tmp_path, 0)], 2)
    next(ends)
    ends.close()
    assert multiprocessing.active_children() == []
