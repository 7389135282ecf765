"""Launching kernels, on a GPU or in Numba's simulator of one.

The simulator (``NUMBA_ENABLE_CUDASIM=1``) runs every thread of a block as a thread of Python's, block after block: a
kernel can be followed there with a debugger or with `print`. It is slow, so blocks and grids are small there; kernels
are written for blocks and grids of any size.
"""
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numba import config, cuda, int64, uint32

from npnet.kernels import PACKAGES

if find_spec("numba_cuda") is None:  # Numba's own target is another, no longer kept
    raise ImportError("No module named 'numba_cuda'")

Kernel = Any

SIMULATED = bool(config.ENABLE_CUDASIM)

config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # of fewer than 128 blocks; layers of small nets have no more to do

THREADS = 8 if SIMULATED else 256
"""Of a block, where nothing else is said. A power of 2."""

MOST = 2**32 - 1
"""Elements of an array: places are told apart by divisions of 32 bits, which take a fraction of those of 64."""


def check() -> None:
    """Raise ImportError if there is nothing to run on: one line that says what is missing, and what to do."""
    error: Any
    try:
        if SIMULATED or cuda.is_available():
            return
        error, how = cuda.cuda_error(), ""
    except Exception as missing:  # of a library that the driver comes without
        error, how = None, f" ({type(missing).__name__})"
    if error is None:  # the driver is there
        raise ImportError(f"backend 'cuda' needs CUDA's compiler, and found none{how}: pip install {PACKAGES['cuda']}")
    why = " ".join(str(getattr(error, "msg", None) or error).split()).rstrip(".: ")
    raise ImportError(f"backend 'cuda' needs an NVIDIA GPU and its driver ({why}): nvidia-smi shows whether there is "
                      f"one; NUMBA_ENABLE_CUDASIM=1 simulates one, slowly")


def inlined(function: Callable[..., Any]) -> Any:
    """Part of kernels, which call it."""
    options = {} if SIMULATED else {"forceinline": True}
    return cuda.jit(device=True, **options)(function)


def compiled(loop: Callable[..., Any]) -> Kernel:
    """A kernel: what one thread does. It is compiled at its first launch with arguments of new types."""
    return cuda.jit(loop) if SIMULATED else cuda.jit(loop, lto=False)  # nothing is linked in; it would compile twice


def launch(
    kernel: Kernel, blocks: int | tuple[int, ...], threads: int | tuple[int, ...], *arguments: Any
) -> None:
    """So many blocks of so many threads, behind what was launched before."""
    if not SIMULATED:
        kernel[blocks, threads, stream("compute")](*arguments)
        return
    from .simulator import running

    with running():
        kernel[blocks, threads](*arguments)


_simulated = threading.local()
_one_device_at_a_time = threading.RLock()
"""While a kernel runs, the simulator puts what only kernels know in place of ``cuda`` in the kernel's module."""


def device() -> int:
    """Number of the device that the calling thread uses."""
    return getattr(_simulated, "device", 0) if SIMULATED else int(cuda.get_current_device().id)


def devices() -> int:
    """How many there are. The simulator has as many as are asked for, and one memory."""
    return 2 if SIMULATED else len(cuda.gpus)


@contextmanager
def on(number: int) -> Iterator[None]:
    """Within, the calling thread uses that device."""
    if not SIMULATED:
        with cuda.gpus[number]:
            yield
        return
    with _one_device_at_a_time:
        before, _simulated.device = device(), number
        try:
            yield
        finally:
            _simulated.device = before


def stream(name: str) -> Any:
    """What runs on a device's stream "compute" runs one after the other; beside it, on "upload", batches come."""
    return _stream(name, device())


@cache
def _stream(name: str, device: int) -> Any:
    return cuda.stream()


def each(kernel: Kernel, count: int, *arguments: Any) -> None:
    """Launches a kernel for `count` elements, as many threads as the device can hold at a time: each takes element
    ``cuda.grid(1)`` and from there every ``cuda.gridsize(1)``-th, so that neighbours read neighbouring numbers."""
    if count > MOST:
        raise ValueError(f"count (={count}) must be at most {MOST}: take smaller batches")
    if count:
        launch(kernel, min(-(-count // THREADS), _most_blocks()), THREADS, *arguments)


def processors() -> int:
    """Multiprocessors of the device: so many blocks run at a time, at least."""
    return 1 if SIMULATED else _processors(device())


@cache
def _processors(device: int) -> int:
    return int(cuda.gpus[device].MULTIPROCESSOR_COUNT)


def _most_blocks() -> int:
    return 3 if SIMULATED else 8 * processors()


def flat(x: Any) -> Any:
    """The elements of a row-major array in one row."""
    return x if x.ndim == 1 else x.reshape(x.size)


def scalar(x: Any, value: float) -> Any:
    """`value` in the dtype of the array x. A kernel that is given Python's floats computes in float64, of which a GPU
    makes a half to a sixty-fourth as many in a second."""
    return np.dtype(x.dtype).type(value)


@inlined
def split(n: int, by: int) -> Any:
    """n // by and n % by, neither negative."""
    return int64(uint32(n) // uint32(by)), int64(uint32(n) % uint32(by))


@inlined
def place(e: int, shape: Any) -> Any:
    """Where element e, counted in row-major order, of an array of four dimensions is."""
    rest, j = split(e, shape[3])
    rest, i = split(rest, shape[2])
    n, c = split(rest, shape[1])
    return n, c, i, j
