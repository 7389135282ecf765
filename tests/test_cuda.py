"""The kernels for a GPU: on one, if there is one, else in Numba's simulator, and there the small ones.

On a GPU every other test runs on it too (`conftest.backend`).
"""
import importlib.util
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import test_backends as contract
from hypothesis import given, settings
from hypothesis import strategies as st
from test_average import small_steps_add_up
from test_backends import sent
from test_plan import NETS, net_of

import npnet
from npnet import bench, counter, doctor, gradcheck, kernels, models
from npnet.data import Loader, shapes
from npnet.errors import UserError
from npnet.kernels import numpy as definition
from npnet.layers import (
    Conv2D,
    Dense,
    Gaussian,
    MaxPool2D,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
)
from npnet.models.columns import TwoColumns
from npnet.train import SGD, Steps, Trainer

pytest.importorskip("numba_cuda")
from numba import cuda as target
from numba.cuda.cudadrv.driver import CudaAPIError

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
MOST = 700 if SIMULATED else 10**9
"""Numbers in an array that a kernel is given."""


@pytest.fixture(scope="module")
def cuda():
    return importlib.import_module("npnet.kernels.cuda")


@pytest.fixture
def on_cuda(cuda):
    with kernels.using("cuda"):
        yield cuda


CALLS = [i for i, (_, arguments) in enumerate(contract.CALLS) if contract.largest(arguments) <= MOST]


@pytest.mark.parametrize("i", CALLS, ids=[contract.IDS[i] for i in CALLS])
def test_a_kernel_agrees_with_the_definition(cuda, i):
    name, arguments = contract.CALLS[i]
    contract.assert_agree(cuda, name, arguments, np.float32)
    if not SIMULATED:
        contract.assert_agree(cuda, name, arguments, np.float64)


def test_every_kernel_is_called_here():
    assert {contract.CALLS[i][0] for i in CALLS} == contract.COMPUTING


@given(n=contract.small, c=contract.small, o=contract.small, window=contract.windows(), groups=st.integers(1, 2))
@settings(max_examples=3 if SIMULATED else 100)
def test_convolutions_of_any_shape_agree(cuda, n, c, o, window, groups):
    for name, arguments in contract.conv_calls(n, c, o, *window[:-1], groups, window[-1]):
        if contract.largest(arguments) <= MOST:
            contract.assert_agree(cuda, name, arguments, np.float64)


@given(n=contract.small, c=contract.small, window=contract.windows(), kind=st.sampled_from(["negative", "ties"]))
@settings(max_examples=10 if SIMULATED else 100)
def test_pools_of_any_shape_agree(cuda, n, c, window, kind):
    for name, arguments in contract.pool_calls(n, c, *window, kind):
        if contract.largest(arguments) <= MOST:
            contract.assert_agree(cuda, name, arguments, np.float64)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("tile", [0, 1])
def test_however_a_product_is_cut_up_it_is_the_same(cuda, monkeypatch, tile, parts):
    """Sums in one part or in several, each tile, rows and columns that fill tiles and that do not."""
    used = []

    def kernels_of(product, chosen, in_parts, made=cuda.product._kernels):
        used.append((chosen, in_parts))
        return made(product, chosen, in_parts)

    monkeypatch.setattr(cuda.product, "TILES", (cuda.product.TILES[tile],) * 2)
    monkeypatch.setattr(cuda.product, "_parts", lambda blocks, steps: parts)
    monkeypatch.setattr(cuda.product, "_kernels", kernels_of)
    for rows, terms, columns in ((9, 7, 5), (8, 11, 4)):
        for name, arguments in contract.dense_calls(rows, terms, columns):
            contract.assert_agree(cuda, name, arguments, np.float64)
    for name, arguments in contract.conv_calls(1, 2, 4, 4, 3, 3, 1, 1, 2, "floor"):
        contract.assert_agree(cuda, name, arguments, np.float64)
    assert {chosen for chosen, _ in used} == {cuda.product.TILES[0]}
    assert any(in_parts for _, in_parts in used) is (parts > 1)


def test_products_are_cut_up_by_their_shape(cuda):
    """Few tiles and long sums: parts, of 16 steps at least on a GPU."""
    assert cuda.product._parts(10**6, 10**6) == 1, "there are tiles enough"
    assert cuda.product._parts(1, 1) == 1, "there is nothing to cut"
    assert cuda.product._parts(1, 10**6) == 2 * cuda.launch.processors()


