"""Training speed of the CIFAR-10 nets: images per second of whole steps (forward, loss, backward, update).

    python benchmarks/training.py [MODEL ...]

Prints the median of seven steps after two that are not counted, with the BLAS core type and the number of threads, and
for each net the share of the best matrix product that this process reaches.
"""
import os
import sys
import time
from collections.abc import Callable

forced = os.environ.pop("OPENBLAS_CORETYPE", None)  # before BLAS is loaded: a forced core type is not this machine

import numpy as np  # noqa: E402

from npnet import doctor, models  # noqa: E402
from npnet.kernels import active_name  # noqa: E402
from npnet.layers import SoftmaxCrossEntropy  # noqa: E402
from npnet.train import SGD  # noqa: E402

BATCH = 128


def median(call: Callable[[], object], runs: int = 7, before: int = 2) -> float:
    """Seconds."""
    times = []
    for run in range(before + runs):
        began = time.perf_counter()
        call()
        if run >= before:
            times.append(time.perf_counter() - began)
    return float(np.median(times))


def step(name: str) -> Callable[[], None]:
    """A whole training step of the model on random images."""
    net, loss = models.build(name), SoftmaxCrossEntropy()
    sgd = SGD(net.parameters(), 0.0001)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, *models.INPUTS[name]), np.float32) * 60
    labels = rng.integers(0, 10, BATCH)

    def run() -> None:
        loss.forward(net.forward(x), labels)
        net.backward_parameters(loss.backward())
        sgd.step()

    return run


def main(names: list[str]) -> None:
    for _, what, how in doctor.report():
        if what in ("npnet", "backend", "BLAS"):
            print(f"{what:10s} {how}")
    a = np.random.default_rng(0).standard_normal((2048, 2048), np.float32)
    best = 2 * 2048**3 / median(lambda: a @ a)
    print(f"{'product':10s} {best / 1e9:.0f} GFLOP/s (NumPy, 2048 × 2048)\n")
    print(f"{'model':16s} {'ms a step':>10s} {'images/s':>10s} {'GFLOP/s':>9s} {'of product':>11s}   (batch {BATCH}, "
          f"{active_name()})")
    for name in names or list(models.MODELS):
        net = models.build(name)
        flops = 6 * net.cost(models.INPUTS[name]).macs * BATCH  # forward, and twice as much backward
        seconds = median(step(name))
        print(f"{name:16s} {seconds * 1e3:10.1f} {BATCH / seconds:10,.0f} {flops / seconds / 1e9:9.0f} "
              f"{flops / seconds / best:11.0%}")


if __name__ == "__main__":
    main(sys.argv[1:])
