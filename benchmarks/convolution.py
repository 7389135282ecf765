"""One convolution at five speeds, on the same shapes: the table of docs/speed.md.

    python benchmarks/convolution.py [OUT]      # OUT: results/bench/convolution.json

Forward passes, taken in turns, each after 0.1 seconds of the same; the median of seven, after two.
"""
import json
import os
import sys
import time
from pathlib import Path

os.environ.pop("OPENBLAS_CORETYPE", None)  # before BLAS is loaded: it may force a core type that is not this machine's

import numba
import numpy as np
from tqdm import tqdm

from npnet.bench import limits
from npnet.kernels import numba as fast
from npnet.kernels import numpy as definition
from npnet.kernels.numba import pointwise, winograd
from npnet.kernels.numba.team import threads

# name: images, channels, outputs, pixels along a side, kernel, stride, padding, groups
SHAPES = {
    "AlexNet conv1": (64, 3, 96, 227, 11, 4, 0, 1), "AlexNet conv2": (64, 96, 256, 27, 5, 1, 2, 2),
    "AlexNet conv3": (64, 256, 384, 13, 3, 1, 1, 1), "GoogLeNet 3b, 3×3": (32, 128, 192, 28, 3, 1, 1, 1),
    "GoogLeNet 3b, 1×1": (32, 256, 128, 28, 1, 1, 0, 1), "18pct conv2": (128, 32, 32, 16, 5, 1, 2, 1),
}


def loops(x, w, b, stride, pad, groups, rectify, y):
    """The definition, a number at a time."""
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            first = o // (y.shape[1] // groups) * w.shape[1]
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    total = b[o]
                    for c in range(w.shape[1]):
                        for k in range(w.shape[2]):
                            for m in range(w.shape[3]):
                                row, column = i * stride - pad + k, j * stride - pad + m
                                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                                    total += w[o, c, k, m] * x[n, first + c, row, column]
                    y[n, o, i, j] = total


compiled_loops = numba.njit(loops)


def for_an_image(x, w, b, stride, pad, groups, rectify, y):
    """One is enough to see how fast they are."""
    compiled_loops(x[:1], w, b, stride, pad, groups, rectify, y[:1])


def image_by_image(x, w, b, stride, pad, groups, rectify, y):
    """im2col of one image, which stays in the cache while it is multiplied."""
    for n in range(len(x)):
        definition.conv2d_forward(x[n : n + 1], w, b, stride, pad, groups, rectify, y[n : n + 1])


def with_every_product(*arguments):
    """The tile in registers, without 1 × 1 or minimal filtering being anything special."""
    before = pointwise.suits, winograd.suits
    pointwise.suits = winograd.suits = lambda *shapes: False
    try:
        fast.conv2d_forward(*arguments)
    finally:
        pointwise.suits, winograd.suits = before


PAUSE = 0.1  # seconds: then the threads of NumPy's BLAS, which spin, sleep; and as long until all cores are awake again
LOOPS = "seven loops, compiled"
STEPS = {
    LOOPS: for_an_image, "im2col, NumPy": definition.conv2d_forward, "an image at a time": image_by_image,
    "tiles in registers": with_every_product, "as it is": fast.conv2d_forward,
}


def operands(images, channels, outputs, side, kernel, stride, pad, groups):
    """The arguments of a forward pass."""
    rng = np.random.default_rng(0)
    out = (side + 2 * pad - kernel) // stride + 1
    x = rng.standard_normal((images, channels, side, side), np.float32)
    w = rng.standard_normal((outputs, channels // groups, kernel, kernel), np.float32)
    b, y = rng.standard_normal(outputs, np.float32), np.zeros((images, outputs, out, out), np.float32)
    return x, w, b, stride, pad, groups, False, y


def main(out=None):
    table = {}
    with tqdm(total=len(SHAPES) * 9, unit=" rounds", dynamic_ncols=True) as bar:
        for name, shape in SHAPES.items():
            arguments = operands(*shape)
            flop = 2e-9 * arguments[-1].size * arguments[1][0].size
            flops = {step: flop / shape[0] if step == LOOPS else flop for step in STEPS}
            times = {step: [] for step in STEPS}
            for turn in range(9):
                for step, forward in STEPS.items():
                    if step == LOOPS and turn > 2:
                        continue  # seconds, and not in doubt
                    time.sleep(PAUSE)
                    began = time.perf_counter()
                    while time.perf_counter() - began < PAUSE:
                        forward(*arguments)
                    began = time.perf_counter()
                    forward(*arguments)
                    times[step].append(time.perf_counter() - began)
                bar.update()
            medians = {step: float(np.median(seconds[2:])) for step, seconds in times.items()}
            table[name] = {step: round(flops[step] / medians[step], 1) for step in STEPS}
    result = {"unit": "GFLOP/s", "threads": threads(), **limits.machine(),
              "product": round(limits.matrix_product(), 1), "shapes": SHAPES, "speeds": table}
    print(f"{'GFLOP/s':22s}" + "".join(f"{step:>24s}" for step in STEPS))
    for name, speeds in table.items():
        print(f"{name:22s}" + "".join(f"{speeds[step]:24.1f}" for step in STEPS))
    print(f"{'best matrix product':22s}{result['product']:24.1f}")
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
