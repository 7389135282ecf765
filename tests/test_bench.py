import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import npnet
from npnet import kernels, models
from npnet.bench import limits, run, text
from npnet.bench.layers import Stopwatch, leaves, work
from npnet.bench.run import PEERS, Worker
from npnet.cli import main
from npnet.errors import UserError
from npnet.layers import AvgPool2D, Concat, Conv2D, Dense, Dropout, ReLU, Sequential


@pytest.fixture
def backend(monkeypatch):
    monkeypatch.setattr(kernels, "_active", kernels._active)
    npnet.use("numpy")


def test_json_holds_all_numbers_and_the_page_a_row_for_every_layer(capsys, monkeypatch):
    assert main(["bench", "cifar_18pct", "--batch", "2", "--steps", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["model"], result["batch"], result["steps"]) == ("cifar_18pct", 2, 2)
    own = result["sides"]["npnet"]
    assert len(own["step"]) == len(own["infer"]) == 2
    assert min(own["step"]) <= own["step_median"] <= max(own["step"])
    assert own["memory"]["peak"] > own["memory"]["before"] > 0
    assert result["limits"]["gflops"] > 1
    assert result["limits"]["gbs"] > 0.1
    macs = sum(sum(row["macs"]) for row in result["layers"] if "macs" in row)
    conv1 = 32 * 32 * 32 * 75
    assert macs == 2 * (3 * models.build("cifar_18pct").cost((3, 32, 32)).macs - conv1)  # conv1 has no gradient below
    assert result["gflop"] == pytest.approx(2e-9 * macs)
    assert "ratio" not in result
    kinds = {row["kind"]: row for row in result["kinds"]}
    assert list(kinds) == ["Conv2D", "MaxPool2D", "ReLU", "LRNWithin", "AvgPool2D", "Dense", "update"]
    convolutions = [row for row in result["layers"] if row["layer"].startswith("conv")]
    assert kinds["Conv2D"]["macs"] == [sum(row["macs"][i] for row in convolutions) for i in (0, 1)]
    assert all(0 < share < 10 for share in kinds["Conv2D"]["shares"])
    assert kinds["update"]["shares"][0] is None
    assert kinds["Conv2D"]["backward"] == pytest.approx(sum(row["backward"] for row in convolutions))
    page = text(result)
    both = kinds["Conv2D"]["forward"] + kinds["Conv2D"]["backward"]
    [line] = [line for line in page.splitlines() if line.startswith("Conv2D ")]
    assert f"{both * 1e3:.2f} ms" in line
    assert "update" in page
    monkeypatch.setattr("npnet.bench.run", lambda *asked: result)  # half a minute, and the same numbers
    assert main(["bench", "cifar_18pct", "--batch", "2", "--steps", "2"]) == 0
    assert capsys.readouterr().out == page + "\n"
    for name in models.build("cifar_18pct").names:
        assert f"\n{name} " in page
    assert "threads; 20" in page
    assert "GFLOP/s" in page
    assert "for " in page.splitlines()[3], "the core type of BLAS"


def test_what_cannot_be_is_said_in_one_line(capsys, monkeypatch):
    assert main(["bench", "resnet"]) == 2
    assert "'resnet' is not one of cifar_80sec" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["bench", "cifar_18pct", "--against", "torch"]) == 2
    assert capsys.readouterr().err == "npnet bench: --against torch: it is not installed: pip install torch\n"


def test_a_worker_that_dies_says_why(monkeypatch):
    monkeypatch.setenv("NPNET_BACKEND", "numpy")
    with pytest.raises(UserError, match=r"npnet: .*(Memory|memory|allocate)"):
        run("cifar_19pct", 2**40)


