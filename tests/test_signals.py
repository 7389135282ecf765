"""What a net says before it has learnt anything, held against sums written out."""
import json

import numpy as np
import pytest

from npnet import cli, data, models
from npnet.evaluate.signals import signals
from npnet.layers import Constant, Conv2D, Dense, Dropout, Gaussian, ReLU, Sequential, SoftmaxCrossEntropy
from npnet.recipes import RECIPES
from npnet.recipes.signals import first_signals


def small(**first):
    net = Sequential(conv1=Conv2D(3, 4, 3, **first), relu1=ReLU(), drop=Dropout(0.5), fc=Dense(4 * 4 * 4, 5))
    net.initialise(3)
    return net


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((6, 3, 6, 6), np.float32), rng.integers(0, 5, 6)


def test_sizes_shares_and_gradients_are_those_of_their_definition(batch):
    images, labels = batch
    net = small(bias=Constant(0.3))
    before = [p.numpy() for p in net.parameters()]
    found = {one.layer: one for one in signals(net, images, labels)}
    assert list(found) == ["conv1", "fc"]
    y = net["conv1"].forward(images, False).astype(np.float64)
    assert found["conv1"].size == pytest.approx(np.sqrt((y**2).mean()), rel=1e-6)
    assert found["conv1"].share == pytest.approx(np.sqrt(y.var(axis=0).mean() / (y**2).mean()), rel=1e-5)
    assert 0.1 < found["fc"].share < 1
    loss = SoftmaxCrossEntropy()
    net.set_step(0)
    loss.forward(net.forward(images, train=True), labels)
    net.backward(loss.backward())
    for one in found.values():
        weight = net[one.layer].parameters()[0]
        assert one.gradient == pytest.approx(np.linalg.norm(weight.grad) / np.linalg.norm(weight.numpy()), rel=1e-5)
    for p, was in zip(net.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.numpy(), was)


def test_a_net_that_does_not_look_says_nothing_about_the_image(batch):
    found = signals(small(weight=Constant(0.0), bias=Constant(1.0)), *batch)
    assert [one.share for one in found] == [0, 0]
    assert found[0].size == 1
    assert found[0].gradient == np.inf, "weights of 0 have no size to compare with"


def test_large_biases_drown_the_image(batch):
    shares = [signals(small(weight=Gaussian(0.01), bias=Constant(b)), *batch)[-1].share for b in (0.0, 1.0, 10.0)]
    assert shares[0] > 5 * shares[1] > 25 * shares[2] > 0


def test_alexnets_first_answers_are_hardly_about_the_image():
    """AlexNet §5's N(0, 0.01) and biases of 1: the wider weights of the program's log let ten times as much through."""
    photos = data.shapes.load("train", 8)
    images = np.repeat(np.repeat(photos.images, 7, axis=2), 7, axis=3).astype(np.float32) - 128
    narrow = {"hidden": 512}
    printed, logged = (signals(models.alexnet(classes=10, **narrow, **more), images, photos.labels)[-1].share
                       for more in ({}, {"std": models.switches("alexnet", preset="original").std}))
    assert printed < 0.03
    assert logged > 4 * printed


def test_what_has_no_signals_is_said(batch):
    images, labels = batch
    with pytest.raises(ValueError, match=r"images \(=1\) must be at least 2"):
        signals(small(), images[:1], labels[:1])
    with pytest.raises(ValueError, match=r"net \(=ReLU\) must be a Sequential"):
        signals(ReLU(), images, labels)


def test_of_a_recipe_are_the_first_images_it_would_see():
    images = data.load("shapes").take(50)
    found = first_signals(RECIPES["cifar_80sec"], images, 20, seed=2)
    assert [one.layer for one in found] == ["conv1", "conv2", "conv3", "fc64", "fc10"]
    assert found == first_signals(RECIPES["cifar_80sec"], images, 20, seed=2)
    assert found != first_signals(RECIPES["cifar_80sec"], images, 20, seed=3)


def test_the_command_compares_variants(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["signals", "cifar_80sec", "--data", "shapes", "--images", "20"]) == 0
    out = capsys.readouterr().out
    assert "cifar_80sec:\n  layer" in out
    [[name, layers]] = json.loads((tmp_path / "signals.json").read_text())["variants"].items()
    assert name == "cifar_80sec"
    assert f"{layers[0]['share']:.1%}" in out
    assert (tmp_path / "signals.png").stat().st_size > 10_000
    for arguments, message in (
        (["cifar_80sec"], "signals.png: is there already"),
        (["cifar_80sec", "--images", "1", "--out", "a.png"], "images (=1) must be at least 2"),
        (["cifar_80sec", "original", "--out", "a.png"], "model (='cifar_80sec') has no switches: alexnet and"),
        (["vgg", "--out", "a.png"], "recipe 'vgg' is not one of"),
    ):
        assert cli.main(["signals", *arguments[:1], *arguments[1:], "--data", "shapes"]) == 2
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["signals.json", "signals.png"]


def test_a_variant_is_a_preset_or_switches():
    from npnet.cli.options import variant

    assert variant("original") == ("original", {"preset": "original"})
    assert variant("hidden=3; norm_k=1.0") == ("hidden=3; norm_k=1.0", {"hidden": 3, "norm_k": 1.0})
