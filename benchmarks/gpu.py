"""Everything about the GPU backend in one call: is it right, how fast is each kernel, how fast are the nets?

    python benchmarks/gpu.py [FOLDER [MINUTES]]      # default: results/bench/gpu, 8

Stages, one after the other, each writing what it found before the next begins; those for which no time is left are
named. PyTorch, where it is installed and sees the GPU, is measured in turns with npnet, in float32 without TF32. The
exit code is 1 if a stage failed, which says how, and 2 without a GPU.
"""
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

if __name__ == "__main__":
    os.environ["NPNET_BACKEND"] = "cuda"
    # npnet need not be installed, neither here nor in the programs that this one starts
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    os.environ["PYTHONPATH"] = os.pathsep.join([sys.path[0], *filter(None, [os.environ.get("PYTHONPATH")])])

import numpy as np

from npnet.bench import gpu, run, text
from npnet.counter import Key
from npnet.files import write_json
from npnet.kernels import active, using
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


SHAPES = {
    "AlexNet conv1": (128, 3, 96, 227, 11, 4, 0, 1), "AlexNet conv2": (128, 96, 256, 27, 5, 1, 2, 2),
    "AlexNet conv3": (128, 256, 384, 13, 3, 1, 1, 1), "GoogLeNet 3b 3×3": (32, 128, 192, 28, 3, 1, 1, 1),
    "GoogLeNet 3b 1×1": (32, 256, 128, 28, 1, 1, 0, 1), "GoogLeNet 5b 5×5": (32, 48, 128, 7, 5, 1, 2, 1),
}
"""Images, channels, outputs, side, kernel, stride, padding, groups."""


