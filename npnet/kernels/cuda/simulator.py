"""What Numba's simulator of a GPU needs to run these kernels: quickly, and without races of its own."""
import math
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numba.cuda.simulator import kernel
from numba.cuda.simulator.kernelapi import FakeCUDAShared

_one_at_a_time = threading.Lock()
_making = threading.Lock()


@contextmanager
def running() -> Iterator[None]:
    """While a kernel runs: the simulator runs one at a time. A GPU says nothing of numbers that overflow, and its
    integers are modulo 2^64."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


class _Thread(kernel.BlockThread):  # type: ignore[misc]
    """Of a block. It says when it waits for the others, and when it ends."""

    def run(self) -> None:
        super().run()
        self._manager.leave(self)

    def syncthreads(self) -> None:
        self._manager.meet()


class _Block(kernel.BlockManager):  # type: ignore[misc]
    """Runs one block after another. Numba's asks every thread in a loop whether it waits, and most of the time nothing
    else was done."""

    def run(self, place: Any, *arguments: Any) -> None:
        self._changed, self._failed = threading.Condition(), None
        self._there, self._waiting, self._meetings = math.prod(self._block_dim), 0, 0
        threads = [_Thread(partial(self._f, *arguments), self, place, thread, self._debug)
                   for thread in np.ndindex(*self._block_dim)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failed:
            error, where = self._failed
            raise error.with_traceback(where)

    def meet(self) -> None:
        """Wait until all threads that have not ended do."""
        with self._changed:
            self._waiting += 1
            meeting = self._meetings
            self._look()
            self._changed.wait_for(lambda: self._meetings > meeting or self._failed)
            if self._failed:
                raise RuntimeError("another thread of the block has failed")

    def leave(self, thread: _Thread) -> None:
        with self._changed:
            self._there -= 1
            self._failed = self._failed or thread.exception
            self._look()

    def _look(self) -> None:
        if self._waiting == self._there or self._failed:
            self._waiting, self._meetings = 0, self._meetings + 1
            self._changed.notify_all()


kernel.BlockManager = _Block


def _shared_array(self: Any, shape: Any, dtype: Any, alignment: int | None = None) -> Any:
    """One array for all threads of a block, known by the line that asks for it. As Numba's, but that two threads that
    ask at the same time get the same one."""
    caller = sys._getframe(1)
    line = caller.f_code.co_filename, caller.f_lineno
    with _making:
        if line not in self._allocations:
            self._allocations[line] = np.empty(shape, dtype)
        return self._allocations[line]


FakeCUDAShared.array = _shared_array
