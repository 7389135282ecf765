"""How long an exact search for the six nearest takes, in a gallery of 100,000 × 4,096 numbers (1.6 GB).

    python benchmarks/neighbours.py results/bench/neighbours.json
"""
import sys
import time
from pathlib import Path

import numpy as np

from npnet.bench import limits
from npnet.evaluate.neighbours import nearest
from npnet.files import write_json


def main(path):
    rng = np.random.default_rng(0)
    gallery = np.maximum(rng.standard_normal((100_000, 4096), np.float32), 0)  # as behind a ReLU
    queries = np.maximum(rng.standard_normal((16, 4096), np.float32), 0)
    seconds = {}
    for count in (1, 16):
        times = []
        for _ in range(5):
            began = time.perf_counter()
            found, _ = nearest(gallery, queries[:count], 6)
            times.append(time.perf_counter() - began)
        seconds[count] = round(float(np.median(times)) / count, 4)
        exact = np.argsort(np.square(gallery[:, :] - queries[0]).sum(axis=1), kind="stable")[:6]
        assert set(found[0]) == set(exact)
    result = {**limits.machine(), "gallery": list(gallery.shape), "k": 6,
              "seconds a query, of so many at a time": seconds}
    write_json(Path(path), result)
    print(result)


if __name__ == "__main__":
    main(*sys.argv[1:])
