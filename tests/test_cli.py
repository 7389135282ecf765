"""The command line from end to end, as a user runs it: in a process of its own, in an empty folder."""
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from npnet.cli import main, parser

COMMANDS = tuple(parser()._subparsers._group_actions[0].choices)
SMALL = ("--data", "shapes", "--images", "600", "--epochs", "1")


@pytest.fixture
def npnet(tmp_path):
    """Runs ``npnet`` in an empty folder, without any data set in sight."""
    environment = {k: v for k, v in os.environ.items() if k not in ("NPNET_DATA", "NPNET_BACKEND")}

    def run(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "npnet", *map(str, arguments)], cwd=tmp_path, env=environment, capture_output=True,
            text=True, timeout=300,
        )
        assert done.returncode == code, done.stderr
        return done

    run.folder, run.environment = tmp_path, environment
    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples(npnet, command):
    assert f"examples:\n  npnet {command}" in npnet(command, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "npnet: the following arguments are required: COMMAND"),
        (("fly",), "invalid choice: 'fly'"),
        (("train", "vgg"), "npnet train: recipe 'vgg' is not one of cifar_80sec"),
        (("train", "cifar_80sec", "--epochs", "0"), "--epochs: '0' must be a whole number, at least 1"),
        (("train", "cifar_80sec", "--rate", "nan"), "--rate: 'nan' must be a number greater than 0"),
        (("train", "cifar_80sec", "--data", "nowhere"), "there is no data set 'nowhere'"),
        (("train", "cifar_80sec", "--data", "cifar10"), "npnet download cifar10 fetches it"),
        (("train", "cifar_80sec", "--data", "."), "holds no CIFAR-10"),
        (("train", "cifar_80sec", *SMALL, "--out", "/proc/there"), "npnet train: "),
        (("evaluate", "nowhere"), "nowhere: holds no run (no recipe.json)"),
        (("figure1", "--redraw", "--out", "nowhere"), "nowhere: holds no Figure 1"),
        (("evaluate", "nowhere", "--images", "5"), "--images 5 are of photos as they are: --photos DIR names"),
        (("evaluate", "nowhere", "--data", "shapes", "--photos", "there"), "--data shapes and --photos there: "),
        (("gradcheck", "--threads", "99999"), "--threads: '99999' must be at most "),
        (("neighbours", "nowhere", "--seed", "-1"), "--seed: '-1' must be a whole number, not negative"),
        (("train", "alexnet", "--data", "shapes", "--switch", "dropout=abc"), "dropout (='abc') must be"),
        (("convert", "a.caffemodel", "--model", "googlenet", "--run", "there", "--words", "w", "--partial"),
         "--partial and --classes go with --out"),
        (("summary", "resnet"), "model (='resnet') must be one of cifar_80sec"),
        (("summary", "cifar_18pct", "--backend", "opencl"), "invalid choice: 'opencl'"),
    ],
)
def test_what_fails_says_so_in_one_line(npnet, arguments, says):
    done = npnet(*arguments, code=2)
    assert says in done.stderr
    assert done.stderr.count("\n") == 1 + done.stderr.count("using shapes")
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_summary_prints_the_counts(npnet):
    lines = npnet("summary", "cifar_18pct").stdout.splitlines()
    assert lines[-2].split() == ["total", "45,066", "89,578", "12,298,240"]
    assert lines[-1] == "memory of a training step: 1 MiB, and 0.6 for each image of the batch (77 for 128)"
    assert next(line for line in lines if line.startswith("conv2")).split()[-8:] == [
        "32", "×", "16", "×", "16", "8,192", "25,632", "6,553,600"]


def test_gradcheck_reports_every_layer(npnet):
    out = npnet("gradcheck", "--backend", "numpy").stdout
    assert "FAIL" not in out
    assert out.splitlines()[-1].endswith("numpy)")
    assert "42 of 42 agree" in out or int(out.splitlines()[-1].split()[0]) > 42


def test_doctor_finds_what_is_there(npnet):
    npnet.environment.pop("OPENBLAS_CORETYPE", None)
    out = npnet("doctor").stdout
    for what in ("npnet", "packages", "backend", "BLAS", "CIFAR-10", "matrix product", "training"):
        assert f"  {what}" in out
    assert "not found: npnet download cifar10" in out


