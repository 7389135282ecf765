"""AlexNet as printed, and the nets that go by its name; the ledger of their differences."""
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from npnet import cli, models
from npnet.layers import LRN, Dropout, LRNWithin, MaxPool2D, ReLU
from npnet.models import ledger
from npnet.models.alexnet import PRESETS, AlexNet, switches
from npnet.models.summary import neurons, rows, text

# AlexNet: parameters and multiply-adds, counted by hand from §3.5 (facts: 60 million parameters)
ALEXNET = {
    "conv1": (34_944, 105_415_200, (96, 55, 55)), "conv2": (307_456, 223_948_800, (256, 27, 27)),
    "conv3": (885_120, 149_520_384, (384, 13, 13)), "conv4": (663_936, 112_140_288, (384, 13, 13)),
    "conv5": (442_624, 74_760_192, (256, 13, 13)), "fc6": (37_752_832, 37_748_736, (4096,)),
    "fc7": (16_781_312, 16_777_216, (4096,)), "fc8": (4_097_000, 4_096_000, (1000,)),
}
# preset: parameters, multiply-adds, neurons
NETS = {
    "paper": (60_965_224, 724_406_816, 659_272), "original": (60_965_224, 724_406_816, 659_272),
    "caffe": (60_965_224, 724_406_816, 659_272), "caffenet": (60_965_224, 724_406_816, 659_272),
    "one_gpu": (59_798_312, 391_514_384, 355_864), "one_weird_trick": (61_100_840, 714_188_480, 494_184),
    "torchvision": (61_100_840, 714_188_480, 494_184),
    # the paper's, and 3 · 3 · 256 · 256 weights and 256 biases, 6 × 6 × 256 neurons
    "six": (60_965_224 + 590_080, 724_406_816 + 36 * 589_824, 659_272 + 9_216),
}


def test_alexnet_is_the_papers_layer_by_layer():
    net = models.build("alexnet")
    found = {row.name: (row.cost.parameters, row.cost.macs, row.shape) for row in rows(net, (3, 224, 224))}
    assert {name: found[name] for name in ALEXNET} == ALEXNET
    cost = net.cost((3, 224, 224))
    assert (cost.parameters, cost.macs) == (60_965_224, 724_406_816)
    assert [n for n, layer in zip(net.names, net.layers, strict=True) if isinstance(layer, LRN)] == ["norm1", "norm2"]
    assert {net[n].groups for n in ("norm1", "norm2", "conv2", "conv4", "conv5")} == {2}
    assert [net[n].groups for n in ("conv1", "conv3")] == [1, 1]
    assert {n: net[n].bias.initialiser.value for n in ALEXNET} == {
        "conv1": 0, "conv2": 1, "conv3": 0, "conv4": 1, "conv5": 1, "fc6": 1, "fc7": 1, "fc8": 0}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_the_published_size(preset):
    net, shape = models.build("alexnet", preset=preset), models.input_shape("alexnet", preset=preset)
    cost = net.cost(shape)
    assert (cost.parameters, cost.macs, neurons(net, shape)) == NETS[preset]
    assert net.output_shape(shape) == (1000,)
    found = {row.name: row.shape for row in rows(net, shape)}
    assert [found[name][1] for name in ("conv1", "pool1", "pool2", "pool5")] == [55, 27, 13, 6]
    for number in NETS[preset]:
        assert f"{number:,}" in text(net, shape).splitlines()[-1]


def test_without_groups_it_is_the_common_merge():
    cost = models.alexnet(groups=(1,) * 5).cost((3, 224, 224))
    assert (cost.parameters, round(cost.macs / 1e6, 1)) == (62_378_344, 1135.3)


def test_neurons_are_those_of_figure_2_but_for_its_slip():
    found = {row.name: row.neurons for row in rows(models.alexnet(), (3, 224, 224)) if row.neurons}
    assert list(found.values()) == [290_400, 186_624, 64_896, 64_896, 43_264, 4_096, 4_096, 1_000]
    assert 55 * 48 * 96 == 253_440  # the slip


def test_neurons_inside_containers_count_too():
    net = models.googlenet()
    assert neurons(net["inception3a"], (192, 28, 28)) == 28 * 28 * (64 + 96 + 128 + 16 + 32 + 32)
    total = sum(row.neurons for row in rows(net, (3, 224, 224)) if not row.name.startswith("head"))
    assert neurons(net, (3, 224, 224)) == total


