"""GoogLeNet against its Table 1 and against itself, switch by switch."""
from dataclasses import fields

import numpy as np
import pytest

from npnet import cli, gradcheck, models
from npnet.layers import (
    LRN,
    AvgPool2D,
    Concat,
    Constant,
    Conv2D,
    Dense,
    Dropout,
    Gaussian,
    MaxPool2D,
    ReLU,
    Sequential,
    WeightedSoftmaxCrossEntropy,
    WithHeads,
)
from npnet.models import table1
from npnet.models.googlenet import MODULES, PRESETS, GoogLeNet, inception, switches

WEIGHTS = {"conv1": 9408, "conv2": 114688, "inception3a": 163328, "inception3b": 388096, "inception4a": 375552,
           "inception4b": 448512, "inception4c": 509440, "inception4d": 604672, "inception4e": 867328,
           "inception5a": 1042432, "inception5b": 1442816, "fc": 1024000}


def rows(**changed):
    return {row.name: row for row in table1.rows(models.googlenet(**changed))}


def test_table_1_is_computed_from_the_layers():
    made = rows()
    assert {name: row.weights for name, row in made.items() if row.printed} == WEIGHTS
    assert sum(row.macs for row in made.values()) == 1_582_671_872
    assert sum(row.depth for row in made.values()) == 22
    assert [row.shape for row in made.values()][-3:] == [(1024, 7, 7), (1024, 1, 1), (1000,)]
    sides = [row.shape[1] for name, row in made.items() if name.startswith("pool")]
    assert sides == [56, 28, 14, 7, 1]


def test_the_rows_that_disagree_with_the_paper_are_known():
    apart = {name: row.agrees for name, row in rows().items() if not all(row.agrees)}
    assert apart == {"conv1": (False, False), "inception4c": (False, True), "inception4d": (False, True),
                     "inception5a": (False, False), "inception5b": (False, True)}
    assert set(apart) == set(table1.WHY)
    assert pytest.approx((6797.7, 1502)) == table1.SUMS


def test_the_first_row_fits_a_separable_convolution():
    row = rows(stem="separable")["conv1"]
    said = table1.text(models.googlenet(stem="separable", heads=False))
    assert "≠ conv1: its 2,712 weights are 2.7 thousand: here K is 1000" in said
    assert "stem=" not in said
    assert "auxiliary" not in said
    assert (row.weights, row.depth) == (7 * 7 * 8 * 3 + 24 * 64, 2)
    assert row.macs == 2712 * 112**2
    assert row.agrees == (False, True), "2.7 thousand; of 1,024, as the other rows count, it is 2.6"


def test_parameters_with_biases_and_with_heads():
    net = models.googlenet()
    heads = [sum(p.size for p in head.parameters()) for head in net.heads.values()]
    assert heads == [3_188_840, 3_190_888]
    assert net.cost((3, 224, 224)).parameters - sum(heads) == 6_998_552
    assert net.cost((3, 224, 224)).parameters == 13_378_280


