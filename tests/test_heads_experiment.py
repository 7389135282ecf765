"""What auxiliary classifiers do to the gradient below them."""
from dataclasses import replace

import numpy as np
import pytest

from npnet import cli, models, plot
from npnet.data import Dataset, shapes
from npnet.recipes import RECIPES
from npnet.recipes.heads import MODULE, experiment

SMALL = replace(RECIPES["googlenet"], batch=2, sampling=False)


@pytest.fixture(scope="module")
def photos():
    small = shapes.load("train", 4)
    return Dataset(small.images.repeat(7, axis=2).repeat(7, axis=3), small.labels, small.classes, "large train")


def test_both_begin_with_the_same_weights_and_images(photos):
    plain, helped = (models.googlenet(classes=10, heads=heads, seed=3) for heads in (False, True))
    others = {p.name: p for p in helped.parameters()}
    assert len(others) == len(plain.parameters()) + 12
    for p in plain.parameters():
        np.testing.assert_array_equal(p.numpy(), others[p.name].numpy())
    counted = []
    found = experiment(SMALL, photos, 3, seed=3, progress=lambda: counted.append(1))
    assert len(counted) == 6
    assert found["module"] == MODULE
    first = {name: (found[name]["loss"][0], found[name]["gradient"][0]) for name in ("with", "without")}
    assert first["with"][0] == pytest.approx(first["without"][0], rel=1e-5), "the net itself says the same"
    assert first["with"][1] != pytest.approx(first["without"][1], rel=1e-3), "and learns from more"
    for values in (found[name][key] for name in first for key in ("loss", "gradient")):
        assert len(values) == 3
        assert min(values) > 0


def test_the_picture_has_both(monkeypatch):
    kept = []
    monkeypatch.setattr(plot, "_saved", lambda figure, paths, description: kept.append((figure, description)))
    made = {name: {"loss": [2.0, 1.0], "gradient": [g, g]} for name, g in (("with", 4.0), ("without", 0.5))}
    plot.heads(made, "t", [])
    figure, said = kept[0]
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]
    assert "4 with auxiliary classifiers, 0.5 without" in said


def test_other_nets_have_no_classifiers_at_their_side(capsys):
    assert cli.main(["heads", "--recipe", "alexnet", "--data", "x"]) == 2
    assert "recipe alexnet trains alexnet, which has no auxiliary classifiers" in capsys.readouterr().err