def behind(net, number):
    """The kinds of layers between a convolution and the next layer with weights."""
    names = net.names[net.names.index(f"conv{number}") + 1 :]
    kinds = {ReLU: "relu", LRN: "norm", LRNWithin: "within", MaxPool2D: "pool"}
    stop = next(i for i, name in enumerate(names) if type(net[name]) not in kinds)
    return " ".join(kinds[type(net[name])] for name in names[:stop])


def test_the_program_differs_from_the_paper_where_its_logs_say():
    """Facts of the program's configuration, written again by hand."""
    net = models.alexnet(preset="original")
    assert [behind(net, i) for i in range(1, 6)] == [
        "norm pool relu", "relu norm within pool", "relu", "relu", "pool relu"]
    assert [net[f"conv{i}"].weight.initialiser.std for i in range(1, 6)] == [0.01, 0.01, 0.03, 0.03, 0.03]
    assert (net["norm1"].alpha, net["norm1"].k, net["norm1"].groups) == (pytest.approx(2e-5), 2, 2)
    within = net["within2"]
    assert (within.size, within.alpha, within.k) == (5, pytest.approx(0.001 / 25), 1)
    assert {(p.rate, p.decay) for p in net.parameters() if p.name.endswith("bias")} == {(2, 0)}
    assert net["drop6"].convention == "paper"


def test_caffe_and_torchvision_are_theirs():
    net = models.alexnet(preset="caffe")
    assert (net["norm1"].alpha, net["norm1"].k, net["norm1"].groups) == (pytest.approx(2e-5), 1, 1)
    assert [net[f"fc{i}"].weight.initialiser.std for i in (6, 7, 8)] == [0.005, 0.005, 0.01]
    assert [net[f"conv{i}"].bias.initialiser.value for i in range(1, 6)] == [0, 0.1, 0, 0.1, 0.1]
    assert behind(models.alexnet(preset="caffenet"), 1) == "relu pool norm"
    net = models.alexnet(preset="torchvision")
    assert not any(isinstance(layer, LRN) for layer in net.layers)
    assert net.names[net.names.index("fc6") - 1] == "drop6"
    weight, bias = net["conv2"].weight.numpy(), net["conv2"].bias.numpy()
    limit = 1 / np.sqrt(64 * 25)
    assert limit * 0.999 < np.abs(weight).max() <= limit
    assert limit * 0.9 < np.abs(bias).max() <= limit


def test_the_papers_biases_all_learn_alike():
    assert {(p.rate, p.decay) for p in models.alexnet().parameters()} == {(1, 1)}


def test_the_seed_is_that_of_the_weights():
    one, other = (models.alexnet(seed=seed)["conv1"].weight.numpy() for seed in (1, 2))
    assert (one != other).mean() > 0.9
    np.testing.assert_array_equal(one, models.alexnet(seed=1, classes=3)["conv1"].weight.numpy())


CHANGES = {
    "input": 300, "conv1_pad": 2, "conv1_rounding": "floor", "widths": (8, 16, 24, 24, 16), "groups": (1,) * 5,
    "sixth": 8, "stage1": "pool relu", "stage2": "relu pool norm", "stage5": "pool relu", "norm_alpha": 1.0,
    "norm_per_channel": True, "norm_k": 1.0, "norm_groups": 1, "hidden": 16, "dropout": 0.25,
    "dropout_convention": "inverted", "dropout_before": True, "std": (0.02,) * 8, "bias": (1,) * 8, "bias_rate": 2.0,
    "bias_decay": 0.0,
}


def described(net, side):
    """All that a switch could change."""
    return [repr(net), net.names, str(rows(net, (3, side, side))),
            [(p.name, p.initialiser, p.rate, p.decay) for p in net.parameters()],
            [(layer.k, layer.alpha) for layer in net.walk() if isinstance(layer, LRN)],
            [layer.p for layer in net.walk() if isinstance(layer, Dropout)]]


@pytest.mark.parametrize("name", [field.name for field in fields(AlexNet)])
def test_every_switch_switches(name):
    assert CHANGES[name] != getattr(AlexNet(), name)
    side = {"input": 300}.get(name, 224)
    assert described(models.alexnet(**{name: CHANGES[name]}), side) != described(models.alexnet(), 224)


