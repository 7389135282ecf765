"""The commands that show what a net has learnt, from end to end, on a small run."""
import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from npnet import cli
from npnet.data import shapes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "small"
    assert cli.main(["train", "cifar_80sec", "--data", "shapes", "--images", "300", "--epochs", "1", "--out",
                     str(folder)]) == 0
    return folder


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two photos in a folder of their own, where the command runs."""
    monkeypatch.chdir(tmp_path)
    for name, image in zip(("one.png", "two.jpg"), shapes.load("test", 2).images, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).resize((50, 70)).save(name)
    return tmp_path


def size(path):
    with Image.open(path) as image:
        return image.size


def test_classify_names_five_classes_of_each_photo(run, photos, capsys):
    assert cli.main(["classify", "one.png", "two.jpg", "--run", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "one.png"
    assert lines[6] == "two.jpg"
    assert lines[-1] == "classified.png"
    percent = [float(re.search(r"([\d.]+)%", line).group(1)) for line in lines[1:6]]
    assert percent == sorted(percent, reverse=True)
    assert 0 < sum(percent) <= 100.5
    assert size("classified.png")[0] > 400
    assert cli.main(["classify", "one.png", "--run", str(run), "--views", "10", "--out", "a.svg"]) == 0


@pytest.mark.parametrize(("arguments", "message"), [
    (["classify", "none.jpg", "--run", "RUN"], "none.jpg: there is no such file"),
    (["classify", "broken.jpg", "--run", "RUN"], "broken.jpg: cannot be read as a picture"),
    (["classify", "one.png", "--run", "nowhere"], "nowhere: holds no run"),
    (["classify", "one.png", "--run", "RUN", "--out", "two.png"], "two.png: is there already"),
    (["curves", "RUN", "nowhere"], "nowhere: holds no run"),
    (["curves", "RUN", "--out", "two.png"], "two.png: is there already"),
    (["curves", *["RUN"] * 8], "8 runs are more than one picture can show (7)"),
    (["kernels", "nowhere"], "nowhere: holds no run"),
    (["kernels", "RUN", "--out", "two.png"], "two.png: is there already"),
    (["neighbours", "RUN", "none.jpg"], "none.jpg: there is no such file"),
    (["codes", "nowhere"], "nowhere: holds no run"),
])
def test_what_fails_is_one_line(run, photos, capsys, arguments, message):
    (photos / "broken.jpg").write_bytes(b"no photo")
    (photos / "two.png").write_bytes(b"mine")
    assert cli.main([str(run) if a == "RUN" else a for a in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert (photos / "two.png").read_bytes() == b"mine"


def test_a_picture_is_png_or_svg(run, photos, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["kernels", str(run), "--out", "kernels.jpg"])
    assert stop.value.code == 2
    assert "'kernels.jpg' must end in .png or .svg" in capsys.readouterr().err


def test_curves_of_two_runs_in_one_picture(run, photos, capsys):
    other = photos / "again" / run.name
    other.parent.mkdir()
    other.symlink_to(run)
    assert cli.main(["curves", str(run), str(other)]) == 0
    said = capsys.readouterr().out
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    for folder in (run, other):
        assert f"{folder}: test error {last['test_error']:.1%} after 1 epochs" in said, "told apart, with one name"
    assert size("curves.png")[0] > 500
    assert cli.main(["curves", str(run), "--out", "one.svg"]) == 0
    drawn = (photos / "one.svg").read_text()
    assert "cifar_80sec on shapes, error against epochs" in drawn
    assert "chance" in drawn


def test_kernels_are_drawn_without_the_data(run, capsys):
    assert cli.main(["kernels", str(run)]) == 0
    assert re.search(r"\d+% of the energy of all 32 kernels sees grey alone", capsys.readouterr().out)
    assert size(run / "kernels.png")[0] > 500


def test_neighbours_of_test_images_and_of_ones_own(run, photos, capsys):
    assert cli.main(["neighbours", str(run), "--count", "3"]) == 0
    said = re.search(r"of the 6 nearest training images ([\d.]+)% are of the test image's class \(chance: ([\d.]+)%\)",
                     capsys.readouterr().out)
    assert float(said.group(1)) > float(said.group(2)) > 5
    assert size(run / "neighbours.png")[1] > 500
    found = json.loads((run / "neighbours.json").read_text())
    assert f"{found['of_the_class']:.1%} {found['chance']:.1%}" == f"{said.group(1)}% {said.group(2)}%"
    (photos / "mine.json").write_text("mine")  # no numbers are written of one's own photos: it is in nobody's way
    assert cli.main(["neighbours", str(run), "one.png", "--out", "mine.png"]) == 0
    assert (photos / "mine.json").read_text() == "mine"
    assert size("mine.png")[1] < size(run / "neighbours.png")[1]


@pytest.mark.parametrize("command", ["neighbours", "codes"])
def test_numbers_beside_a_picture_take_nobodys_place(run, photos, command, capsys):
    (photos / "notes.json").write_text("mine")
    assert cli.main([command, str(run), "--out", "notes.png"]) == 2
    assert "notes.json: is there already" in capsys.readouterr().err
    assert (photos / "notes.json").read_text() == "mine"
    assert not (photos / "notes.png").exists()


def test_codes_are_learnt_and_compared(run, capsys):
    assert cli.main(["codes", str(run), "--bits", "24"]) == 0
    result = json.loads((run / "codes.json").read_text())
    assert (result["bits"], result["gallery"], result["k"]) == (24, 300, 6)
    assert len(result["learnt"]) == len(result["looked_at"])
    assert result["learnt"][-1] > result["chance"][-1]
    assert capsys.readouterr().out.count("random planes") == len(result["looked_at"])
    assert size(run / "codes.png")[0] > 500


def test_two_runs_are_evaluated_together(run, tmp_path, capsys):
    other = tmp_path / "other"
    assert cli.main(["train", "cifar_80sec", "--data", "shapes", "--images", "300", "--epochs", "1", "--seed", "1",
                     "--out", str(other)]) == 0
    assert cli.main(["evaluate", str(other), str(run)]) == 0
    assert "test error of 2 nets, averaged" in capsys.readouterr().out
    facts = json.loads((other / "evaluation-ensemble.json").read_text())
    assert facts["runs"] == [str(other), str(run)]
    assert 0 < facts["top1"] < 0.95


def test_data_of_other_classes_are_refused(run, photos, capsys):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (photos / "two" / split / name).mkdir(parents=True)
            shutil.copy("one.png", photos / "two" / split / name)
    assert cli.main(["data", "prepare", "two", "ready", "--side", "32", "--jobs", "1"]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", str(run), "--data", "ready"]) == 2
    said = "ready val: holds classes that are not among the 10 that are known (cat, dog): --data DIR names"
    assert said in capsys.readouterr().err


def test_a_photo_is_classified_without_the_training_data(photos, capsys):
    for split in ("train", "val"):
        for i, name in enumerate(("cat", "dog")):
            (photos / "two" / split / name).mkdir(parents=True)
            for j in range(3):
                Image.new("RGB", (40, 40), (200 * i, 40 * j, 99)).save(photos / "two" / split / name / f"{j}.png")
    (photos / "words").write_text("cat a cat, tabby\ndog a dog, hound\n")
    assert cli.main(["data", "prepare", "two", "ready", "--side", "32", "--jobs", "1", "--words", "words"]) == 0
    assert cli.main(["train", "cifar_80sec", "--data", "ready", "--epochs", "1", "--out", "run"]) == 0
    shutil.rmtree("ready")
    capsys.readouterr()
    assert cli.main(["classify", "two/val/cat/1.png", "--run", "run"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"a (cat|dog) +\d+\.\d%", said), "by what the names mean"
    assert cli.main(["evaluate", "run"]) == 2
    assert "there is no data set" in capsys.readouterr().err
    (photos / "run" / "input.safetensors").unlink()
    assert cli.main(["classify", "two/val/cat/1.png", "--run", "run", "--out", "b.png"]) == 2
    assert "run/input.safetensors: there is no such file" in capsys.readouterr().err


def test_fine_tuning_from_a_run(run, tmp_path, capsys):
    out = tmp_path / "tuned"
    command = ["train", "cifar_80sec", "--data", "shapes", "--images", "200", "--epochs", "1", "--from", str(run),
               "--out", str(out)]
    assert cli.main([*command, "--layer-rate", "conv1=0", "--new", "fc10"]) == 0
    from npnet.files import load_arrays

    before, after = (load_arrays(folder / "checkpoint.safetensors")[0] for folder in (run, out))
    np.testing.assert_array_equal(before["conv1.weight"], after["conv1.weight"])
    assert not np.array_equal(before["conv2.weight"], after["conv2.weight"])
    capsys.readouterr()
    for more, message in ((["--layer-rate", "conv9=1"], "conv9"), (["--new", "fc9"], "layer 'fc9' is not one of"),
                          (["--from", "none"], "none: there is no such file")):
        assert cli.main([*command[:-1], str(tmp_path / "x"), *more]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("switches", "message"), [
    (["dropout"], "'dropout' must be NAME=VALUE"), (["=3"], "'=3' must be NAME=VALUE"),
])
def test_a_switch_is_a_name_and_a_value(capsys, switches, message):
    with pytest.raises(SystemExit):
        cli.main(["train", "alexnet", "--data", "x", "--switch", *switches])
    assert message in capsys.readouterr().err


def test_switches_are_those_of_alexnet(capsys):
    assert cli.main(["train", "cifar_80sec", "--switch", "dropout=0"]) == 2
    assert "model (='cifar_80sec') has no switches" in capsys.readouterr().err
    assert cli.main(["train", "alexnet", "--data", os.devnull, "--switch", "wings=2"]) == 2
    assert "switch (='wings') must be one of input" in capsys.readouterr().err
