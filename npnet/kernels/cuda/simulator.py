"""What Numba's simulator of a GPU needs to run these kernels: quickly, and without races of its own."""
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba.cuda.simulator.kernelapi import FakeCUDAShared

_one_at_a_time = threading.Lock()
_making = threading.Lock()


@contextmanager
def running() -> Iterator[None]:
    """While a kernel runs. The simulator runs one at a time, and asks in a loop which of its threads wait: the sooner
    Python lets the others run, the better (five times as fast as with Python's usual 5 ms). A GPU says nothing of
    numbers that overflow, and its integers are modulo 2^64."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            yield
        finally:
            sys.setswitchinterval(interval)


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