def test_threads_do_not_mix_up_their_sums(cuda, monkeypatch):
    """Two of Python's, as a net's columns are, with products in parts on one device: one memory for the parts."""
    monkeypatch.setattr(cuda.product, "_parts", lambda blocks, steps: 2)
    plain, given, expected = cuda.product.launch, [], []
    for n, o in ((3, 2), (2, 3)):
        x, w, b, y = contract.normal(n, 40), contract.normal(o, 40, seed=n), contract.normal(o), np.zeros((n, o))
        definition.dense_forward(x, w, b, False, y)
        expected.append(y)
        given.append([*(sent(cuda, host) for host in (x, w, b)), False, cuda.empty(y.shape, y.dtype)])

    def slowly(*arguments):
        plain(*arguments)
        time.sleep(0.05)  # for the other to come between, if it can

    monkeypatch.setattr(cuda.product, "launch", slowly)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(cuda.dense_forward, *arguments) for arguments in given]:
            done.result()
    for arguments, y in zip(given, expected, strict=True):
        np.testing.assert_allclose(cuda.to_host(arguments[-1]), y, rtol=1e-12)


@pytest.mark.skipif(SIMULATED, reason="the simulator would take an hour")
def test_products_of_many_tiles_agree_in_float32(cuda):
    """The tile that layers of the papers get, all of it and parts of it, and sums in parts."""
    calls = [*contract.dense_calls(200, 1030, 300), *contract.conv_calls(3, 20, 140, 19, 17, 5, 1, 2, 1, "floor"),
             *contract.conv_calls(2, 16, 129, 29, 29, 3, 2, 1, 2, "ceil")]
    for name, arguments in calls:
        contract.assert_agree(cuda, name, arguments, np.float32)


