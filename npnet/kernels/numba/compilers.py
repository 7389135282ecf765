"""Loops compiled by several processes at a time: this one, and helpers that keep on disk what they make.

A net's first step is nearly all compilation. Numba compiles one function at a time, so of several cores it uses one.
But which loops a pass will need is known before it begins (`prepared`): they go on a list, from which all processes
take, and are in numba's cache when they are called. With one helper, on two cores, AlexNet's first step takes 30 s in
place of 46, cifar_18pct's 31 in place of 55.

A helper reads jobs, pickled, and answers each with a line. It ends when nobody has asked for a while, or when who asked
is gone.
"""
import os
import pickle
import subprocess
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from .launch import Launch, starter_of_several

Job = tuple[Launch, tuple[Any, ...]]
"""A loop, and the types that it is to be compiled for."""

MOST = 3  # helpers: each takes some 0.3 GB, and the longest job is a fifth of all those of a pass
PATIENCE = 10.0  # seconds that a helper waits for more to do


class _Helper:
    """A process that compiles; begun when there is something to do, and again if it has ended."""

    def __init__(self) -> None:
        self.process: Any = None
        self.asked = threading.Lock()

    def ask(self, jobs: deque[Job]) -> None:
        """Has it do one after another while there are some, the last first; and one at least, so it takes that before a
        process is begun."""
        with self.asked, suppress(OSError, IndexError):  # gone, as its job may be: who needs the loop compiles it
            while True:
                job = jobs.pop()
                process = self._running()
                process.stdin.write(pickle.dumps(job))
                process.stdin.flush()
                if not process.stdout.readline():  # it ended: another would, too
                    return

    def _running(self) -> Any:
        if self.process is not None and self.process.poll() is not None:
            ended, self.process = self.process, None
            ended.communicate()  # closes what led to it
        if self.process is None:
            self.process = _begin()
        return self.process


def _begin() -> Any:
    """In a session of its own, so that an interrupt from the keyboard is not for it, and with this one's path."""
    return subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import help_others; help_others()"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


_helpers: defaultdict[int, list[_Helper]] = defaultdict(list)  # of each process: a fork has none yet
_one_list = threading.Lock()


def compile_all(jobs: Iterable[Job], helpers: int) -> None:
    """Of these what is neither compiled nor on disk; nothing, if there is no disk or no helper. Whatever fails here,
    fails again where the loop is called."""
    if helpers < 1 or not sys.executable:  # then nobody need work out what the jobs are
        return
    left = deque(job for job in dict.fromkeys(jobs) if job[0].is_missing(job[1]))
    if len(left) < 2 or not _one_list.acquire(blocking=False):
        return
    try:
        mine = _helpers[os.getpid()]
        while len(mine) < min(MOST, helpers):
            mine.append(_Helper())
        asking = [threading.Thread(target=helper.ask, args=(left,), daemon=True) for helper in mine]
        for thread in asking:
            thread.start()
        starter_of_several()  # what begins them has to be compiled as well, 1 to 2 s
        while left:
            with suppress(Exception):
                launch, types = left.popleft()
                launch.compile(types)
        for thread in asking:
            thread.join()
    finally:
        left.clear()
        _one_list.release()


def help_others() -> None:
    """What a helper does."""
    while True:
        patience = threading.Timer(PATIENCE, os._exit, (0,))
        patience.daemon = True
        patience.start()
        try:
            launch, types = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        finally:
            patience.cancel()
        with suppress(Exception):
            launch.compile(types)
        print(flush=True)
