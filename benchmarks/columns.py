"""A training step of AlexNet on two threads: as one net, and as two columns that each have one.

    python benchmarks/columns.py results/bench/columns.json [BATCH]
"""
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from npnet.bench import limits
from npnet.files import write_json
from npnet.layers import SoftmaxCrossEntropy
from npnet.models import alexnet
from npnet.models.columns import TwoColumns
from npnet.train import SGD


def main(path, batch=64, steps=7):
    batch = int(batch)
    whole = alexnet()
    nets = {"one net": whole, "two columns": TwoColumns(whole)}
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, 3, 224, 224), np.float32)
    labels, loss = rng.integers(0, 1000, batch), SoftmaxCrossEntropy()
    sgds = {name: SGD(net.parameters(), 1e-4) for name, net in nets.items()}
    times = {name: [] for name in nets}
    for step in tqdm(range(steps + 1)):
        for name, net in nets.items():
            began = time.perf_counter()
            net.set_step(step)
            loss.forward(net.forward(x), labels)
            net.backward_parameters(loss.backward())
            sgds[name].step()
            if step:  # the first compiles
                times[name].append(time.perf_counter() - began)
    sent = {crossing.name: {way: sum_ // (steps + 1) for way, sum_ in crossing.sent.items()}
            for crossing in nets["two columns"].crossings}
    result = {**limits.machine(), "batch": batch, "sent in a step, bytes": sent,
              "seconds a step": {name: round(float(np.median(some)), 4) for name, some in times.items()}}
    write_json(Path(path), result)
    print(result)


if __name__ == "__main__":
    main(*sys.argv[1:])
