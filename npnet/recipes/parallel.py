"""Several trainings at the same time, each in a process of its own with its share of the cores."""
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from npnet.errors import UserError
from npnet.kernels import active
from npnet.processes import uninterrupted
from npnet.train import Interrupted

# Not concurrent.futures: its pool may not see the death of the worker that it started last, and then waits for ever
# (Python 3.11: the list of those that it watches was made before). Here each death is the end of a pipe.


def each(train: Callable[[Any], Any], jobs: Sequence[Any], number: int) -> Generator[tuple[Any, Any]]:
    """(job, train(job)) of each job, as they end, `number` at a time; `number` ≤ 1: here, one after the other.

    Whatever ends one of them too early, Ctrl-C, a full disk, or the generator's close, ends them all, after their step
    and with their checkpoints. `train` and the jobs must be picklable.

    Raises UserError if a process was killed, and whatever `train` raises.
    """
    if number <= 1:
        for job in jobs:
            yield job, train(job)
        return
    active()  # a backend that cannot be had is said once, here
    waiting, running = list(jobs), dict[Connection, tuple[Any, BaseProcess]]()
    threads = max(1, (os.cpu_count() or 1) // number)
    try:
        while waiting or running:
            while waiting and len(running) < number:
                pipe, process = _start(train, waiting[0], threads)
                running[pipe] = waiting.pop(0), process
            ended = set(wait(list(running)))
            for pipe in [pipe for pipe in running if pipe in ended]:
                result = _receive(pipe, running[pipe][1])
                job, _ = running.pop(pipe)
                yield job, result
    except KeyboardInterrupt:
        raise Interrupted("stopped, each run with its checkpoint: go on with --resume") from None
    finally:
        for _, process in running.values():
            process.terminate()  # SIGTERM: to a `Trainer` what Ctrl-C is
        for pipe, (_, process) in running.items():
            process.join()
            pipe.close()


def _start(train: Callable[[Any], Any], job: Any, threads: int) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(train, job, theirs))
    with _threads(threads), uninterrupted():
        process.start()
    theirs.close()
    return ours, process


def _receive(pipe: Connection, process: BaseProcess) -> Any:
    """What the worker sent. Raises it, if it is what ended the worker."""
    try:
        result = pipe.recv()
    except EOFError:
        process.join()
        raise UserError("a worker process was killed, perhaps for want of memory: run fewer at the same time, and go "
                        "on with --resume") from None
    process.join()
    pipe.close()
    if isinstance(result, Exception):
        raise result
    return result


def _work(train: Callable[[Any], Any], job: Any, pipe: Connection) -> None:
    """The worker process."""
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        result = train(job)
    except Exception as error:
        if not isinstance(error, UserError):
            error.add_note(traceback.format_exc())  # where it was
        result = error
    try:
        pipe.send(result)
    except BrokenPipeError:  # nobody waits for it any longer
        sys.exit(2)


def _stop_with_parent() -> None:
    """When the process that started this one is killed, end after the step, with a checkpoint."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Processes started here compute with so many threads."""
    before = os.environ.get("NUMBA_NUM_THREADS")
    os.environ["NUMBA_NUM_THREADS"] = str(number)
    try:
        yield
    finally:
        del os.environ["NUMBA_NUM_THREADS"]
        if before is not None:
            os.environ["NUMBA_NUM_THREADS"] = before
