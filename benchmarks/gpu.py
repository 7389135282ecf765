"""Everything about the GPU backend in one call: is it right, how fast is each kernel, how fast are the nets?

    python benchmarks/gpu.py [FOLDER [MINUTES]]      # default: results/bench/gpu, 8

Stages, one after the other, each writing what it found before the next begins; those for which no time is left are
named. PyTorch, where it is installed and sees the GPU, is measured in turns with npnet, in float32 without TF32.
"""
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ["NPNET_BACKEND"] = "cuda"

import numpy as np

from npnet.bench import gpu, run, text
from npnet.files import write_json
from npnet.kernels import active
from npnet.models.summary import aligned

NETS = (("alexnet", 128), ("googlenet", 32), ("alexnet", 256), ("googlenet", 128))


def best(call, runs=5, at_least=0.02):
    """Seconds of a call, of the fastest of some runs of as many calls as take a moment."""
    backend = active()
    call()
    backend.finish()
    began = time.perf_counter()
    call()
    backend.finish()
    calls = max(1, int(at_least / max(time.perf_counter() - began, 1e-7)))
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        for _ in range(calls):
            call()
        backend.finish()
        times.append((time.perf_counter() - began) / calls)
    return min(times)


def device(*shape, dtype=np.float32, most=None):
    """An array of random numbers there, or of whole ones below `most`."""
    rng, x = np.random.default_rng(0), active().empty(shape, np.dtype(dtype))
    host = rng.integers(0, most, shape) if most else rng.standard_normal(shape, np.float32)
    active().from_host(host.astype(dtype), x)
    return x