@pytest.mark.parametrize(("hidden", "backend", "found"), [
    ("scipy", "numba", "! blas +scipy is hidden"),
    ("", "torch", r"! backend +backend \(='torch'\) must be one of numpy"),
])
def test_doctor_goes_on_where_something_is_wrong(npnet, hidden, backend, found):
    if hidden:
        (npnet.folder / hidden).mkdir()
        (npnet.folder / hidden / "__init__.py").write_text(f"raise ImportError('{hidden} is hidden')")
    npnet.environment |= {"NPNET_BACKEND": backend, "PYTHONPATH": str(npnet.folder)}
    out = npnet("doctor", code=1).stdout
    assert re.search(found, out), out
    assert "CIFAR-10" in out
    assert "matrix product" in out


def test_doctor_says_what_is_wrong(npnet):
    npnet.environment["OPENBLAS_CORETYPE"] = "Haswell"
    assert "! BLAS            OPENBLAS_CORETYPE=Haswell" in npnet("doctor", code=1).stdout


def test_train_then_evaluate_then_train_on(npnet):
    done = npnet("train", "cifar_80sec", *SMALL, "--out", "run")
    assert "600/600" in done.stderr  # the bar: images, and how fast
    assert "test error" in done.stdout
    run = npnet.folder / "run"
    assert {p.name for p in run.iterdir()} == {
        "recipe.json", "input.safetensors", "metrics.jsonl", "checkpoint.safetensors", "training.svg", "training.png"}
    last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][-1]
    out = npnet("evaluate", "run").stdout
    assert f"test error {last['test_error']:.2%}" in out
    assert json.loads((run / "evaluation.json").read_text())["top1"] == last["test_error"]

    assert "run: holds a run of cifar_80sec already: --resume" in npnet(
        "train", "cifar_80sec", *SMALL, "--out", "run", code=2).stderr
    assert "seed 0 there, 1 here" in npnet(
        "train", "cifar_80sec", *SMALL, "--out", "run", "--resume", "--seed", 1, code=2).stderr
    npnet("train", "cifar_80sec", *SMALL[:-1], 2, "--out", "run", "--resume")
    epochs = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert epochs[-1] == 2 and epochs == sorted(epochs)  # noqa: PT018


def test_ctrl_c_keeps_what_was_learnt(npnet):
    command = [sys.executable, "-m", "npnet", "train", "cifar_80sec", "--data", "shapes", "--out", "run"]
    process = subprocess.Popen(command, cwd=npnet.folder, env=npnet.environment, stderr=subprocess.PIPE, text=True)
    metrics: Path = npnet.folder / "run" / "metrics.jsonl"
    while not metrics.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "npnet train: stopped after step " in said.splitlines()[-1]
    assert "--resume" in said.splitlines()[-1]
    assert (npnet.folder / "run" / "checkpoint.safetensors").exists()


def test_a_rate_that_is_too_high_stops_the_run(npnet):
    said = npnet("train", "cifar_80sec", *SMALL, "--out", "run", "--rate", "1e9", code=2).stderr.splitlines()[-1]
    assert "the loss is nan at step" in said
    assert "learning rate 1e+09" in said


def test_figure1_without_cifar10_says_that_it_uses_shapes(npnet):
    done = npnet("figure1", "--images", "500", "--epochs", "1", "--out", "figure")
    assert "using shapes, the built-in set" in done.stderr
    assert "Figure 1 on shapes: 25% training error with ReLU: not reached" in done.stdout
    svg = npnet.folder / "figure" / "figure1.svg"
    first = svg.read_bytes()
    assert b"shapes" in first
    svg.unlink()
    npnet("figure1", "--redraw", "--out", "figure")
    assert svg.read_bytes() == first


def test_quick_takes_what_is_asked_for_besides(npnet):
    done = npnet("figure1", "--quick", "--data", "shapes", "--images", "130", "--epochs", "1", "--out", "figure")
    assert "130 images" in (npnet.folder / "figure" / "figure1.svg").read_text()
    assert "not reached" in done.stdout


