"""A trained net learns other classes."""
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npnet import cli, models
from npnet.data import shapes
from npnet.errors import UserError
from npnet.files import load_arrays
from npnet.recipes import RECIPES, load
from npnet.recipes.finetune import tuning
from npnet.recipes.recipe import load_input
from npnet.weights import begin_from, save_weights


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run on ten shapes, and photos of two of them, prepared."""
    folder = tmp_path_factory.mktemp("tuning")
    images = shapes.load("test", 60)
    for label in (2, 7):
        for split in ("train", "val"):
            place = folder / "photos" / split / f"a{label}"
            place.mkdir(parents=True)
            for i in np.flatnonzero(images.labels == label)[:4]:
                Image.fromarray(images.images[i].transpose(1, 2, 0)).save(place / f"{i}.png")
    run, photos, ready = (str(folder / name) for name in ("run", "photos", "ready"))
    assert cli.main(["train", "cifar_80sec", "--data", "shapes", "--images", "300", "--epochs", "1", "--out", run]) == 0
    assert cli.main(["data", "prepare", photos, ready, "--side", "32", "--jobs", "1"]) == 0
    return folder


@pytest.fixture
def there(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "all")
    monkeypatch.chdir(tmp_path / "all")


def weights(run):
    return load_arrays(Path(run) / "checkpoint.safetensors")[0]


def test_the_net_goes_on_and_its_last_layer_begins_anew(there, capsys):
    assert cli.main(["finetune", "run", "--data", "ready", "--epochs", "2"]) == 0
    said = capsys.readouterr().out
    assert "cifar_80sec_tuned on ready: test error" in said
    assert "author" not in said, "nobody else has tuned it so"
    before, after = weights("run"), weights("run-tuned")
    assert after["fc10.weight"].shape == (2, 64)
    moved = np.abs(after["conv2.weight"] - before["conv2.weight"]).max()
    assert 0 < moved < 0.1 * np.abs(before["conv2.weight"]).max(), "a little"
    recipe, facts = load(Path("run-tuned"))
    assert recipe.rate == pytest.approx(RECIPES["cifar_80sec"].rate / 10)
    assert recipe.slow == ((0.0, "fc10", 10.0),)
    assert facts["classes"] == 2
    for mine, theirs in zip(load_input(Path("run-tuned"))[:1], load_input(Path("run"))[:1], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert load_input(Path("run-tuned"))[1] == ("a2", "a7")
    assert cli.main(["finetune", "run", "--data", "ready", "--epochs", "3", "--resume"]) == 0
    assert json.loads((Path("run-tuned") / "metrics.jsonl").read_text().splitlines()[-1])["epoch"] == 3


def test_from_scratch_nothing_is_taken_but_the_net_and_the_mean(there):
    assert cli.main(["finetune", "run", "--data", "ready", "--epochs", "1", "--scratch", "--seed", "4"]) == 0
    recipe, facts = load(Path("run-scratch"))
    assert "start" not in facts
    assert (recipe.rate, recipe.slow) == (RECIPES["cifar_80sec"].rate, ())
    first = RECIPES["cifar_80sec"].build(4, 2)["conv1"].weight.numpy()
    assert np.abs(weights("run-scratch")["conv1.weight"] - first).max() < 0.01
    assert cli.main(["curves", "run-scratch", "run", "--out", "c.svg"]) == 0


def test_what_cannot_be_tuned_is_said(there, capsys):
    for arguments, message in ((["nowhere", "--data", "ready"], "nowhere: holds no run"),
                               (["run", "--data", "ready", "--out", "run"], "run: is the run that is to be tuned"),
                               (["run", "--data", "photos"], "holds no CIFAR-10 (test_batch.bin) and no photos")):
        assert cli.main(["finetune", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_googlenet_is_tuned_without_its_classifiers_in_the_middle(tmp_path):
    RECIPES["googlenet_caffe"].save(tmp_path, data="x train", images=5, classes=7)
    recipe = tuning(tmp_path, 5)
    assert recipe.arguments == {"preset": "caffe", "heads": False}
    assert recipe.slow == ((0.0, "fc", 10.0),)
    later = replace(RECIPES["cifar_13pct"], epochs=20, drops=(8, 16))
    later.save(tmp_path / "later", data="x train", images=5, classes=7)
    assert replace(tuning(tmp_path / "later", 5), epochs=10) == tuning(tmp_path / "later", 10), "it can go on"
    assert tuning(tmp_path, 5, 0.02).rate == 0.02
    helped, plain = (models.googlenet(classes=7, heads=heads, seed=heads) for heads in (True, False))
    save_weights(helped, tmp_path / "w.safetensors")
    assert begin_from(plain, tmp_path / "w.safetensors", ["fc"]) == ["fc.weight", "fc.bias"]
    np.testing.assert_array_equal(plain["conv2"].weight.numpy(), helped["conv2"].weight.numpy())
    save_weights(plain, tmp_path / "v.safetensors")
    with pytest.raises(UserError, match=r"holds no head_inception4a"):
        begin_from(helped, tmp_path / "v.safetensors", ["fc"])