def convolution(name, images, c, o, side, kernel, stride, pad, groups):
    """(name, call, GFLOP)"""
    k, out, how = active(), (side + 2 * pad - kernel) // stride + 1, (stride, pad, groups)
    x, w, b = device(images, c, side, side), device(o, c // groups, kernel, kernel), device(o)
    y, gflop = device(images, o, out, out), 2e-9 * images * o * out**2 * (c // groups) * kernel**2
    yield f"{name} forward", lambda: k.conv2d_forward(x, w, b, *how, True, y), gflop
    yield f"{name} weights", lambda: k.conv2d_backward_weight(y, x, *how, w, b), gflop
    yield f"{name} data", lambda: k.conv2d_backward_data(y, w, *how, x), gflop
    if kernel == 1:  # as Inception begins, three at once
        ws, bs, ys = [w] * 3, [b] * 3, [device(*y.shape) for _ in range(3)]
        yield f"{name} × 3 forward", lambda: k.conv1x1_forward(x, ws, bs, True, ys), 3 * gflop
        yield f"{name} × 3 weights", lambda: k.conv1x1_backward_weight(ys, x, ws, bs), 3 * gflop
        yield f"{name} × 3 data", lambda: k.conv1x1_backward_data(ys, ws, False, None, x), 3 * gflop


def dense(n, i, o):
    """(name, call, GFLOP)"""
    k, gflop = active(), 2e-9 * n * i * o
    x, w, b, y, dw = device(n, i), device(o, i), device(o), device(n, o), device(o, i)
    yield "dense fc6 forward", lambda: k.dense_forward(x, w, b, False, y), gflop
    yield "dense fc6 weights", lambda: k.dense_backward_weight(y, x, dw, b), gflop
    yield "dense fc6 data", lambda: k.dense_backward_data(y, w, x), gflop


def unshared(images, c, o, side, kernel, stride, pad):
    """(name, call, GFLOP)"""
    k, out = active(), (side + 2 * pad - kernel) // stride + 1
    x, w = device(images, c, side, side), device(out, out, o, c, kernel, kernel)
    b, y, gflop = device(o, out, out), device(images, o, out, out), 2e-9 * images * o * out**2 * c * kernel**2
    yield "unshared forward", lambda: k.local2d_forward(x, w, b, stride, pad, y), gflop
    yield "unshared weights", lambda: k.local2d_backward_weight(y, x, stride, pad, w, b), gflop
    yield "unshared data", lambda: k.local2d_backward_data(y, w, stride, pad, x), gflop


def products(fc6=(128, 9216, 4096), square=4096, convolutions=SHAPES, local=(128, 32, 32, 8, 3, 1, 1)):
    """(name, call, GFLOP): dense layers and convolutions of the two nets, and an unshared one."""
    yield from dense(*fc6)
    one, other, out, bias = device(square, square), device(square, square), device(square, square), device(square)
    yield (f"square of {square}", lambda: active().dense_forward(one, other, bias, False, out), 2e-9 * square**3)
    for name, shape in convolutions.items():
        yield from convolution(name, *shape)
    yield from unshared(*local)


def others(maps=(128, 96, 55), pooled=27, weights=(4096, 9216), scores=(128, 1000)):
    """(name, call, bytes that are read or written at least). pooled : side after pooling by 3, 2 apart."""
    k = active()
    n, c, side = maps
    x, y, z, d, e = (device(n, c, side, side) for _ in range(5))
    size = 4 * n * c * side**2
    for name in ("relu", "tanh", "sigmoid"):
        forward, back = getattr(k, f"{name}_forward"), getattr(k, f"{name}_backward")
        yield f"{name} forward", lambda forward=forward: forward(x, y), 2 * size
        yield f"{name} backward", lambda back=back: back(x, y, z), 3 * size
    yield "abs_tanh forward", lambda: k.abs_tanh_forward(x, y), 2 * size
    yield "abs_tanh backward", lambda: k.abs_tanh_backward(x, y, z, e), 4 * size
    yield "dropout", lambda: k.dropout(x, 0.5, 2.0, Key(7), y), 2 * size
    yield "scale", lambda: k.scale(x, 0.5, y), 2 * size
    yield "copy", lambda: k.copy(x, y), 2 * size
    half = k.channels(y, 0, c // 2)
    yield "copy into some channels", lambda: k.copy(k.view(x.reshape((x.size,)), half.shape), half), size
    yield "fill", lambda: k.fill(x, 0.5), size
    yield "add_up of 3", lambda: k.add_up([x, y, z], None, d), 4 * size
    for name in ("lrn", "lrn_within"):
        forward, back = getattr(k, f"{name}_forward"), getattr(k, f"{name}_backward")
        yield f"{name} forward", lambda forward=forward: forward(x, 5, 1e-4, 0.75, 2.0, d, y), 3 * size
        yield f"{name} backward", lambda back=back: back(z, x, y, d, 5, 1e-4, 0.75, True, e), 5 * size
    small, places = device(n, c, pooled, pooled), device(n, c, pooled, pooled, dtype=np.uint8, most=9)
    little = 4 * n * c * pooled**2
    yield "max pooling forward", lambda: k.max_pool_forward(x, 3, 2, 0, True, places, small), size + 1.25 * little
    yield "max pooling backward", lambda: k.max_pool_backward(small, places, 3, 2, 0, x), size + 1.25 * little
    yield "average pooling forward", lambda: k.average_pool_forward(x, 3, 2, 0, False, small), size + little
    yield "average pooling backward", lambda: k.average_pool_backward(small, 3, 2, 0, False, x), size + little
    w, v, g = (device(*weights) for _ in range(3))
    learnt = 4 * weights[0] * weights[1]
    yield "sgd update", lambda: k.sgd_update([w], [v], [g], [(0.01, 0.0005)], 0.9), 5 * learnt
    yield "average update", lambda: k.average_update(w, v, g, 0.1), 5 * learnt
    logits, labels = device(*scores), device(scores[0], dtype=np.int64, most=scores[1])
    p, summary, ranks = device(*scores), device(2, dtype=np.float64), device(scores[0], dtype=np.int64, most=2)
    row = 4 * scores[0] * scores[1]
    yield "softmax", lambda: k.softmax(logits, p), 2 * row
    yield "softmax and loss", lambda: k.softmax_cross_entropy_forward(logits, labels, p, summary), 2 * row
    yield "loss backward", lambda: k.softmax_cross_entropy_backward(p, labels, logits), 2 * row
    yield "ranks of labels", lambda: k.label_ranks(p, labels, ranks), row


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


def kernels(out, left):
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
    [square] = [row["speed"] for row in found if row["kernel"].startswith("square")]
    said = (f", cuBLAS {library:,.0f} (a square of 4096, float32): npnet's product is {square / library:.0%} of it"
            if library else "; PyTorch is not here to ask cuBLAS")
    page = "\n".join([facts["gpu"], f"peak {peak:,.0f} GFLOP/s, copy {copy:,.0f} GB/s{said}", "",
                      *aligned(rows, "<>>>")])
    (out / "kernels.txt").write_text(page + "\n", encoding="utf-8")
    print(page, flush=True)


def steps(out, left):
    """Those of docs/gpu.md, from a thread for each number on."""
    python(left, "benchmarks/gpu_product.py", "4096", str(out / "product.json"))


def tests(out, left):
    """All that run on a device: every test of a layer, a net, a run has a part there (tests/conftest.py)."""
    several = ["-n", str(max(1, (os.cpu_count() or 1) // 2))] if importlib.util.find_spec("xdist") else []
    python(min(left, 240), "-m", "pytest", "-q", "-p", "no:benchmark", "-k", "cuda", *several, "tests",
           into=out / "tests.txt")


def net(out, left, model, batch):
    result = run(model, batch, against="torch" if peer() else None, steps=5)
    write_json(out / f"{model}-{batch}.json", result)
    (out / f"{model}-{batch}.txt").write_text(text(result) + "\n", encoding="utf-8")
    print(text(result), flush=True)


def figure1(out, left):
    """In full, where CIFAR-10 is."""
    from npnet.data import cifar10

    if not cifar10.find():
        print("figure1: CIFAR-10 is not here")
        return
    folder = out / "figure1"
    python(left, "-m", "npnet", "figure1", "--backend", "cuda", "--data", "cifar10", "--out", str(folder),
           *(["--resume"] if folder.exists() else []))


def python(left, *arguments, into=None):
    """A program of its own, stopped when no time is left; what it prints goes into a file, too."""
    began = time.perf_counter()
    environment = {key: value for key, value in os.environ.items() if key != "NPNET_BACKEND"}
    with open(into or os.devnull, "w", encoding="utf-8") as page, subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env=environment, start_new_session=True
    ) as program:
        clock = threading.Timer(left, lambda: os.killpg(program.pid, signal.SIGKILL))  # it, and what it has started
        clock.start()
        for line in program.stdout:
            page.write(line)
            page.flush()
            print(line, end="", flush=True)
        clock.cancel()
    if program.returncode:
        stopped = time.perf_counter() - began >= left
        raise RuntimeError(f"stopped after {left:.0f} s" if stopped else f"exit code {program.returncode}")


def main(folder="results/bench/gpu", minutes="8"):
    out, end, failed = Path(folder), time.perf_counter() + 60 * float(minutes), 0
    try:
        with using("cuda"):
            pass
    except ImportError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    nets = [(f"{model} {batch}", net, (model, batch), 60 if model == "alexnet" else 90) for model, batch in NETS]
    stages = [("kernels", kernels, (), 60), ("tests", tests, (), 60), nets[0], ("steps", steps, (), 20), nets[1],
              ("figure1", figure1, (), 80), *nets[2:]]  # and how long each takes at least, about
    for name, stage, arguments, needs in stages:
        left = end - time.perf_counter()
        if left < needs:
            print(f"{name}: left out, {left:.0f} s are left and it takes some {needs}", flush=True)
            continue
        began = time.perf_counter()
        try:
            stage(out, left, *arguments)
        except Exception as error:  # the next stages may do
            failed = 1
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
        print(f"-- {name}: {time.perf_counter() - began:.0f} s\n", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