def test_every_layer_is_timed_once_and_containers_only_for_themselves(backend):
    net = models.build("googlenet", classes=5)
    names = [name for name, _ in leaves(net)]
    assert len(names) == len(set(names))
    assert "inception3a.three.conv3" in names
    assert "inception3a" in names
    assert "inception3a.three" not in names
    small = models.build("cifar_18pct")
    watch = Stopwatch(small)
    y = small.forward(np.zeros((2, 3, 32, 32), np.float32))
    small.backward_parameters(np.ones_like(y))
    seconds = watch.take()
    assert {name for name, way in seconds if way == "forward"} == set(small.names)
    assert {name for name, way in seconds if way == "backward"} == set(small.names)
    assert all(s > 0 for s in seconds.values())
    assert watch.take() == {}
    table = work(small, watch)
    assert table["conv1"]["macs"] == (2 * 32**3 * 75, 2 * 32**3 * 75)
    assert table["conv2"]["macs"] == (2 * 16 * 16 * 32 * 800, 4 * 16 * 16 * 32 * 800)
    assert table["relu1"]["bytes"] == (2 * 4 * 2 * 32 * 256, 0)  # back, norm1 does it
    assert table["relu2"]["bytes"] == (0, 3 * 4 * 2 * 32 * 256)  # conv2 has done it
    assert table["pool1"]["bytes"] == (2 * 32 * (4 * 1024 + 5 * 256), 2 * 32 * (4 * 1024 + 5 * 256))  # places: a byte


def test_branches_that_begin_together_are_counted_where_they_are_timed(backend):
    net = Sequential(
        first=Conv2D(3, 3, 1),
        mixed=Concat(a=Conv2D(3, 4, 1), b=Sequential(reduce=Conv2D(3, 2, 1), relu=ReLU(), conv=Conv2D(2, 5, 3, pad=1))),
    )
    watch, x = Stopwatch(net), np.zeros((2, 3, 6, 7), np.float32)
    net.backward(np.ones_like(net.forward(x)))
    table = work(net, watch)
    assert table["mixed"]["macs"] == (2 * 42 * 3 * (4 + 2), 4 * 42 * 3 * (4 + 2))
    assert table["mixed.b.conv"]["macs"] == (2 * 42 * 2 * 5 * 9, 4 * 42 * 2 * 5 * 9)
    assert sum(row.get("macs", (0, 0))[0] for row in table.values()) == 2 * net.cost((3, 6, 7)).macs
    assert {name for name, _ in watch.take()} == {"first", "mixed", "mixed.b.relu", "mixed.b.conv"}


def test_a_layer_is_compared_with_the_copy_beside_it():
    """That of its own step: of three steps, one was in a minute in which the machine copies twice as fast."""
    from npnet.bench.run import _add_shares

    seconds, speeds = (1.0, 1.1, 0.5), (10.0, 10.0, 20.0)
    tables = [[{"forward": s, "backward": 0.0, "bytes": (6e9, 0)}, {"forward": 0.0, "backward": s, "macs": (0, 4e9)}]
              for s in seconds]
    rows = [dict(row) for row in tables[0]]
    _add_shares(rows, tables, [{"gbs": speed, "gflops": 8.0} for speed in speeds])
    assert rows[0]["shares"] == [pytest.approx(0.6), None, pytest.approx(0.6)]
    assert rows[1]["shares"] == [None, pytest.approx(1.0), pytest.approx(1.0)]


def test_what_dropout_leaves_to_the_relu_is_not_counted(backend):
    net = Sequential(relu=ReLU(), drop=Dropout(0.5), pool=AvgPool2D(1, 1))
    watch, x = Stopwatch(net), np.zeros((2, 3, 1, 1), np.float32)
    net.backward(np.ones_like(net.forward(x)))
    assert work(net, watch)["drop"]["bytes"] == (2 * 4 * 6, 0)


def test_what_dropout_leaves_to_the_layer_behind_is_not_counted(backend):
    net = Sequential(fc1=Dense(3, 4), drop1=Dropout(0.5, "inverted"), fc2=Dense(4, 2), drop2=Dropout(0.5))
    watch, x = Stopwatch(net), np.zeros((2, 3), np.float32)
    net.backward(np.ones_like(net.forward(x)))
    assert work(net, watch)["drop1"]["bytes"] == (0, 0)
    assert work(net, watch)["drop2"]["bytes"] == (2 * 4 * 4, 2 * 4 * 4)


