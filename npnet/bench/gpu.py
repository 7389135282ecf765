"""What a GPU is, and what it can do at best."""
from typing import Any

import numpy as np
from numba import cuda

from .limits import best

CORES = 128
"""Of a multiprocessor: products and sums in float32 that it makes in a cycle."""
HALF = ((6, 0), (7, 0), (7, 2), (7, 5), (8, 0))
"""Compute capabilities of those that have half as many."""


def machine() -> dict[str, Any]:
    """Its name, multiprocessors, clock and driver, in words."""
    device = cuda.get_current_device()
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    major, minor = device.compute_capability
    memory = cuda.current_context().get_memory_info().total / 2**30
    return {"gpu": f"{name}, compute capability {major}.{minor}, {device.MULTIPROCESSOR_COUNT} multiprocessors, "
                   f"{device.CLOCK_RATE / 1e6:.2f} GHz, {memory:.0f} GiB"}


def peak() -> float:
    """GFLOP/s of products and sums in float32, by the device's own cores and clock."""
    device = cuda.get_current_device()
    cores = CORES // 2 if tuple(device.compute_capability) in HALF else CORES
    return float(2 * cores * device.MULTIPROCESSOR_COUNT * device.CLOCK_RATE * 1e-6)


def copying(megabytes: int = 512) -> float:
    """GB/s, read and written, of the driver's own copy on the device."""
    one, two = (cuda.device_array(megabytes * 250_000, np.float32) for _ in range(2))

    def copy() -> None:
        two.copy_to_device(one)
        cuda.synchronize()

    return 2e-9 * megabytes * 1e6 / best(copy)