def test_some_channels_of_an_array_are_written_and_read_as_a_whole_one(cuda):
    x, y = contract.normal(3, 4, 2, 3), contract.normal(3, 4, 2, 3, seed=1)
    w, b = contract.normal(4, 4, 1, 1), contract.normal(4)
    larger = [cuda.empty((3, 7, 2, 3), x.dtype) for _ in range(2)]
    some = [cuda.channels(array, 2, 4) for array in larger]
    for array in larger:
        cuda.fill(array, 7.0)
    cuda.copy(sent(cuda, x), some[0])
    cuda.copy(sent(cuda, y), some[1])
    np.testing.assert_array_equal(cuda.to_host(some[0]), x)
    back = cuda.empty(x.shape, x.dtype)
    cuda.relu_backward(*some, back)
    np.testing.assert_array_equal(cuda.to_host(back), np.where(y > 0, x, 0))
    cuda.copy(some[1], back)
    np.testing.assert_array_equal(cuda.to_host(back), y)
    cuda.conv2d_forward(sent(cuda, x), sent(cuda, w), sent(cuda, b), 1, 0, 1, True, some[0])
    cuda.conv1x1_forward(sent(cuda, x), [sent(cuda, w)], [sent(cuda, b)], True, [some[1]])
    expected = np.empty_like(x)
    definition.conv2d_forward(x, w, b, 1, 0, 1, True, expected)
    for array in larger:
        host = cuda.to_host(array)
        np.testing.assert_allclose(host[:, 2:6], expected, rtol=1e-12)
        assert (host[:, [0, 1, 6]] == 7).all(), "what lies between stays as it is"
    for one, arguments, outputs in (
        ("conv2d_backward_weight", (1, 0, 1), (w, b)), ("conv2d_backward_data", (1, 0, 1), (x,)),
        ("conv1x1_backward_weight", None, (w, b)), ("conv1x1_backward_data", None, (x,)),
    ):
        read = x if one.endswith("weight") else w
        found = []
        for dy in (some[0], sent(cuda, expected)):
            results = [cuda.empty(array.shape, x.dtype) for array in outputs]
            if arguments:
                getattr(cuda, one)(dy, sent(cuda, read), *arguments, *results)
            elif one.endswith("weight"):
                cuda.conv1x1_backward_weight([dy], sent(cuda, read), *([result] for result in results))
            else:
                cuda.conv1x1_backward_data([dy], [sent(cuda, read)], False, None, *results)
            found.append([cuda.to_host(result) for result in results])
        for got, wanted in zip(*found, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_the_same_run_gives_the_same_bits(cuda):
    """Also where sums are cut up and added again."""
    weight_gradient = contract.conv_calls(2, 2, 3, 5, 5, 3, 1, 1, 1, "floor")[2]
    for name, arguments in (contract.dense_calls(9, 40, 5)[0], weight_gradient):
        one, two = (contract.run(cuda, name, contract.cast(arguments, np.float32)) for _ in range(2))
        for key in one:
            np.testing.assert_array_equal(one[key], two[key])


def test_a_label_that_is_no_class_is_named_though_it_is_known_late(on_cuda):
    loss = SoftmaxCrossEntropy()
    logits = sent(on_cuda, np.zeros((4, 3), np.float32))
    for labels, message in (([0, 3, 9, 1], r"labels\[1\] \(=3\)"), ([0, 1, 2, -5], r"labels\[3\] \(=-5\)")):
        with pytest.raises(ValueError, match=message + r" must be in 0 … 2"):
            loss.forward(logits, sent(on_cuda, np.array(labels)))
    with pytest.raises(ValueError, match=r"labels\[1\] \(=3\)"):
        on_cuda.label_ranks(logits, sent(on_cuda, np.array([0, 3, 9, 1])), sent(on_cuda, np.zeros(4, np.int64)))


def test_nan_and_infinity_survive(cuda):
    """As the contract has it: NaN is the largest, stays in a ReLU, and puts no class in first place."""
    nan, inf, fresh = np.nan, np.inf, contract.fresh
    x = np.array([[[[1, nan, 3], [-inf, -inf, inf], [-1, -2, nan]]]], np.float32)
    for name, arguments in (
        ("max_pool_forward", {"x": x, "size": 2, "stride": 1, "pad": 1, "rectified": False,
                              "argmax": fresh((1, 1, 4, 4), np.uint8),
                              "y": fresh((1, 1, 4, 4))}),
        ("relu_forward", {"x": x, "y": fresh(x.shape)}),
        ("softmax_cross_entropy_forward",
         {"logits": np.array([[0, nan, 1], [inf, 0, 0], [2, 2, -inf]]), "labels": np.array([0, 0, 1]),
          "probabilities": fresh((3, 3)), "summary": fresh(2)}),
    ):
        with np.errstate(all="ignore"):
            contract.assert_agree(cuda, name, arguments, np.float32)


@pytest.mark.parametrize(("kind", "shape", "classes"), NETS)
def test_a_net_learns_as_it_does_on_the_definition(on_cuda, kind, shape, classes):
    """Branches and groups, LRN, both poolings, unshared weights, dropout (the same mask), heads: every weight after two
    steps."""
    results = []
    for backend in ("numpy", "cuda"):
        npnet.use(backend)
        net = net_of(kind)
        net.initialise(3)
        loss = models.loss(net)
        sgd = SGD(net.parameters(), 0.01, 0.9, 0.001)
        rng = np.random.default_rng(0)
        for step in range(2):
            x = net.upload("x", rng.standard_normal((2, *shape)).astype(np.float32))
            net.set_step(step)
            value = loss.forward(net.forward(x), net.upload("t", rng.integers(0, classes, 2)))
            net.backward_parameters(loss.backward())
            sgd.step()
        results.append((value, loss.errors, [p.numpy() for p in net.parameters()]))
    (value, errors, weights), (other, also, theirs) = results
    assert (other, also) == (pytest.approx(value, rel=1e-4), errors)
    for one, two in zip(weights, theirs, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-5)


def test_gradients_of_a_net_agree_with_differences(on_cuda):
    wide = Gaussian(0.5)
    net = Sequential(conv=Conv2D(2, 3, 3, weight=wide), relu=ReLU(), fc=Dense(3 * 2 * 2, 3, weight=wide))
    net.initialise(1)
    report = gradcheck.check(net, counter.generator(1).standard_normal((2, 2, 4, 4)), labels=[0, 2],
                             loss=SoftmaxCrossEntropy(), exhaustive=False, directions=1)
    assert report.ok, report
    assert len(report.points) == 1 + len(net.parameters())


def test_nothing_is_copied_back_but_the_loss(on_cuda, monkeypatch):
    """A batch and its labels go there, the loss and the number of errors come back, at every step."""
    net = Sequential(conv=Conv2D(3, 2, 4, stride=4, weight=Gaussian(0.1)), pool=MaxPool2D(2, 2), relu=ReLU(),
                     fc=Dense(2 * 2 * 2, 10, weight=Gaussian(0.1)))
    net.initialise(0)
    assert all(p.value.shape == p.shape for p in net.parameters())  # the weights are there before the first step
    train, copies = shapes.load("train", 8, 16), []
    array = type(on_cuda.empty((1,), np.dtype(np.float32)))

    def counted(way):
        plain = getattr(array, way)

        def copy(self, *args, **options):
            if way == "copy_to_host" or isinstance(args[0], np.ndarray):
                copies.append((way, self.shape))
            return plain(self, *args, **options)

        return copy

    for way in ("copy_to_host", "copy_to_device"):
        monkeypatch.setattr(array, way, counted(way))
    Trainer(net, Loader(train, 4), SGD(net.parameters(), 0.01), Steps(0.01), 1, progress=False).run()
    step = [("copy_to_device", (4 * 3 * 16 * 16,)), ("copy_to_device", (4,)), ("copy_to_host", (2,))]
    assert copies == 2 * step


@pytest.mark.skipif(not SIMULATED, reason="there is a GPU")
def test_in_the_simulator_threads_meet_and_what_fails_says_so(cuda):
    """Some end before the others meet; of those that wait for one that fails, none waits for ever."""
    def pass_on(x, fails):
        shared, thread = target.shared.array(4, np.int64), target.threadIdx.x
        if thread == 3:
            return
        for turn in range(5):
            shared[thread] = x[thread]
            target.syncthreads()
            x[thread] = shared[(thread + 1) % 3]
            target.syncthreads()
            if turn == fails and thread == 1:
                raise ValueError(f"turn {turn}")

    kernel, x = cuda.launch.compiled(pass_on), np.arange(4)
    cuda.launch.launch(kernel, 2, 4, x, -1)
    assert x.tolist() == [1, 2, 0, 3], "ten turns"
    with pytest.raises(ValueError, match=r"tid=\[1, 0, 0\].*turn 2"):
        cuda.launch.launch(kernel, 2, 4, x, 2)


def test_batches_that_come_one_after_the_other_do_not_mix(cuda):
    """Five, larger and smaller, of two kinds."""
    for count in (3, 7, 2, 7, 5):
        for dtype in (np.float32, np.int64):
            host = np.arange(count, dtype=dtype).reshape(1, count)
            x = cuda.empty(host.shape, host.dtype)
            cuda.upload(host, x)
            host += 1
            np.testing.assert_array_equal(cuda.to_host(x), host - 1)
    with pytest.raises(ValueError, match=r"host of shape \(=\(1, 5\)\) must be \(5,\)"):
        cuda.upload(np.zeros((1, 5)), cuda.empty((5,), np.dtype(np.float64)))


def test_an_array_too_large_to_count_in_32_bits_is_refused(cuda):
    with pytest.raises(ValueError, match=r"count \(=4294967296\) must be at most 4294967295: take smaller batches"):
        cuda.launch.each(None, 2**32)


def without_the_simulator(*arguments):
    """What Python says and returns for these arguments."""
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_ENABLE_CUDASIM"}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not SIMULATED, reason="there is a GPU")
def test_without_a_gpu_it_is_said_in_one_line():
    found = without_the_simulator("-m", "npnet", "bench", "cifar_18pct", "--backend", "cuda")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.count("\n") == 1
    assert "backend 'cuda' needs an NVIDIA GPU and its driver (" in found.stderr
    assert "NUMBA_ENABLE_CUDASIM=1 simulates one" in found.stderr


@pytest.mark.skipif(not SIMULATED, reason="there is a GPU")
@pytest.mark.parametrize("name", ["gpu", "gpu_product"])
def test_the_benchmarks_of_a_gpu_say_so_too(name, tmp_path):
    root = Path(__file__).parent.parent
    found = without_the_simulator(str(root / "benchmarks" / f"{name}.py"), str(tmp_path / "out"), "1")
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1)
    assert found.stderr.startswith(f"{name}.py: backend 'cuda' needs an NVIDIA GPU and its driver (")
    assert not (tmp_path / "out").exists()