def test_steps_between_are_not_counted(backend):
    from npnet.bench.worker import Npnet

    side = Npnet("cifar_19pct", 2, 1)
    side.layers()
    for _ in range(20):
        side.step()
    began = time.perf_counter()
    rows = side.layers()["rows"]
    assert sum(row["forward"] + row["backward"] for row in rows) < time.perf_counter() - began


def test_limits_are_measured():
    assert 0.1 < limits.copying(1, megabytes=8) < 10_000
    assert 0.1 < limits.matrix_product(128) < 1e6
    assert limits.machine()["cores"] >= 1


def test_what_is_copied_lies_in_memory(monkeypatch):
    """Pages that have never been written are all the same one, which lies in the cache: half the work."""
    copied = []
    monkeypatch.setattr(np, "copyto", lambda target, source: copied.append(source.min()))
    limits.copying(2, megabytes=1)
    assert copied
    assert all(copied)


@pytest.mark.parametrize("name", ["cifar_18pct", "alexnet", "googlenet"])
def test_the_peer_is_the_same_net(name, backend):
    """PyTorch's logits are npnet's, so that the same work is measured."""
    torch = pytest.importorskip("torch")
    from npnet.bench import peer

    net = models.build(name, classes=7, seed=3)
    for p in net.parameters():
        if p.name.endswith("weight"):
            p.assign(p.numpy() * (100 if name == "cifar_18pct" else 1))
    x = np.random.default_rng(0).standard_normal((1, *models.INPUTS[name]), np.float32)
    expected = np.array(net.forward(x, train=False))
    twin = peer.module(net).eval()
    with torch.no_grad():
        got = twin(torch.from_numpy(peer.widened(net, x))).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert sum(p.numel() for p in twin.parameters()) == sum(p.size for p in net.parameters())


def test_the_ratio_is_that_of_the_better_layout():
    pytest.importorskip("torch")
    result = run("cifar_19pct", 4, "torch", steps=1)
    medians = [result["sides"][side]["step_median"] for side in PEERS["torch"]]
    assert result["ratio"] == min(medians) / result["sides"]["npnet"]["step_median"]
    losses = [side["loss"] for side in result["sides"].values()]
    assert np.ptp(losses) < 0.01
    assert "times as fast" in text(result)


@pytest.fixture
def torch(tmp_path, monkeypatch):
    """A library of that name, before any other; it does what is written into it."""
    (tmp_path / "torch").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "torch" / "__init__.py"


def test_a_peer_that_cannot_begin_says_why(torch):
    torch.write_text("raise OSError('libtorch_cpu.so: cannot open')")
    worker = Worker("nchw", "cifar_19pct", 4, 1, "cpu")
    try:
        worker.process.wait()
        with pytest.raises(UserError, match=r"nchw: OSError: libtorch_cpu\.so: cannot open"):
            worker.ask("step 1")
    finally:
        worker.close()


def test_what_a_library_takes_by_itself_is_there_before_the_net(torch):
    torch.write_text("")
    code = ("import sys\nfrom npnet.bench import peer, worker\n"
            "worker.memory = lambda: print('torch' in sys.modules, file=sys.stderr)\n"
            "peer.Torch = lambda *_: print('made', file=sys.stderr)\n"
            "worker.main('nchw', 'cifar_19pct', 1, 1, 'cpu')\n")
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=True)
    assert done.stderr.split() == ["True", "made"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_a_peak_is_of_the_process_and_not_of_the_one_that_began_it():
    inner = "from npnet.bench.worker import peak_memory; print(peak_memory())"
    outer = ("import subprocess, sys\nheld = b'1' * 2**29\n"
             f"subprocess.run([sys.executable, '-c', {inner!r}], check=True)")
    done = subprocess.run([sys.executable, "-c", outer], capture_output=True, text=True, check=True)
    assert 2**24 < int(done.stdout) < 2**28
