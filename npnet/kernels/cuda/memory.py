"""Arrays on the device: making, viewing, copying, adding."""
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda.cudadrv.driver import CudaAPIError
from numpy.typing import NDArray

from npnet.kernels import PACKAGES

from .activation import relu_backward
from .launch import SIMULATED, compiled, device, devices, each, flat, on, place, scalar, stream

OUT_OF_MEMORY, ALREADY = 2, 704  # CUDA's numbers for it, and for access that was given before

Device = Any
"""A device array of Numba's: a shape, a dtype and `reshape`; its elements are for kernels alone."""


OF_KERNELS = 2**26
"""Bytes that kernels take while they run, at most (sums in parts: some tiles for each processor)."""


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Device:
    """Raises MemoryError if it does not fit."""
    try:
        return cuda.device_array(shape, dtype)
    except CudaAPIError as error:
        if error.code != OUT_OF_MEMORY:
            raise
        wanted, free = math.prod(shape) * np.dtype(dtype).itemsize, room()
        raise MemoryError(f"an array of shape (={shape}) takes {wanted / 2**20:,.0f} MiB, and "
                          f"{(free or 0) / 2**20:,.0f} MiB are free on the GPU: take smaller batches") from None


@cache
def try_out() -> None:
    """Raise ImportError if no kernel runs: what CUDA's compiler and driver need they load at the first one only."""
    try:
        x = empty((1,), np.dtype(np.float32))
        fill(x, 1.0)
        to_host(x)
    except Exception as error:  # each of CUDA's libraries has its own
        words = " ".join(str(error).split())[:200]
        raise ImportError(f"backend 'cuda' found a GPU, but no kernel runs on it ({type(error).__name__}: {words}): "
                          f"pip install {PACKAGES['cuda']}") from error


def finish() -> None:
    stream("compute").synchronize()


def room() -> int | None:
    """On the device; what kernels take is not counted. In the simulator nobody says."""
    if SIMULATED:
        return None
    context = cuda.current_context()
    context.memory_manager.deallocations.clear()  # what nobody holds any more Numba gives back later, otherwise
    return max(0, int(context.get_memory_info().free) - OF_KERNELS)


def view(storage: Device, shape: tuple[int, ...]) -> Device:
    return storage[: math.prod(shape)].reshape(*shape)


def to_host(x: Device) -> NDArray[Any]:
    """It waits for all that `x` is made of."""
    compute = stream("compute")
    host: NDArray[Any] = (x if x.is_c_contiguous() else _whole(x)).copy_to_host(stream=compute)
    compute.synchronize()
    return host


def from_host(host: NDArray[Any], x: Device) -> None:
    compute = stream("compute")
    x.copy_to_device(_fitting(host, x), stream=compute)
    compute.synchronize()  # from here on `host` may be changed


def upload(host: NDArray[Any], x: Device) -> None:
    """Over a stream of its own, so that a batch is on its way while the net still learns from the one before (AlexNet
    §4.1, §3.2): into memory that is kept for it, from where it is copied when `x` is no longer in use."""
    lane = _lane(x.size, x.dtype)
    lane.sent.synchronize()
    np.copyto(lane.pinned[: x.size], _fitting(host, x).reshape(-1))
    compute, beside = stream("compute"), stream("upload")
    lane.taken.wait(beside)
    there = lane.there[: x.size]
    there.copy_to_device(lane.pinned[: x.size], stream=beside)
    lane.sent.record(beside)
    lane.sent.wait(compute)
    flat(x).copy_to_device(there, stream=compute)
    lane.taken.record(compute)


@dataclass
class _Lane:
    """How a batch comes: from memory of the host that the device can read while the program goes on ("pinned"), into
    memory of the device.  sent, taken : when it has arrived there, and when it has been copied from there."""

    pinned: NDArray[Any]
    there: Device
    sent: Any
    taken: Any


_lanes: dict[Any, list[_Lane]] = {}


def _lane(count: int, dtype: np.dtype[Any]) -> _Lane:
    """Of two, the one that was used longer ago; larger ones, if `count` numbers do not fit."""
    key = device(), dtype
    lanes = _lanes.setdefault(key, [])
    if not lanes or lanes[0].pinned.size < count:
        stream("upload").synchronize()
        stream("compute").synchronize()
        untimed = {} if SIMULATED else {"timing": False}
        lanes[:] = [_Lane(cuda.pinned_array(count, dtype), empty((count,), dtype), cuda.event(**untimed),
                          cuda.event(**untimed)) for _ in range(2)]
    lanes.reverse()
    return lanes[0]


