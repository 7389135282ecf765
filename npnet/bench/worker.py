"""A process that makes a step when it is told to: ``python -m npnet.bench.worker SIDE MODEL BATCH THREADS DEVICE``.

It reads commands from its input, a line each, and answers each with a line of JSON.
"""
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from npnet import models


def images(model: str, batch: int) -> tuple[Any, Any]:
    """Random pixels of about the size that a picture has without its mean, and labels."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *models.INPUTS[model]), np.float32) * np.float32(60)
    return x, rng.integers(0, 10, batch)


class Npnet:
    """npnet's own side."""

    def __init__(self, model: str, batch: int, threads: int) -> None:
        from npnet.train import SGD
        from npnet.train.plan import check_room

        check_room(lambda: models.build(model), models.INPUTS[model], batch)
        self.net = models.build(model)
        self.loss = models.loss(self.net)
        x, labels = images(model, batch)
        self.x, self.labels = self.net.upload("x", x), self.net.upload("labels", labels)
        self.sgd = SGD(self.net.parameters(), rate=1e-6)
        self.threads = threads
        self.watch: Any = None
        self.update = 0.0

    def step(self) -> float:
        value = self.loss.forward(self.net.forward(self.x), self.labels)
        self.net.backward_parameters(self.loss.backward())
        if self.watch:  # otherwise the update may begin while the gradients are not all there yet
            self.net.kernels.finish()
        began = time.perf_counter()
        self.sgd.step()
        self.net.kernels.finish()
        self.update = time.perf_counter() - began
        return value

    def infer(self) -> None:
        self.net.forward(self.x, train=False)
        self.net.kernels.finish()

    def facts(self) -> dict[str, Any]:
        import numba

        from npnet import __version__
        from npnet.kernels import active_name
        from npnet.kernels.numba.team import threads

        return {"name": f"npnet {__version__}", "version": __version__, "backend": active_name(),
                "numba": numba.__version__, "threads": threads()}

    def layers(self) -> dict[str, Any]:
        """A step with a stopwatch at every layer: seconds, and what was to be done in them."""
        from .layers import Stopwatch, kinds, work

        if self.watch is None:
            self.watch = Stopwatch(self.net)
        self.watch.take()  # of steps that were not asked for
        self.step()
        table, kind = work(self.net, self.watch), kinds(self.net)
        seconds = self.watch.take()
        rows = [
            {"layer": name, "kind": kind[name], "forward": seconds.get((name, "forward"), 0.0),
             "backward": seconds.get((name, "backward"), 0.0), **table.get(name, {})} for name in self.watch.shapes]
        size = sum(p.size for p in self.net.parameters()) * 4
        update = {"layer": "update", "kind": "update", "forward": 0.0, "backward": self.update, "bytes": (0, 5 * size)}
        return {"rows": [*rows, update]}

    def limits(self) -> dict[str, Any]:
        """This machine's, as this process finds them."""
        from npnet.kernels import active_name

        from . import limits

        if active_name() == "cuda":
            from . import gpu

            return {"machine": {**limits.machine(), **gpu.machine()}, "gflops": gpu.peak(), "gbs": gpu.copying()}
        return {"machine": limits.machine(), "gflops": limits.matrix_product(), "gbs": limits.copying(self.threads)}


def peak_memory() -> int | None:
    """The most bytes that this process has held; None where the system does not tell."""
    if (most := _status("VmHWM")) is not None:
        return most
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # on Linux it would begin with what the parent holds
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory() -> int | None:
    """Bytes that it holds now; None where the system does not tell."""
    return _status("VmRSS")


def _status(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def main(side: str, model: str, batch: int, threads: int, device: str) -> None:
    """device : "cpu" or "cuda", where the peer computes; npnet's side asks its backend."""
    os.environ["NUMBA_NUM_THREADS"] = str(threads)
    answers = os.fdopen(os.dup(1), "w")  # what libraries print is no answer
    os.dup2(2, 1)
    trainer: Any
    if side == "npnet":
        from npnet.kernels import active

        active()
        before = memory()
        trainer = Npnet(model, batch, threads)
    else:
        import torch  # noqa: F401 (what a library takes by itself is no part of what the net does)

        from . import peer

        before = memory()
        trainer = peer.Torch(model, batch, threads, side == "channels_last", device)
    for line in sys.stdin:
        command, *number = line.split()
        if command in ("step", "infer"):
            seconds, loss = [], None
            for _ in range(int(number[0])):
                began = time.perf_counter()
                loss = getattr(trainer, command)()
                seconds.append(time.perf_counter() - began)
            answer = {"seconds": seconds, "loss": loss}
        elif command == "memory":
            known = device == "cpu"  # what it holds of a GPU's nobody says
            answer = {"before": before, "now": memory(), "peak": peak_memory() if known else None}
        else:
            answer = getattr(trainer, command)()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
