"""A matrix product on a GPU, from one thread for each number to what npnet runs: the steps of docs/gpu.md.

    python benchmarks/gpu_product.py [SIZE [OUT]]      # 4096, results/bench/gpu/product.json

C = A B, square, in float32. Without a GPU the steps can be followed in Numba's simulator (NUMBA_ENABLE_CUDASIM=1),
where a SIZE of 8 takes some seconds.
"""
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    from npnet.kernels import using

    try:
        with using("cuda"):
            pass
    except ImportError as error:
        print(f"gpu_product.py: {error}", file=sys.stderr)
        sys.exit(2)

import numpy as np
from numba import cuda

from npnet.bench.gpu import copying, machine, peak
from npnet.files import write_json
from npnet.kernels.cuda import dense
from npnet.kernels.cuda.launch import SIMULATED, launch
from npnet.kernels.cuda.memory import empty, finish, from_host, to_host
from npnet.kernels.cuda.product import multiply

SIDE = 2 if SIMULATED else 16
"""Of a block of threads, in the first three steps, and of its tile of C in the first two."""
TALL = 2 if SIMULATED else 8
"""Sums of a thread in the third step, one below the other."""
WIDE, DEPTH, BLOCK = (4, 2, 2) if SIMULATED else (128, 8, 8)
"""Of the fourth: the tile's side, the terms fetched at a time, a thread's sums each way."""


def one_for_each(a, b, c):
    """1. A thread for each number of C."""
    j, i = cuda.grid(2)
    if i < c.shape[0] and j < c.shape[1]:
        total = c.dtype.type(0)
        for k in range(a.shape[1]):
            total += a[i, k] * b[k, j]
        c[i, j] = total


def shared_tiles(a, b, c):
    """2. A block fetches a tile of A and one of B into shared memory; its threads read each number SIDE times there."""
    a_tile = cuda.shared.array((SIDE, SIDE), c.dtype)
    b_tile = cuda.shared.array((SIDE, SIDE), c.dtype)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    j, i = cuda.grid(2)
    total = c.dtype.type(0)
    for first in range(0, a.shape[1], SIDE):
        a_tile[y, x] = a[i, first + x] if i < c.shape[0] and first + x < a.shape[1] else c.dtype.type(0)
        b_tile[y, x] = b[first + y, j] if first + y < a.shape[1] and j < c.shape[1] else c.dtype.type(0)
        cuda.syncthreads()
        for k in range(SIDE):
            total += a_tile[y, k] * b_tile[k, x]
        cuda.syncthreads()
    if i < c.shape[0] and j < c.shape[1]:
        c[i, j] = total


def columns_in_registers(a, b, c):
    """3. A thread makes TALL sums, one below the other: a number of B, once read, is used TALL times."""
    a_tile = cuda.shared.array((SIDE * TALL, SIDE), c.dtype)
    b_tile = cuda.shared.array((SIDE, SIDE), c.dtype)
    sums = cuda.local.array(TALL, c.dtype)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    j, top = cuda.blockIdx.x * SIDE + x, cuda.blockIdx.y * SIDE * TALL
    for t in range(TALL):
        sums[t] = 0
    for first in range(0, a.shape[1], SIDE):
        for t in range(TALL):
            i = top + t * SIDE + y
            a_tile[t * SIDE + y, x] = a[i, first + x] if i < c.shape[0] and first + x < a.shape[1] else c.dtype.type(0)
        b_tile[y, x] = b[first + y, j] if first + y < a.shape[1] and j < c.shape[1] else c.dtype.type(0)
        cuda.syncthreads()
        for k in range(SIDE):
            own = b_tile[k, x]
            for t in range(TALL):
                sums[t] += a_tile[t * SIDE + y, k] * own
        cuda.syncthreads()
    for t in range(TALL):
        i = top + t * SIDE + y
        if i < c.shape[0] and j < c.shape[1]:
            c[i, j] = sums[t]