def _fitting(host: NDArray[Any], x: Device) -> NDArray[Any]:
    """Row-major, in the dtype of `x`."""
    if host.shape != x.shape:
        raise ValueError(f"host of shape (={host.shape}) must be {tuple(x.shape)}")
    return np.ascontiguousarray(host.astype(x.dtype, casting="same_kind", copy=False))


def fill(x: Device, value: float) -> None:
    each(_fill, x.size, flat(x), scalar(x, value))


def add_up(parts: Sequence[Device], rectified: Device | None, y: Device) -> None:
    each(_copy, y.size, flat(parts[0]), flat(y))
    for part in parts[1:]:
        each(_add, y.size, flat(part), flat(y))
    if rectified is not None:
        relu_backward(y, rectified, y)


def channels(x: Device, first: int, count: int) -> Device:
    if SIMULATED:
        return x[:, first : first + count]
    # Numba's own slice looks at every row of the map to see whether it is whole: half a second for one of GoogLeNet's
    from numba.cuda.cudadrv.devicearray import DeviceNDArray  # the simulator has none

    n, _, h, w = x.shape
    there = x.gpu_data.view(first * x.strides[1])
    return DeviceNDArray((n, count, h, w), x.strides, x.dtype, gpu_data=there)


def copy(x: Device, y: Device) -> None:
    if x.is_c_contiguous() and y.is_c_contiguous():
        each(_copy, x.size, flat(x), flat(y))
    else:
        each(_copy_maps, x.size, x, y)


def column(number: int) -> Any:
    """Device number 0 for the first, 1 for the second; where there is only one device, that."""
    from .columns import on_device

    number %= devices()
    for other in range(devices()):
        if other != number:
            sees(number, other)
    return on_device(number)


@cache
def sees(one: int, other: int) -> bool:
    """Has the device `one` the other's memory before it, "peer to peer"? If it can, then from now on."""
    if SIMULATED:
        return True
    with on(other):
        there = cuda.current_context()
    with on(one):
        here = cuda.current_context()
        if not here.can_access_peer(other):
            return False
        try:
            here.enable_peer_access(there.handle)
        except CudaAPIError as error:
            if error.code != ALREADY:
                raise
    return True


def receive(theirs: Device, x: Device) -> None:
    """Between two devices straight from one to the other, where one `sees` the other; else the driver takes it over the
    host."""
    compute = stream("compute")
    x.copy_to_device(theirs, stream=compute)
    compute.synchronize()


def on_one_thread() -> None:
    """A GPU's kernels have no threads of Python's."""


_scratch: dict[Any, Device] = {}
_one_at_a_time = threading.Lock()


@contextmanager
def scratch(count: int, dtype: np.dtype[Any]) -> Iterator[Device]:
    """Memory for kernels that are launched within, the same for all. Threads of Python's, as two columns of a net are,
    may use one device: then no kernel of another's comes between those that have their sums there."""
    with _one_at_a_time:
        key = device(), dtype
        held = _scratch.get(key)
        if held is None or held.size < count:
            _scratch.pop(key, None)
            held = _scratch[key] = empty((count,), dtype)
        yield held


def _whole(x: Device) -> Device:
    y = empty(tuple(x.shape), x.dtype)
    copy(x, y)
    return y


def _fill_loop(x: Any, value: Any) -> None:
    for e in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        x[e] = value


def _copy_loop(x: Any, y: Any) -> None:
    for e in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        y[e] = x[e]


def _add_loop(x: Any, y: Any) -> None:
    for e in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        y[e] += x[e]


def _copy_maps_loop(x: Any, y: Any) -> None:
    """Of which either may be some channels of a larger array."""
    for e in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        n, c, i, j = place(e, x.shape)
        y[n, c, i, j] = x[n, c, i, j]


_fill, _copy, _add, _copy_maps = (compiled(f) for f in (_fill_loop, _copy_loop, _add_loop, _copy_maps_loop))
