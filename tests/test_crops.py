"""144 crops of a photo, and what nets say of them (GoogLeNet §7)."""
import json

import numpy as np
import pytest
from PIL import Image

from npnet import cli
from npnet.data import DataError, augment, photo, shapes
from npnet.data.crops import CENTRE, COUNT, SCALES, TEN, crops
from npnet.data.pictures import Pictures
from npnet.evaluate.crops import combined
from npnet.layers import Layer


def picture(width=90, height=60):
    """Its red grows from left to right, its green from top to bottom."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 250, width)
    pixels[..., 1] = np.linspace(0, 250, height)[:, None]
    return Image.fromarray(pixels)


def test_there_are_four_sizes_three_squares_six_places_and_their_mirrors():
    made = crops(picture(), 144, 224).reshape(4, 3, 6, 2, 3, 224, 224).astype(int)
    np.testing.assert_array_equal(made[:, :, :, 1], made[:, :, :, 0, :, :, ::-1])
    red = made[:, :, :, 0, 0].mean(axis=(-1, -2))
    assert (np.diff(red, axis=1) > 20).all(), "squares from left to right"
    green = made[:, :, :, 0, 1].mean(axis=(-1, -2))
    assert (np.abs(np.diff(green, axis=1)) < 2).all()
    assert (red[:, :, [0, 2]] < red[:, :, [1, 3]]).all(), "left corners, right ones"
    assert (green[:, :, [0, 1]] < green[:, :, [2, 3]]).all(), "upper corners, lower ones"
    np.testing.assert_allclose(red[:, :, 4], red[:, :, 5], atol=1.5)  # the centre, and all of it
    wide = np.ptp(made[:, :, :, 0, 0].mean(axis=-2), axis=-1)
    shown = 250 * (60 / 90) * 224 / np.array(SCALES)
    np.testing.assert_allclose(wide[:, :, 4], shown[:, None].repeat(3, axis=1), atol=3)
    np.testing.assert_allclose(wide[:, :, 5], 250 * 60 / 90, atol=4)


def test_a_tall_photos_squares_lie_one_above_the_other():
    made = crops(picture(60, 90), 144).reshape(4, 3, 6, 2, 3, 224, 224)[0, :, 4, 0]
    assert (np.diff(made[:, 1].mean(axis=(-1, -2))) > 20).all()
    assert (np.abs(np.diff(made[:, 0].astype(int).mean(axis=(-1, -2)))) < 2).all()


def test_ten_and_one_are_alexnets_and_among_the_144():
    one = picture(70, 50)
    every = crops(one, COUNT)
    np.testing.assert_array_equal(crops(one, 10), every[TEN])
    np.testing.assert_array_equal(crops(one, 1), every[[CENTRE]])
    square = photo.square(one)
    for crop, ((top, left), mirrored) in zip(crops(one, 10), augment.views((32, 32)), strict=True):
        part = square[:, top : top + 224, left : left + 224]
        np.testing.assert_array_equal(crop, part[:, :, ::-1] if mirrored else part)
    assert len({crop.tobytes() for crop in every}) == 126, "all of a square, made as small, is the same for each size"


@pytest.mark.parametrize(("arguments", "message"), [
    ((12,), r"count \(=12\) must be one of 1, 10, 144"), ((1, 300), r"side \(=300\) must be at most 256")])
def test_other_crops_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        crops(picture(), *arguments)


class Plain(Layer):
    """Three scores, of each image's first numbers."""

    computed = 0

    def forward(self, x, train=True):
        self.computed += len(x)
        y = self.output((len(x), 3), x.dtype)
        y[...] = x[:, 0, 0, :3]
        return y


def test_answers_are_put_together_behind_the_softmax():
    rng = np.random.default_rng(0)
    photos = [rng.normal(0, 3, (100, 1, 1, 4)).astype(np.float32) for _ in range(3)]
    single = combined(Plain(), (crops[:1] for crops in photos), {"one": ([0], "mean")})["one"]
    asked = []
    ways = {"some": ([1, 7, 99], "mean"), "all": (list(range(100)), "mean"), "largest": ([0, 50], "max")}
    found = combined(Plain(), photos, ways, asked.append)
    assert sum(asked) == 300
    for n, crop in enumerate(photos):
        p = np.exp(crop[:, 0, 0, :3].astype(np.float64))
        p /= p.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(single[n], p[0], rtol=1e-5)
        np.testing.assert_allclose(found["some"][n], p[[1, 7, 99]].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found["all"][n], p.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found["largest"][n], p[[0, 50]].max(axis=0), rtol=1e-5)


