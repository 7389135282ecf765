"""The picture of a net has all of its layers, and nothing lies over anything else."""
import itertools

import numpy as np
import pytest

from npnet import cli, gradcheck, models, plot
from npnet.layers import AvgPool2D, Concat, Conv2D, Dense, Dropout, Local2D, MaxPool2D, ReLU, Sequential
from npnet.models.diagram import BELOW, HEIGHT, WIDTH, diagram

NETS = [("alexnet", {}), ("alexnet", {"preset": "original"}), ("googlenet", {}), ("cifar_18pct", {}),
        ("cifar_13pct", {})]


def drawn(name, arguments):
    net = models.build(name, **arguments)
    return net, diagram(net, models.input_shape(name, **arguments))


@pytest.mark.parametrize(("name", "arguments"), NETS)
def test_every_layer_is_drawn_once(name, arguments):
    net, picture = drawn(name, arguments)
    layers = list(net.walk())
    for kind, types in (("weights", (Conv2D, Local2D, Dense)), ("pool", (MaxPool2D, AvgPool2D)), ("concat", Concat)):
        assert sum(box.kind == kind for box in picture.boxes) == sum(isinstance(one, types) for one in layers)
    relus = sum(box.text.count("ReLU") for box in picture.boxes)
    assert relus == sum(isinstance(one, ReLU) for one in layers)
    assert sum(box.text.startswith("dropout") for box in picture.boxes) == sum(isinstance(o, Dropout) for o in layers)


@pytest.mark.parametrize(("name", "arguments"), NETS)
def test_no_box_lies_over_another_and_all_are_in_the_picture(name, arguments):
    _, picture = drawn(name, arguments)
    for a, b in itertools.combinations(picture.boxes, 2):
        assert abs(a.x - b.x) >= WIDTH or abs(a.y - b.y) >= HEIGHT + BELOW - 1e-9, (a, b)
    for box in picture.boxes:
        assert 0 <= box.x <= picture.width - WIDTH + 1e-9
        assert 0 <= box.y <= picture.height - HEIGHT + 1e-9


def test_arrows_go_where_numbers_go():
    _, picture = drawn("googlenet", {})
    ends = [path[-1] for path in picture.arrows]
    by_top = {box.top: box for box in picture.boxes}
    assert set(ends) == set(by_top) - {picture.boxes[0].top}, "every box but the input is come to"
    joins = [sum(end == box.top for end in ends) for box in picture.boxes if box.kind == "concat"]
    assert joins == [4] * 9
    starts = [path[0] for path in picture.arrows]
    read = sorted(starts.count(box.bottom) for box in picture.boxes)
    assert read.count(0) == 3, "the three classifiers are read by nobody"
    assert read[-2:] == [5, 5], "4a and 4d are read by a module and a head"
    for path in picture.arrows:  # and none goes through a box
        for (x0, y0), (x1, y1) in itertools.pairwise(path):
            for box in picture.boxes:
                for t in np.linspace(0.02, 0.98, 49):
                    x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
                    assert not (box.x < x < box.x + WIDTH and box.y + 1e-9 < y < box.y + HEIGHT - 1e-9), (path, box)


def test_an_activation_that_others_do_not_share_is_not_written_into_their_box():
    two = Concat(plain=Conv2D(4, 2, 1), bent=Sequential(relu=ReLU(), conv=Conv2D(4, 2, 1)))
    picture = diagram(Sequential(conv=Conv2D(3, 4, 1), two=two), (3, 5, 5))
    assert [box.text for box in picture.boxes] == [
        "input", "conv 1 × 1, 4", "conv 1 × 1, 2", "ReLU", "conv 1 × 1, 2", "concatenate"]


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "cifar_13pct"])
def test_no_text_leaves_its_box(name):
    _, picture = drawn(name, {})
    figure = plot.diagram(picture, name, [])
    figure.canvas.draw()
    axes = figure.axes[0]
    texts = {text.get_text(): text.get_window_extent() for text in axes.texts if text.get_text()}
    wide = WIDTH * figure.dpi
    for box in picture.boxes:
        assert texts[box.text].width < 0.97 * wide, box.text
    shapes = [texts[text].width for text, *_ in picture.notes]
    assert max(shapes) < 1.25 * figure.dpi


def test_a_naive_module_is_its_inceptions_widths_without_reductions():
    module = models.googlenet(classes=10)["inception3a"]
    naive = models.without_reductions(module)
    shape = (192, 28, 28)
    assert naive.output_shape(shape) == (64 + 128 + 32 + 192, 28, 28)
    weights = 192 * (64 + 9 * 128 + 25 * 32)
    assert naive.cost(shape).parameters == weights + 64 + 128 + 32
    assert naive.cost(shape).macs == weights * 28 * 28
    assert naive.cost(shape).macs > 2.3 * module.cost(shape).macs
    with pytest.raises(ValueError, match="module must be made by inception"):
        models.without_reductions(Concat(one=Conv2D(3, 2, 1)))


def test_a_naive_module_has_the_gradient_of_its_forward():
    module = models.naive_inception(3, 2, 3, 2)
    module.initialise(1)
    assert gradcheck.check(module, np.random.default_rng(0).standard_normal((2, 3, 5, 4))).ok


def test_the_command_draws_nets_and_parts(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["draw", "alexnet"]) == 0
    assert "alexnet: 60,965,224 parameters, 724,406,816 multiply-adds. alexnet.svg" in capsys.readouterr().out
    assert "8 of them have weights" in (tmp_path / "alexnet.svg").read_text()
    assert cli.main(["draw", "googlenet", "--part", "inception3a", "--naive", "--out", "a.png"]) == 0
    said = capsys.readouterr().out
    assert "387,296 parameters, 303,464,448 multiply-adds, 416 channels; with reductions 163,696 parameters" in said
    for arguments, message in (
        (["alexnet"], "alexnet.svg: is there already"),
        (["googlenet", "--naive"], "--naive is for an Inception module: --part LAYER names it"),
        (["googlenet", "--part", "pool1", "--naive"], "--naive is for an Inception module, and pool1 is none"),
        (["googlenet", "--part", "conv9"], "--part (='conv9') must be one of conv1, relu1"),
        (["resnet"], "model (='resnet') must be one of"),
    ):
        assert cli.main(["draw", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "alexnet.svg"]
