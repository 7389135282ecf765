"""Does the cost grow with the work, and nothing else? Batch 16 to 256, one thread and two, a thousand steps.

    python benchmarks/scaling.py [OUT]      # OUT: results/bench/scaling.json
"""
import json
import os
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.pop("OPENBLAS_CORETYPE", None)

import numba
import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from npnet.bench import limits
from npnet.bench.run import at_work
from npnet.bench.worker import Npnet, memory

BATCHES, STEPS = (16, 32, 64, 128, 256), 1000


def seconds(call, runs):
    """The median."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def by_batch(most):
    """Microseconds for an image, by the images in a batch."""
    sides = {batch: Npnet("cifar_18pct", batch, most) for batch in BATCHES}
    turns = {batch: [] for batch in BATCHES}
    for _ in tqdm(range(9), desc="batches", unit=" rounds"):
        for batch, side in sides.items():
            side.step()
            turns[batch].append(seconds(side.step, max(3, 512 // batch)) / batch)
    return {batch: round(1e6 * float(np.median(times)), 1) for batch, times in turns.items()}


def by_threads(model, batch, most):
    """How many times as fast all threads are as one; and of the machine itself, in the same turns, the matrix product
    and the copy: cores share their power and their memory, with each other and perhaps with strangers."""
    side = Npnet(model, batch, most)
    turns = {name: {1: [], most: []} for name in ("step", "matrix product", "copy")}
    for _ in tqdm(range(5), desc=f"threads, {model}", unit=" rounds"):
        for number in (1, most):
            numba.set_num_threads(number)
            side.step()
            turns["step"][number].append(1 / seconds(side.step, 3))
            with threadpool_limits(number, "blas"):
                turns["matrix product"][number].append(limits.matrix_product())
            turns["copy"][number].append(limits.copying(number))
    return {name: round(float(np.median(of[most]) / np.median(of[1])), 2) for name, of in turns.items()}


def side_by_side(model, batch, most):
    """How many times as much as one process so many do at the same time that share nothing, of one thread each: more
    than that the machine does not give, whatever a net's threads do."""
    def step(side):
        return float(np.median(side.ask("step 4")["seconds"]))

    alone, together = [], []
    with at_work(["npnet"] * most, model, batch, 1, "cpu") as sides, ThreadPoolExecutor(most) as at_once:
        for turn in tqdm(range(6), desc=f"side by side, {model}", unit=" rounds"):
            if turn == 1:  # the first is to warm up
                alone, together = [], []
            alone += map(step, sides)
            together += at_once.map(step, sides)
    return round(most * float(np.median(alone)) / float(np.median(together)), 2)


def over_time(most):
    """Bytes that the process and Python's objects hold more after so many steps, and that a step takes for a while."""
    side = Npnet("cifar_18pct", 32, most)
    for _ in range(5):
        side.step()
    tracemalloc.start()
    side.step()
    before, held = memory(), tracemalloc.get_traced_memory()[0]
    for _ in tqdm(range(STEPS), desc="memory", unit=" steps"):
        side.step()
    more = {"process": memory() - before, "objects": tracemalloc.get_traced_memory()[0] - held}
    tracemalloc.reset_peak()
    start = tracemalloc.get_traced_memory()[0]
    side.step()
    taken = tracemalloc.get_traced_memory()[1] - start
    return {f"more after {STEPS} steps": more, "taken and given back in a step": taken}


def main(out=None):
    most = numba.get_num_threads()
    result = {**limits.machine(), "cifar_18pct, microseconds per image": by_batch(most)}
    for model, batch in (("cifar_18pct", 128), ("alexnet", 128), ("googlenet", 32)):
        result[f"{model}, {most} threads against one"] = by_threads(model, batch, most)
        result[f"{model}, {most} processes against one"] = side_by_side(model, batch, most)
    result["bytes"] = over_time(most)
    page = json.dumps(result, indent=1)
    print(page)
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(page + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
