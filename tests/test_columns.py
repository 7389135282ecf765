"""AlexNet as two halves that run at the same time, against the net of two groups."""
import threading

import numpy as np
import pytest

from npnet.cli import main
from npnet.layers import Conv2D, Dense, ReLU, Sequential, SoftmaxCrossEntropy
from npnet.models import alexnet
from npnet.models.columns import TwoColumns, exchanged
from npnet.train import SGD

NARROW = {"widths": (4, 8, 8, 8, 4), "hidden": 6, "input": 67, "std": (0.1,) * 8}


def small(preset="paper", classes=5):
    net = alexnet(classes, preset, seed=3, **{**NARROW, "norm_groups": 2, "groups": (1, 2, 1, 2, 2)})
    net.astype(np.float64)
    return net


def images(n=3, side=67):
    return np.random.default_rng(0).standard_normal((n, 3, side, side))


@pytest.mark.parametrize("preset", ["paper", "original", "caffe", "torchvision"])
def test_forward_and_backward_are_those_of_the_whole_net(backend, preset):
    net, x, labels = small(preset), images(), np.array([4, 0, 2])
    halves = TwoColumns(net)
    results = []
    for one in (net, halves):
        one.set_step(7)
        loss = SoftmaxCrossEntropy()
        value = loss.forward(one.forward(x), labels)
        one.backward_parameters(loss.backward())
        results.append(value)
    assert results[1] == pytest.approx(results[0], rel=1e-12)
    gradients = halves.gather(gradients=True)
    assert sorted(gradients) == sorted(p.name for p in net.parameters())
    for p in net.parameters():
        assert np.abs(p.grad).max() > 0
        np.testing.assert_allclose(gradients[p.name], p.grad, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(halves.forward(x, train=False), net.forward(x, train=False), rtol=1e-10)


def test_it_trains_as_the_whole_net_does_and_its_weights_come_back(backend):
    net = small()
    halves = TwoColumns(net)
    for one in (net, halves):
        sgd, loss = SGD(one.parameters(), 0.01), SoftmaxCrossEntropy()
        for step in range(3):
            one.set_step(step)
            loss.forward(one.forward(images()), np.array([1, 2, 3]))
            one.backward_parameters(loss.backward())
            sgd.step()
    for p in net.parameters():
        np.testing.assert_allclose(halves.gather()[p.name], p.numpy(), rtol=1e-8, atol=1e-12)


def test_what_goes_across_is_the_papers_pattern(backend):
    """AlexNet §3.2: before conv3, fc6, fc7 and fc8, half of what is there; fc8 is the first column's."""
    net, n = small(), 3
    halves = TwoColumns(net)
    halves.forward(images(n))
    halves.backward_parameters(np.ones((n, 5)))
    numbers = dict(exchanged(net, (3, 67, 67)))
    assert list(numbers) == ["conv3", "fc6", "fc7", "fc8"]
    for crossing in halves.crossings:
        both = 1 if crossing.name == "fc8" else 2
        assert crossing.sent == dict.fromkeys(("forward", "backward"), both * n * 8 * numbers[crossing.name])


def test_the_papers_net_exchanges_these():
    assert exchanged(alexnet(), (3, 224, 224)) == [
        ("conv3", 13 * 13 * 128), ("fc6", 6 * 6 * 128), ("fc7", 2048), ("fc8", 2048)]


def test_each_column_holds_half_of_everything_but_the_last_layer(backend):
    net = small()
    halves = TwoColumns(net)
    of = [sum(p.size for stage in column.stages if stage for p in stage.parameters()) for column in halves.columns]
    last = net["fc8"].weight.size + 5
    assert of[0] == of[1] + last
    assert sum(of) == net.cost((3, 67, 67)).parameters


def test_columns_run_on_threads_of_their_own(backend):
    halves = TwoColumns(small())
    seen = set()
    for column in halves.columns:
        first = column.stages[0][0]
        forward = first.forward
        first.forward = lambda *x, forward=forward: seen.add(threading.get_ident()) or forward(*x)
    halves.forward(images())
    assert len(seen) == 2
    assert threading.get_ident() not in seen


def test_an_error_in_one_column_is_raised_and_the_other_does_not_wait_for_ever(backend):
    halves = TwoColumns(small())
    with pytest.raises(ValueError, match="must be"):
        halves.forward(images()[:, :2])
    last = halves.columns[1].stages[2][0]
    forward, last.forward = last.forward, lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        halves.forward(images())
    last.forward = forward
    assert np.isfinite(halves.forward(images())).all()  # and goes on


@pytest.mark.parametrize(("make", "message"), [
    (lambda: alexnet(preset="one_gpu"), r"conv2: groups \(=1\)|two columns|norm1: groups \(=1\) must be 2"),
    (lambda: alexnet(preset="caffe"), r"norm1: groups \(=1\) must be 2"),
    (lambda: Sequential(Conv2D(3, 4, 3), ReLU()), "must have two columns"),
    (lambda: Sequential(Conv2D(3, 5, 3), ReLU(), Dense(20, 4), Dense(4, 3)), r"out_channels \(=5\)"),
])
def test_what_does_not_fall_into_columns_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        TwoColumns(make())


def test_the_command_shows_the_papers_pattern(capsys):
    assert main(["summary", "alexnet", "--columns"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["conv3", "21,632", "22.2"], ["fc6", "4,608", "4.7"], ["fc7", "2,048", "2.1"], ["fc8", "2,048", "1.0"]]
    for arguments, message in (
        (["cifar_18pct"], "cannot be parted into columns"), (["googlenet"], "no other has two columns"),
        (["alexnet", "--preset", "one_gpu"], "norm1: groups (=1) must be 2"),
    ):
        assert main(["summary", *arguments, "--columns"]) == 2
        assert message in capsys.readouterr().err