def blocks_in_registers(a, b, c):
    """4. BLOCK × BLOCK sums a thread: 2 · BLOCK numbers read from shared memory make BLOCK² products."""
    a_tile = cuda.shared.array((DEPTH, WIDE), c.dtype)  # turned, so that a thread's rows lie next to each other
    b_tile = cuda.shared.array((DEPTH, WIDE), c.dtype)
    sums = cuda.local.array((BLOCK, BLOCK), c.dtype)
    own_a = cuda.local.array(BLOCK, c.dtype)
    own_b = cuda.local.array(BLOCK, c.dtype)
    thread, across = cuda.threadIdx.x, WIDE // BLOCK
    x, y = thread % across, thread // across
    left, top, threads = cuda.blockIdx.x * WIDE, cuda.blockIdx.y * WIDE, across * across
    for i in range(BLOCK):
        for j in range(BLOCK):
            sums[i, j] = 0
    for first in range(0, a.shape[1], DEPTH):
        for e in range(thread, WIDE * DEPTH, threads):
            i, k = e // DEPTH, e % DEPTH
            there = top + i < c.shape[0] and first + k < a.shape[1]
            a_tile[k, i] = a[top + i, first + k] if there else c.dtype.type(0)
            k, j = e // WIDE, e % WIDE
            there = first + k < a.shape[1] and left + j < c.shape[1]
            b_tile[k, j] = b[first + k, left + j] if there else c.dtype.type(0)
        cuda.syncthreads()
        for k in range(DEPTH):
            for i in range(BLOCK):
                own_a[i], own_b[i] = a_tile[k, y * BLOCK + i], b_tile[k, x * BLOCK + i]
            for i in range(BLOCK):
                for j in range(BLOCK):
                    sums[i, j] += own_a[i] * own_b[j]
        cuda.syncthreads()
    for i in range(BLOCK):
        for j in range(BLOCK):
            if top + y * BLOCK + i < c.shape[0] and left + x * BLOCK + j < c.shape[1]:
                c[top + y * BLOCK + i, left + x * BLOCK + j] = sums[i, j]


def steps():
    """(name, call of a, b, c), from the plainest to npnet's."""
    def over(kernel, down, across, threads):
        made = cuda.jit(kernel)
        return lambda a, b, c: launch(made, (-(-c.shape[1] // across), -(-c.shape[0] // down)), threads, a, b, c)

    yield "a thread for each number", over(one_for_each, SIDE, SIDE, (SIDE, SIDE))
    yield "tiles in shared memory", over(shared_tiles, SIDE, SIDE, (SIDE, SIDE))
    yield "columns in registers", over(columns_in_registers, SIDE * TALL, SIDE, (SIDE, SIDE))
    yield "blocks in registers", over(blocks_in_registers, WIDE, WIDE, (WIDE // BLOCK) ** 2)
    yield "as it is: two buffers, four at a time", lambda a, b, c: multiply(
        dense._data, a, b, b, c, (0,), (a.shape[0], b.shape[1], a.shape[1]))


def main(size="4096", out="results/bench/gpu/product.json"):
    side = int(size)
    rng = np.random.default_rng(0)
    hosts = [rng.standard_normal((side, side), np.float32) for _ in range(2)]
    a, b, c = (empty((side, side), np.dtype(np.float32)) for _ in range(3))
    for host, array in zip(hosts, (a, b), strict=True):
        from_host(host, array)
    exact, found = np.matmul(*hosts), {}
    for name, step in steps():
        seconds = []
        for _ in range(2 if SIMULATED else 6):
            began = time.perf_counter()
            step(a, b, c)
            finish()
            seconds.append(time.perf_counter() - began)
        np.testing.assert_allclose(to_host(c), exact, rtol=0, atol=1e-4 * np.abs(exact).max())
        found[name] = 2e-9 * side**3 / min(seconds[1:])
        print(f"{name:40s}" + ("right" if SIMULATED else f"{found[name]:10,.0f} GFLOP/s"), flush=True)
    if not SIMULATED:
        facts = {**machine(), "peak": peak(), "copy": copying(), "size": side, "unit": "GFLOP/s"}
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(out), {**facts, "steps": found})
        print(f"{facts['gpu']}: peak {facts['peak']:,.0f} GFLOP/s")


if __name__ == "__main__":
    main(*sys.argv[1:])