def test_crops_that_are_the_same_are_computed_once():
    ramp = Image.fromarray(np.arange(300 * 300 * 3, dtype=np.uint32).reshape(300, 300, 3).astype(np.uint8))
    square = crops(ramp, COUNT, 32).astype(np.float32)
    net, asked = Plain(), []
    found = combined(net, [square, square[:7], 1 + square[::-1]], {"mean": ([0, 5, 6], "mean")}, asked.append)["mean"]
    assert net.computed == 42 + len(np.unique(square[:7], axis=0)) + 42
    assert sum(asked) == 144 + 7 + 144
    for row, those in zip(found, (square, square[:7], 1 + square[::-1]), strict=True):
        each = [combined(Plain(), [those[[i]]], {"one": ([0], "mean")})["one"][0] for i in (0, 5, 6)]
        np.testing.assert_allclose(row, np.mean(each, axis=0), rtol=1e-6)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four photos of two of the ten classes, in val, and one in train."""
    monkeypatch.chdir(tmp_path)
    images = shapes.load("test", 200)
    for label in (3, 6):
        for split, count in (("val", 2), ("train", 1)):
            place = tmp_path / "photos" / split / images.classes[label]
            place.mkdir(parents=True)
            for i in np.flatnonzero(images.labels == label)[:count]:
                Image.fromarray(images.images[i].transpose(1, 2, 0)).resize((300, 280)).save(place / f"{i}.png")
    return tmp_path / "photos"


def test_pictures_are_those_of_the_test_split(folder):
    pictures = Pictures(folder)
    assert (len(pictures), pictures.labels.tolist()) == (4, [0, 0, 1, 1])
    assert pictures.picture(3).size == (300, 280)
    pictures = pictures.take(2)
    assert pictures.labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        Pictures("nowhere")


def test_the_commands_ask_about_photos_as_they_are(folder, capsys):
    def train(seed):
        return cli.main(["train", "cifar_80sec", "--data", "shapes", "--images", "200", "--epochs", "1", "--seed",
                         str(seed), "--out", f"run{seed}"])

    assert train(0) == train(1) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", "run0", "--photos", str(folder), "--views", "144"]) == 0
    assert "test error of 144 views, averaged" in capsys.readouterr().out
    once = json.loads((folder.parent / "run0" / "evaluation-photos-144-views.json").read_text())
    assert once["images"] == 4
    assert cli.main(["table3", "run0", "run1", "--photos", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "4 photos" in out
    table = json.loads((folder.parent / "table3.json").read_text())
    assert [(row["nets"], row["crops"], row["how"], row["cost"]) for row in table["rows"]] == [
        (1, 1, "mean", 1), (1, 10, "mean", 10), (1, 144, "mean", 144), (1, 144, "max", 144),
        (2, 1, "mean", 2), (2, 10, "mean", 20), (2, 144, "mean", 288), (2, 144, "max", 288)]
    assert table["rows"][2] == {"nets": 1, "crops": 144, "how": "mean", "cost": 144, **once}
    for arguments, message in (
        (["evaluate", "run0", "--views", "144"], "--views 144 are of photos as they are: --photos DIR"),
        (["evaluate", "run0", "--photos", "nowhere"], "nowhere: there is no such folder"),
        (["table3", "run0", "--photos", str(folder)], "table3.json: is there already"),
    ):
        assert cli.main(arguments) == 2
        assert message in capsys.readouterr().err
    (folder / "val" / "bird").mkdir()
    Image.new("RGB", (9, 9)).save(folder / "val" / "bird" / "a.png")
    assert cli.main(["evaluate", "run0", "--photos", str(folder)]) == 2
    assert "holds classes that are not among the 10 that are known (bird)" in capsys.readouterr().err