def benchmark(name):
    path = Path(__file__).parent.parent / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    return page


class Noting:
    """The backend, and which of its functions were asked for."""

    def __init__(self, backend):
        self.backend, self.asked = backend, set()

    def __getattr__(self, name):
        self.asked.add(name)
        return getattr(self.backend, name)


def test_every_kernel_has_a_row_in_the_table_of_the_gpu(cuda):
    """All of benchmarks/gpu.py's calls run, on arrays that are small enough for the simulator."""
    page, noting, names = benchmark("gpu"), Noting(cuda), []
    small = {"one": (2, 3, 4, 5, 3, 2, 1, 1), "two": (1, 2, 2, 3, 1, 1, 0, 1)}
    with kernels.using(noting):
        products = page.products((2, 3, 4), 3, small, (1, 2, 2, 3, 3, 1, 1))
        for name, call, work in (*products, *page.others((1, 2, 5), 2, (2, 3), (2, 4))):
            call()
            assert work > 0
            names.append(name)
    cuda.finish()
    assert noting.asked >= contract.COMPUTING
    assert len(set(names)) == len(names)


def test_every_step_to_the_product_computes_the_same(cuda):
    """Those of docs/gpu.md, of matrices that fill no tile."""
    page = benchmark("gpu_product")
    one, two = contract.normal(5, 7), contract.normal(7, 3)
    steps = list(page.steps())
    assert len(steps) == 5
    for name, step in steps:
        c = sent(cuda, contract.fresh((5, 3)))
        step(sent(cuda, one), sent(cuda, two), c)
        np.testing.assert_allclose(cuda.to_host(c), one @ two, rtol=1e-12, err_msg=name)