def test_the_summary_prints_both_and_marks_what_differs(capsys):
    assert cli.main(["summary", "googlenet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    marked = [line.split()[0] for line in lines if "≠" in line and "K" in line and " M" in line]
    assert marked == ["conv1", "inception4c", "inception4d", "inception5a", "inception5b", "sum"]
    assert next(line for line in lines if line.startswith("inception3a")).split() == [
        "inception3a", "28", "×", "28", "×", "256", "2", "159", "K", "159.5", "K", "128", "M", "128.0", "M"]
    assert "13,378,280" in lines[-7]
    assert sum(line.startswith("≠ ") for line in lines) == 5


@pytest.mark.parametrize("name", [field.name for field in fields(GoogLeNet)])
def test_every_switch_switches(name):
    other = {"stem": "separable", "norm": False, "heads": False,
             "dropout": 0.1, "head_dropout": 0.1, "bias": 0.3, "bias_rate": 3.0,
             "bias_decay": 0.5}[name]
    plain, changed = models.googlenet(classes=3), models.googlenet(classes=3, **{name: other})

    def told(net):
        return [(repr(layer), [(p.rate, p.decay, repr(p.initialiser)) for p in layer.parameters()])
                for layer in net.walk() if not layer.children()]

    assert told(plain) != told(changed)


def test_presets_are_what_they_say():
    caffe = models.googlenet(preset="caffe")
    biases = [p for p in caffe.parameters() if p.name.endswith("bias")]
    assert {(p.rate, p.decay) for p in biases} == {(2.0, 0.0)}
    assert {p.name for p in biases if not p.numpy().any()} == {
        "fc.bias", "head_inception4a.fc2.bias", "head_inception4d.fc2.bias"}
    assert {float(p.numpy()[0]) for p in biases} == {0.0, np.float32(0.2)}
    paper = models.googlenet()
    assert {(p.rate, p.decay) for p in paper.parameters()} == {(1.0, 1.0)}
    assert len([one for one in paper.walk() if isinstance(one, LRN)]) == 2
    drops = [one.p for one in paper.walk() if isinstance(one, Dropout)]
    assert drops == [0.4, 0.7, 0.7]
    assert set(PRESETS) == {"paper", "caffe"}


@pytest.mark.parametrize(("changed", "message"), [
    ({"preset": "torchvision"}, r"preset \(='torchvision'\) must be one of paper, caffe"),
    ({"wings": 2}, r"switch \(='wings'\) must be one of stem, norm"),
    ({"heads": 2}, r"heads \(=2\) must be True or False"),
    ({"stem": "half"}, r"stem \(='half'\) must be one of full, separable"),
    ({"bias": float("nan")}, r"bias \(=nan\) must be a number"),
    ({"dropout": -0.1}, r"dropout \(=-0\.1\) must be a number, at least 0"),
])
def test_what_makes_no_net_is_said(changed, message):
    with pytest.raises(ValueError, match=message):
        models.googlenet(**changed)


def test_the_five_by_five_is_five_by_five():
    """Two frameworks have a 3 × 3 in its place (torchvision's issue 906)."""
    net = models.googlenet(classes=10)
    for name, (channels, one, reduce3, three, reduce5, five, pool) in MODULES.items():
        module = net[f"inception{name}"]
        assert isinstance(module, Concat)
        found = [(c.in_channels, c.out_channels, c.kernel) for c in module.walk() if isinstance(c, Conv2D)]
        assert found == [(channels, one, 1), (channels, reduce3, 1), (reduce3, three, 3), (channels, reduce5, 1),
                         (reduce5, five, 5), (channels, pool, 1)]
    assert [one.out_features for one in net.walk() if isinstance(one, Dense)] == [10, 1024, 10, 1024, 10]
    assert switches() == GoogLeNet()


def two_modules():
    """All that GoogLeNet is made of, and in its order, for images of 2 × 19 × 19: stem, two modules, two heads."""
    def head(channels):
        return Sequential(pool=AvgPool2D(3, 2), conv=Conv2D(channels, 3, 1), relu1=ReLU(), fc1=Dense(3 * 2 * 2, 6),
                          relu2=ReLU(), drop=Dropout(0.7, convention="inverted"), fc2=Dense(6, 4))

    net = WithHeads(
        {"inception1": head(9), "inception2": head(8)},
        conv1=Conv2D(2, 5, 7, 2, 3), relu1=ReLU(), pool1=MaxPool2D(3, 2), norm1=LRN(5, alpha=0.5, per_channel=True),
        reduce2=Conv2D(5, 4, 1), relu2=ReLU(), conv2=Conv2D(4, 6, 3, pad=1), relu3=ReLU(),
        norm2=LRN(5, alpha=0.5, per_channel=True),
        inception1=inception(6, 3, 4, 3, 2, 2, 1), inception2=inception(9, 2, 3, 3, 3, 1, 2), pool5=AvgPool2D(5, 1),
        drop=Dropout(0.4, convention="inverted"), fc=Dense(8, 4))
    for p in net.parameters():  # with Xavier's biases of 0, a ReLU that sees nothing is at its corner
        p.initialiser = Gaussian(0.5) if p.name.endswith("weight") else Constant(0.5)
    net.initialise(1)
    return net


def test_every_gradient_of_two_modules_with_heads(backend):
    images = np.random.default_rng(2).standard_normal((3, 2, 19, 19))
    net = two_modules()
    report = gradcheck.check(net, images, labels=[3, 0, 2], loss=WeightedSoftmaxCrossEntropy(), samples=10)
    assert report.ok, report
    assert report.shapes.keys() == {"x"} | {p.name for p in net.parameters()}
    assert len(report.shapes) == 1 + 2 * (3 + 2 * 6 + 2 * 3 + 1)