@pytest.mark.parametrize(("arguments", "says"), [
    ({"preset": "vgg"}, "preset (='vgg') must be one of paper, original, caffe"),
    ({"alpha": 1}, "switch (='alpha') must be one of input, "),
    ({"widths": (1, 2)}, "widths (=(1, 2)) must be 5 numbers"),
    ({"bias": (0,) * 5}, "bias (=(0, 0, 0, 0, 0)) must be 8 numbers"),
    ({"groups": (1, 0, 1, 1, 1)}, "groups (=(1, 0, 1, 1, 1)) must be 5 numbers, at least 1"),
    ({"widths": 5}, "widths (=5) must be 5 numbers, at least 1"),
    ({"std": (float("nan"),) * 8}, "must be 8 numbers, at least 0"),
    ({"bias": None}, "bias (=None) must be 8 numbers"),
    ({"input": "224"}, "input (='224') must be a number, at least 1"),
    ({"bias_rate": -1}, "bias_rate (=-1) must be a number, at least 0"),
    ({"stage1": None}, "stage1 (=None) must name relu and pool"),
    ({"stage1": "norm"}, "stage1 (='norm') must name relu and pool"),
    ({"stage2": "relu relu pool"}, "stage2 (='relu relu pool') must name relu and pool"),
    ({"stage5": "relu pool lrn"}, "stage5 (='relu pool lrn') must name relu and pool"),
    ({"widths": (96, 256, 384, 384, 255)}, "out_channels (=255) must be divisible by groups (=2)"),
    ({"conv1_rounding": "up"}, "rounding (='up') must be 'floor' or 'ceil'"),
    ({"classes": 0}, "out_features (=0)"),
    ({"input": 0}, "input (=0) must be a number, at least 1"),
])
def test_what_makes_no_net_is_said(arguments, says):
    with pytest.raises(ValueError, match=r".") as error:
        models.build("alexnet", **arguments)
    assert says in str(error.value)


def test_a_net_without_presets_says_so():
    with pytest.raises(ValueError, match=r"model \(='cifar_18pct'\) has no presets: leave preset \(='caffe'\) away"):
        models.build("cifar_18pct", preset="caffe")


# -- the ledger --------------------------------------------------------------------------------------------------------


def test_the_ledger_names_every_switch_in_which_its_columns_differ():
    presets = [PRESETS[column] for column in ledger.COLUMNS]
    differ = {f.name for f in fields(AlexNet) if len({str(getattr(p, f.name)) for p in presets}) > 1}
    named = {name for point in ledger.points() for name in point.switch.split(", ") if name}
    assert differ <= named <= {f.name for f in fields(AlexNet)}
    for point in ledger.points():
        assert set(point.values) == set(ledger.COLUMNS)
        assert len(set(point.values.values())) > 1, point.name  # else it is no difference
        assert point.section.startswith("§")


def test_the_ledger_is_read_off_the_presets(monkeypatch):
    before = ledger.text()
    monkeypatch.setitem(PRESETS, "caffe", replace(PRESETS["caffe"], norm_k=7.0))
    after = ledger.text()
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert len(changed) == 1
    assert "7 + 0.0001 / 5" in changed[0]


def test_the_page_is_what_the_command_prints(capsys):
    assert cli.main(["ledger", "--markdown"]) == 0
    page = Path(__file__).parents[1] / "docs" / "ledger.md"
    assert capsys.readouterr().out == page.read_text(encoding="utf-8"), "npnet ledger --markdown > docs/ledger.md"


def test_the_terminal_gets_every_point_in_lines_that_fit(capsys):
    assert cli.main(["ledger"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    for number, point in enumerate(ledger.points(), 1):
        assert any(line.startswith(f"{number}. {point.name}, ") for line in lines)


def test_slips_are_computed():
    found = {slip.says: slip.found for slip in ledger.slips()}
    assert found["conv1 has 253,440 neurons"].startswith("55 × 55 × 96 = 290,400")
    assert "659,272" in found["650,000 neurons"]
    assert "622,312" in found["650,000 neurons"]
    assert found["each convolution has no more than 1 % of the parameters"] == "conv3 1.45% and conv4 1.09%"
    assert switches("one_gpu").widths[4] == switches().widths[4]


def test_summary_takes_a_preset(capsys):
    assert cli.main(["summary", "alexnet", "--preset", "caffe"]) == 0
    assert "3 × 227 × 227" in capsys.readouterr().out
    assert cli.main(["summary", "cifar_18pct", "--preset", "caffe"]) == 2
    assert capsys.readouterr().err == (
        "npnet summary: model (='cifar_18pct') has no presets: leave preset (='caffe') away\n")