class Context:
    """Of a device that sees another."""

    def __init__(self, number, given, code=None):
        self.handle, self.given, self.code = f"context {number}", given, code

    def can_access_peer(self, other):
        return other < 2

    def enable_peer_access(self, handle):
        self.given.append((self.handle, handle))
        if self.code:
            error = CudaAPIError(self.code, "")
            error.code = self.code  # the simulator's has none
            raise error


@pytest.mark.parametrize("code", [None, 704])
def test_a_device_gets_the_memory_of_another_before_it_once(cuda, monkeypatch, code):
    """Where it can; who has given it access before says so with an error."""
    given, now, memory = [], [0], cuda.memory

    @contextmanager
    def on(number):
        now[0] = number
        yield

    monkeypatch.setattr(memory, "SIMULATED", False)
    monkeypatch.setattr(memory, "on", on)
    monkeypatch.setattr(memory.cuda, "current_context", lambda: Context(now[0], given, code), raising=False)
    memory.sees.cache_clear()
    try:
        assert [memory.sees(0, 1), memory.sees(1, 0), memory.sees(0, 1), memory.sees(0, 2)] == [True, True, True, False]
    finally:
        memory.sees.cache_clear()
    assert given == [("context 0", "context 1"), ("context 1", "context 0")]


def test_a_driver_without_a_compiler_is_told_from_no_driver(cuda, monkeypatch):
    monkeypatch.setattr(cuda.launch, "SIMULATED", False)
    monkeypatch.setattr(cuda.launch.cuda, "is_available", lambda: False)
    def lacking():
        raise RuntimeError("libnvvm.so")

    for error, message in ((None, r"needs CUDA's compiler, and found none: pip install 'npnet\[cuda13\]'"),
                           ("no libcuda.so.", r"needs an NVIDIA GPU and its driver \(no libcuda.so\): nvidia-smi")):
        monkeypatch.setattr(cuda.launch.cuda, "cuda_error", lambda error=error: error, raising=False)
        with pytest.raises(ImportError, match=message):
            npnet.use("cuda")
    monkeypatch.setattr(cuda.launch.cuda, "is_available", lacking)
    with pytest.raises(ImportError, match=r"needs CUDA's compiler, and found none \(RuntimeError\): pip install '"):
        npnet.use("cuda")