def test_redraw_says_one_thing_only(npnet):
    assert npnet("figure1", "--redraw", code=2).stderr.count("\n") == 1
    assert npnet("figure1", "--redraw", "--out", "nowhere", code=2).stderr.count("\n") == 1
    (npnet.folder / "figure").mkdir()
    for text, said in (("{", "not a Figure 1's record"), ("{}", "has no data, images, level, rates, runs")):
        (npnet.folder / "figure" / "figure1.json").write_text(text)
        assert said in npnet("figure1", "--redraw", "--out", "figure", code=2).stderr


def test_two_jobs_fail_in_one_line_as_one_does(npnet):
    (npnet.folder / "file").write_text("mine")
    for jobs in (1, 2):
        said = npnet("figure1", "--data", "shapes", "--images", 130, "--epochs", 1, "--jobs", jobs, "--out", "file",
                     code=2).stderr.splitlines()
        assert not [line for line in said if "Traceback" in line]
        assert said[-1].startswith("npnet figure1: ")
        assert "file" in said[-1]
    assert (npnet.folder / "file").read_text() == "mine"


def test_weights_that_explode_in_the_last_step_are_no_result(npnet):
    said = npnet("train", "cifar_80sec", "--data", "shapes", "--images", 64, "--epochs", 1, "--out", "run",
                 "--rate", "1e30", code=2).stderr.splitlines()[-1]
    assert "not finite: it has diverged" in said


def test_a_terminal_without_the_signs_shows_others(npnet):
    npnet.environment["PYTHONIOENCODING"] = "ascii"
    assert "conv1" in npnet("summary", "cifar_18pct").stdout


def test_evaluate_finds_the_data_that_the_run_was_trained_on(npnet, monkeypatch):
    folder = os.environ.get("NPNET_DATA")
    if not folder:
        pytest.skip("needs CIFAR-10 in $NPNET_DATA")
    npnet.environment.pop("NPNET_DATA", None)
    npnet("train", "cifar_80sec", "--data", folder, "--images", 256, "--epochs", 1, "--out", "run")
    npnet("evaluate", "run")


def test_doctor_sees_that_a_data_set_is_damaged(npnet):
    (npnet.folder / "data").mkdir()
    (npnet.folder / "data" / "data_batch_1.bin").write_bytes(bytes(1000))
    found = npnet("doctor", code=1).stdout
    assert "data_batch_1.bin has 1,000 bytes, expected 30,730,000" in found


def test_augment_saves_a_sheet(tmp_path, capsys, monkeypatch):
    import numpy as np
    from PIL import Image

    from npnet import cli

    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:300, :400]
    Image.fromarray(np.stack([x % 256, y % 256, (x + y) % 256], -1).astype(np.uint8)).save("photo.jpg")
    assert cli.main(["augment", "photo.jpg"]) == 0
    assert capsys.readouterr().out == (
        "photo-augmented.png: 2,178 crops and mirrors of 224 × 224 are possible (the paper counts 2,048)\n")
    with Image.open("photo-augmented.png") as sheet:
        assert sheet.size[0] > 900
    Image.open("photo.jpg").save("photo.png")
    assert cli.main(["augment", "photo.jpg", "--crop", "32", "--out", "s.svg"]) == 0
    assert "<svg" in (tmp_path / "s.svg").read_text()
    for wrong, says in ((["none.jpg"], "none.jpg: there is no such file"),
                        (["photo.jpg", "--out", "photo.png"], "photo.png: is there already: --out FILE takes another"),
                        (["photo.jpg", "--out", "t.png", "--crop", "999"], "--crop (=999) must be at most 256"),
                        (["s.svg", "--out", "t.png"], "s.svg: cannot be read as a picture"),
                        (["photo.jpg", "--out", "t.png", "--data", "."], "holds no prepared photos")):
        assert cli.main(["augment", *wrong]) == 2
        assert says in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["augment", "photo.jpg", "--out", "s.txt"])
    assert "'s.txt' must end in .png or .svg" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "says"), [
    (errno.ENOSPC, "there: No space left on device: make room, and run it again"),
    (errno.EACCES, "there: Permission denied: name another place, or change who may use this one"),
    (errno.EIO, "there: Input/output error: mend this, and run it again"),
])
def test_what_the_disk_refuses_is_said_with_what_to_do(monkeypatch, capsys, number, says):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), "there")

    monkeypatch.setattr("npnet.models.ledger.text", refuse)
    assert main(["ledger"]) == 2
    assert capsys.readouterr().err == f"npnet ledger: {says}\n"
