"""Sums over many numbers by the threads of a block, always in the same order."""
from typing import Any

from numba import cuda

from .launch import SIMULATED, compiled, inlined, split

SUM_THREADS = 4 if SIMULATED else 256
"""Of a block that adds up; a power of 2. Each thread adds up what is its own; then half of the threads add the others'
sums to theirs, a quarter those, and so on."""


@inlined
def add_up_block(shared: Any, thread: int) -> None:
    """shared[0] ← the sum of shared, which holds a number of each thread. All threads of the block must call it."""
    half = SUM_THREADS // 2
    while half:
        cuda.syncthreads()
        if thread < half:
            shared[thread] += shared[thread + half]
        half //= 2
    cuda.syncthreads()


@inlined
def largest_of_block(shared: Any, thread: int) -> None:
    """Likewise, shared[0] ← the largest; NaN if any is."""
    half = SUM_THREADS // 2
    while half:
        cuda.syncthreads()
        if thread < half:
            shared[thread] = larger(shared[thread], shared[thread + half])
        half //= 2
    cuda.syncthreads()


@inlined
def larger(a: Any, b: Any) -> Any:
    """NaN if either is."""
    return a if a >= b or a != a else b


def _sums_of_maps(x: Any, sums: Any) -> None:
    """sums[c] = Σ x[n, c, i, j], a block for each channel."""
    shared = cuda.shared.array(SUM_THREADS, x.dtype)
    images, _, height, width = x.shape
    c, thread = cuda.blockIdx.x, cuda.threadIdx.x
    total = x.dtype.type(0)
    for e in range(thread, images * height * width, SUM_THREADS):
        rest, j = split(e, width)
        n, i = split(rest, height)
        total += x[n, c, i, j]
    shared[thread] = total
    add_up_block(shared, thread)
    if thread == 0:
        sums[c] = shared[0]


def _sums_of_columns(x: Any, sums: Any) -> None:
    """sums[c] = Σ x[n, c], a thread for each column."""
    for c in range(cuda.grid(1), x.shape[1], cuda.gridsize(1)):
        total = x[0, c]
        for n in range(1, x.shape[0]):
            total += x[n, c]
        sums[c] = total


sums_of_maps, sums_of_columns = compiled(_sums_of_maps), compiled(_sums_of_columns)