def test_a_kernel_is_tried_before_the_backend_is_used(cuda, monkeypatch):
    monkeypatch.delenv("NPNET_BACKEND", raising=False)
    [(well, what, how)] = doctor._gpu()
    assert (well, what) == (True, "GPU")
    assert ("simulator" in how) is SIMULATED

    def failing(x, value):
        raise OSError("no libnvrtc.so\nin any folder")

    monkeypatch.setattr(cuda.memory, "fill", failing)
    cuda.memory.try_out.cache_clear()
    said = ("backend 'cuda' found a GPU, but no kernel runs on it (OSError: no libnvrtc.so in any folder): pip install "
            "'npnet[cuda13]' (or 'npnet[cuda12]', for a driver of CUDA 12)")
    with pytest.raises(ImportError) as raised:
        npnet.use("cuda")
    assert str(raised.value) == said
    assert list(doctor._gpu()) == [(True, "GPU", said)]
    monkeypatch.setenv("NPNET_BACKEND", "cuda")
    assert next(doctor._gpu())[0] is False, "it was asked for"


def test_two_columns_on_two_devices_are_the_whole_net(on_cuda):
    """AlexNet §3.2. In the simulator the devices are two by name, each with its own memory for kernels."""
    wide = Gaussian(0.5)
    net = Sequential(
        conv1=Conv2D(3, 4, 3, weight=wide), relu1=ReLU(), conv2=Conv2D(4, 4, 2, groups=2, weight=wide), relu2=ReLU(),
        conv3=Conv2D(4, 4, 2, weight=wide), relu3=ReLU(), fc4=Dense(4 * 2 * 2, 4, weight=wide), relu4=ReLU(),
        fc5=Dense(4, 3, weight=wide))
    net.initialise(0)
    halves = TwoColumns(net)
    used = {p.kernels.number for p in halves.parameters()}
    assert len(used) == min(2, on_cuda.launch.devices())
    x = net.upload("x", contract.normal(2, 3, 6, 6).astype(np.float32))
    labels = net.upload("t", np.array([2, 0]))
    results = []
    for one in (net, halves):
        sgd, loss = SGD(one.parameters(), 0.05), SoftmaxCrossEntropy()
        results.append(loss.forward(one.forward(x), labels))
        one.backward_parameters(loss.backward())
        sgd.step()
    assert results[1] == pytest.approx(results[0], rel=1e-5)
    gathered = halves.gather()
    for p in net.parameters():
        np.testing.assert_allclose(gathered[p.name], p.numpy(), rtol=1e-4, atol=1e-6)
    assert sum(crossing.sent["forward"] for crossing in halves.crossings) == 4 * 2 * (2 * 18 + 2 * 8 + 2)
    if SIMULATED:
        assert {key[0] for key in on_cuda.memory._scratch} >= {0, 1}


def test_a_product_that_is_too_large_to_be_counted_is_refused(cuda):
    with pytest.raises(ValueError, match=r"65536 × 65536 sums of 9 terms, 1 times: .* at most 4294967295: take"):
        cuda.product.multiply(None, None, None, None, None, (), (2**16, 2**16, 9))


@pytest.mark.skipif(not SIMULATED, reason="there is a GPU")
def test_what_a_simulator_takes_is_not_measured(cuda, monkeypatch):
    with kernels.using("cuda"):
        assert [what for _, what, _ in doctor._speed()] == ["matrix product"]
    monkeypatch.setenv("NPNET_BACKEND", "cuda")
    with pytest.raises(UserError, match=r"in Numba's simulator \(NUMBA_ENABLE_CUDASIM=1\) there is nothing to measure"):
        bench.run("cifar_18pct", 2)


def test_small_steps_of_a_mean_add_up(on_cuda):
    small_steps_add_up(on_cuda)


def test_every_kernel_compiles_for_a_device():
    """The simulator takes any Python; a GPU takes types, and float64 where float32 would do only slowly."""
    found = without_the_simulator(str(Path(__file__).with_name("cuda_types.py")))
    assert found.returncode == 0, found.stderr
    result = json.loads(found.stdout)
    assert result["problems"] == []
    assert result["compiled"] > 80
    assert result["tiles"] == [[64, False], [64, True], [128, False], [128, True]], "and whether in parts"
