"""GoogLeNet with its auxiliary classifiers, and whole steps of both nets."""
import numpy as np
import pytest

import npnet
from npnet import kernels, models
from npnet.layers import Conv2D, Dropout, SoftmaxCrossEntropy, WeightedSoftmaxCrossEntropy
from npnet.models.summary import rows, text
from npnet.train import SGD

# GoogLeNet: weights (without biases), multiply-adds in millions, shape; Table 1 where it agrees with its own widths
GOOGLENET = {
    "conv1": (9_408, 118.0, (64, 112, 112)), "inception3a": (163_328, 128.0, (256, 28, 28)),
    "inception3b": (388_096, 304.3, (480, 28, 28)), "inception4a": (375_552, 73.6, (512, 14, 14)),
    "inception4b": (448_512, 87.9, (512, 14, 14)), "inception4c": (509_440, 99.9, (512, 14, 14)),
    "inception4d": (604_672, 118.5, (528, 14, 14)), "inception4e": (867_328, 170.0, (832, 14, 14)),
    "inception5a": (1_042_432, 51.1, (832, 7, 7)), "inception5b": (1_442_816, 70.7, (1024, 7, 7)),
    "fc": (1_024_000, 1.0, (1000,)),
}


def test_googlenet_is_table_1_row_by_row():
    net = models.build("googlenet")
    found = {row.name: row for row in rows(net, (3, 224, 224))}
    for name, (weights, millions, shape) in GOOGLENET.items():
        assert sum(p.size for p in net[name].parameters() if p.name.endswith("weight")) == weights
        assert round(found[name].cost.macs / 1e6, 1) == millions
        assert found[name].shape == shape
    heads = [found[f"head_{name}"].cost.parameters for name in net.heads]
    assert heads == [3_188_840, 3_190_888]
    cost = net.cost((3, 224, 224))
    assert cost.parameters == 13_378_280
    assert cost.parameters - sum(heads) == 6_998_552
    main = cost.macs - sum(found[f"head_{name}"].cost.macs for name in net.heads)
    assert round(main / 1e6, 1) == 1582.7
    assert "head_inception4d" in text(net, (3, 224, 224))
    assert sum(isinstance(layer, Conv2D) for layer in net.walk()) == 3 + 9 * 6 + 2
    assert [layer.p for layer in net.walk() if isinstance(layer, Dropout)] == [0.4, 0.7, 0.7]


def test_the_first_weights_are_those_of_the_papers():
    net = models.build("googlenet", seed=1, preset="caffe")
    weight = net["inception5b"]["three"]["conv3"].weight
    limit = np.sqrt(3 / (192 * 9))
    assert limit * 0.999 < np.abs(weight.numpy()).max() <= limit
    assert weight.numpy().std() == pytest.approx(1 / np.sqrt(192 * 9), rel=0.01)
    assert set(net["conv1"].bias.numpy()) == {np.float32(0.2)}
    assert (net["conv1"].bias.rate, net["conv1"].bias.decay) == (2, 0)
    weight = models.build("alexnet", seed=1)["conv3"].weight.numpy()
    assert weight.std() == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize("name", ["alexnet", "googlenet"])
def test_both_backends_make_the_same_step(name, monkeypatch):
    """A whole step with one image, in float64."""
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    x, labels, gradients = rng.standard_normal((1, 3, 224, 224)), np.array([3]), []
    for backend in ("numpy", "numba"):
        monkeypatch.setattr(kernels, "_active", None)
        npnet.use(backend)
        net = models.build(name, classes=11, seed=2)
        net.astype(np.float64)
        loss = models.loss(net)
        value = loss.forward(net.forward(x), labels)
        net.backward_parameters(loss.backward())
        SGD(net.parameters(), 0.01).step()
        gradients.append({"loss": np.array(value), **{p.name: np.array(p.grad) for p in net.parameters()}})
    definition, fast = gradients
    for p in definition:
        assert np.abs(definition[p]).max() > 0, p
        assert np.abs(fast[p] - definition[p]).max() <= 1e-9 * np.abs(definition[p]).max(), p


def test_the_loss_follows_from_the_net():
    assert type(models.loss(models.build("alexnet"))) is SoftmaxCrossEntropy
    assert type(models.loss(models.build("googlenet"))) is WeightedSoftmaxCrossEntropy