def products():
    """(name, call, GFLOP): dense layers and convolutions of the two nets, batch 128 and 32."""
    k = active()
    n, i, o = 128, 9216, 4096
    x, w, b, y = device(n, i), device(o, i), device(o), device(n, o)
    dw = device(o, i)
    gflop = 2e-9 * n * i * o
    yield "dense fc6 forward", lambda: k.dense_forward(x, w, b, False, y), gflop
    yield "dense fc6 weights", lambda: k.dense_backward_weight(y, x, dw, b), gflop
    yield "dense fc6 data", lambda: k.dense_backward_data(y, w, x), gflop
    size = 4096
    square, other, out, bias = device(size, size), device(size, size), device(size, size), device(size)
    yield f"square of {size}", lambda: k.dense_forward(square, other, bias, False, out), 2e-9 * size**3
    shapes = {"AlexNet conv1": (128, 3, 96, 227, 11, 4, 0, 1), "AlexNet conv2": (128, 96, 256, 27, 5, 1, 2, 2),
              "AlexNet conv3": (128, 256, 384, 13, 3, 1, 1, 1), "GoogLeNet 3b 3×3": (32, 128, 192, 28, 3, 1, 1, 1),
              "GoogLeNet 3b 1×1": (32, 256, 128, 28, 1, 1, 0, 1), "GoogLeNet 5b 5×5": (32, 48, 128, 7, 5, 1, 2, 1)}
    for name, (images, c, o, side, kernel, stride, pad, groups) in shapes.items():
        out = (side + 2 * pad - kernel) // stride + 1
        x, w, b = device(images, c, side, side), device(o, c // groups, kernel, kernel), device(o)
        y, how = device(images, o, out, out), (stride, pad, groups)
        gflop = 2e-9 * images * o * out**2 * (c // groups) * kernel**2

        yield f"{name} forward", lambda x=x, w=w, b=b, y=y, how=how: k.conv2d_forward(x, w, b, *how, True, y), gflop
        yield f"{name} weights", lambda x=x, w=w, b=b, y=y, how=how: k.conv2d_backward_weight(y, x, *how, w, b), gflop
        yield f"{name} data", lambda x=x, w=w, y=y, how=how: k.conv2d_backward_data(y, w, *how, x), gflop


def others():
    """(name, call, bytes that are read or written at least)."""
    k = active()
    n, c, side = 128, 96, 55
    x, y, z, d = (device(n, c, side, side) for _ in range(4))
    size = 4 * n * c * side**2
    yield "relu forward", lambda: k.relu_forward(x, y), 2 * size
    yield "relu backward", lambda: k.relu_backward(x, y, z), 3 * size
    yield "dropout", lambda: k.dropout(x, 0.5, 2.0, 7, y), 2 * size
    yield "add_up of 3", lambda: k.add_up([x, y, z], d), 4 * size
    yield "lrn forward", lambda: k.lrn_forward(x, 5, 1e-4, 0.75, 2.0, d, y), 3 * size
    yield "lrn backward", lambda: k.lrn_backward(z, x, y, d, 5, 1e-4, 0.75, y), 5 * size
    small, places = device(n, c, 27, 27), device(n, c, 27, 27, dtype=np.uint8, most=9)
    little = 4 * n * c * 27**2
    yield "max pooling forward", lambda: k.max_pool_forward(x, 3, 2, 0, places, small), size + 1.25 * little
    yield "max pooling backward", lambda: k.max_pool_backward(small, places, 3, 2, 0, x), size + 1.25 * little
    yield "average pooling forward", lambda: k.average_pool_forward(x, 3, 2, 0, False, small), size + little
    yield "average pooling backward", lambda: k.average_pool_backward(small, 3, 2, 0, False, x), size + little
    w, v, g = (device(4096, 9216) for _ in range(3))
    yield "sgd update", lambda: k.sgd_update(w, v, g, 0.01, 0.9, 0.0005), 5 * 4 * 4096 * 9216
    yield "average update", lambda: k.average_update(w, v, 0.1), 3 * 4 * 4096 * 9216
    logits, labels = device(128, 1000), device(128, dtype=np.int64, most=1000)
    p, summary = device(128, 1000), device(2, dtype=np.float64)
    yield ("softmax and loss", lambda: k.softmax_cross_entropy_forward(logits, labels, p, summary), 3 * 4 * 128_000)


def peer():
    """PyTorch, if it is installed and sees the GPU; else None."""
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def cublas(size=4096):
    """GFLOP/s of cuBLAS in float32 through PyTorch; None without it."""
    torch = peer()
    if torch is None:
        return None
    torch.backends.cuda.matmul.allow_tf32 = False
    a = torch.randn(size, size, device="cuda")
    times = []
    for _ in range(5):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(5):
            a @ a
        torch.cuda.synchronize()
        times.append((time.perf_counter() - began) / 5)
    return 2e-9 * size**3 / min(times)


def kernels(out):
    """Each against its limit: the device's peak in float32, or its own copy."""
    peak, copy, library = gpu.peak(), gpu.copying(), cublas()
    rows, found = [("kernel", "time", "speed", "of the limit")], []
    for kind, unit, limit in ((products, "GFLOP/s", peak), (others, "GB/s", copy)):
        for name, call, work in kind():
            seconds = best(call)
            speed = work / seconds * (1 if kind is products else 1e-9)
            rows.append((name, f"{seconds * 1e3:,.3f} ms", f"{speed:,.0f} {unit}", f"{speed / limit:.0%}"))
            found.append({"kernel": name, "seconds": seconds, "speed": speed, "unit": unit, "share": speed / limit})
    facts = {**gpu.machine(), "peak": peak, "copy": copy, "cublas": library}
    write_json(out / "kernels.json", {**facts, "kernels": found})
    said = f", cuBLAS {library:,.0f} (a square of 4096, float32)" if library else "; PyTorch is not here to ask cuBLAS"
    page = "\n".join([facts["gpu"], f"peak {peak:,.0f} GFLOP/s, copy {copy:,.0f} GB/s{said}", "",
                      *aligned(rows, "<>>>")])
    (out / "kernels.txt").write_text(page + "\n", encoding="utf-8")
    print(page, flush=True)


def tests(out):
    """The kernels held to the definition, on the device."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "tests/test_cuda.py"], capture_output=True, text=True,
                          check=False)
    (out / "tests.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    print("\n".join(done.stdout.splitlines()[-12:]), flush=True)


def net(out, model, batch):
    result = run(model, batch, against="torch" if peer() else None, steps=5)
    write_json(out / f"{model}-{batch}.json", result)
    (out / f"{model}-{batch}.txt").write_text(text(result) + "\n", encoding="utf-8")
    print(text(result), flush=True)


def figure1(out):
    """In full, where CIFAR-10 is."""
    from npnet.data import cifar10

    if not cifar10.find():
        print("figure1: CIFAR-10 is not here")
        return
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "npnet", "figure1", "--data", "cifar10", "--out", str(out / "figure1")],
                   check=True)
    print(f"figure1: {time.perf_counter() - began:.0f} s, both activations")


def main(folder="results/bench/gpu", minutes="8"):
    out, end = Path(folder), time.perf_counter() + 60 * float(minutes)
    out.mkdir(parents=True, exist_ok=True)
    nets = [(f"{model} {batch}", net, (model, batch), 60) for model, batch in NETS]
    stages = [("kernels", kernels, (), 60), *nets[:2], ("tests", tests, (), 150), *nets[2:],
              ("figure1", figure1, (), 90)]
    for name, stage, arguments, needs in stages:
        left = end - time.perf_counter()
        if left < needs:
            print(f"{name}: left out, {left:.0f} s are left and it takes some {needs}", flush=True)
            continue
        began = time.perf_counter()
        try:
            stage(out, *arguments)
        except Exception as error:  # the next stages may do
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
        print(f"-- {name}: {time.perf_counter() - began:.0f} s\n", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
