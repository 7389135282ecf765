"""Caffe's files, written here byte by byte, by its published format (caffe.proto)."""
import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from caffe_file import blob, model, part, varint, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from npnet import cli, models
from npnet.errors import UserError
from npnet.weights import caffe, load_weights

SMALL = {"widths": (4, 8, 12, 12, 8), "hidden": 6, "classes": 5}


def blobs_of(net):
    """What Caffe would store of it: blue first."""
    values = {p.name: p.numpy() for p in net.parameters()}
    values["conv1.weight"] = values["conv1.weight"][:, ::-1]
    names = [name for name in net.names if hasattr(net[name], "weight")]
    return {name: [values[f"{name}.weight"], values[f"{name}.bias"]] for name in names}


def values(net):
    return {p.name: p.numpy() for p in net.parameters()}


@pytest.mark.parametrize("how", [{}, {"doubles": True}, {"packed": False}, {"doubles": True, "packed": False}])
@pytest.mark.parametrize("old", [True, False])
def test_both_versions_become_the_same_net(tmp_path, old, how):
    net, other = (models.alexnet(preset="caffe", seed=seed, **SMALL) for seed in (1, 2))
    path = tmp_path / "net.caffemodel"
    path.write_bytes(model(blobs_of(net), old, **how))
    report = caffe.load(other, path)
    assert len(report.matched) == 16
    assert report.matched[0] == "conv1.weight (4, 3, 11, 11)"
    assert not report.missing + report.different + report.left
    assert str(report).startswith("matched: conv1.weight (4, 3, 11, 11), conv1.bias (4,), ")
    for name, value in values(other).items():
        np.testing.assert_array_equal(value, values(net)[name])


def test_red_comes_first_here_and_last_there(tmp_path):
    """A first layer that looks at red alone."""
    net = models.alexnet(preset="caffe", **SMALL)
    blobs = blobs_of(net)
    blobs["conv1"][0] = np.zeros_like(blobs["conv1"][0])
    blobs["conv1"][0][:, 2] = 1.0
    path = tmp_path / "net.caffemodel"
    path.write_bytes(model(blobs, True))
    caffe.load(net, path)
    weight = net["conv1"].weight.numpy()
    assert (weight[:, 0] == 1).all()
    assert (weight[:, 1:] == 0).all()


def test_names_and_layers_that_the_net_has_not(tmp_path):
    net = models.alexnet(preset="caffe", seed=1, **SMALL)
    blobs = blobs_of(net)
    blobs["loss/classifier"] = blobs.pop("fc8")
    blobs["head"] = [np.zeros((2, 3), np.float32)]
    path = tmp_path / "net.caffemodel"
    path.write_bytes(model(blobs, False))
    report = caffe.load(models.alexnet(preset="caffe", **SMALL), path, {"loss/classifier": "fc8"})
    assert report.left == ["head (2, 3)"]
    assert len(report.matched) == 16
    net["conv1"].parameters()[1].name = "conv1.scale"
    report = caffe.load(net, path, {"loss/classifier": "fc8"}, partial=True)
    assert report.missing == ["conv1.scale (4,)"]


def test_another_net_is_named_and_nothing_changed(tmp_path):
    net = models.alexnet(preset="caffe", seed=1, **SMALL)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(model(blobs_of(net), True))
    six = models.alexnet(preset="caffe", seed=2, **{**SMALL, "sixth": 8, "classes": 3})
    before = values(six)
    with pytest.raises(UserError) as error:
        caffe.load(six, path)
    assert str(error.value) == (
        f"{path}: its weights are not this net's (conv6.weight (8, 8, 3, 3), conv6.bias (8,) not in it; "
        f"fc8.weight (3, 6), there (1, 1, 5, 6), fc8.bias (3,), there (1, 1, 1, 5) of another shape): choose the "
        f"preset and the number of classes it was trained with, or take what fits (partial)")
    for name, value in values(six).items():
        np.testing.assert_array_equal(value, before[name])
    report = caffe.load(six, path, partial=True)
    assert (len(report.matched), len(report.missing), len(report.different)) == (14, 2, 2)
    np.testing.assert_array_equal(six["fc7"].weight.numpy(), net["fc7"].weight.numpy())
    np.testing.assert_array_equal(six["fc8"].weight.numpy(), before["fc8.weight"])
    with pytest.raises(UserError, match="its weights are not this net's"):
        caffe.load(models.googlenet(), path, partial=True)


def test_a_transposed_matrix_is_no_match(tmp_path):
    net = models.alexnet(preset="caffe", **SMALL)
    blobs = blobs_of(net)
    blobs["fc7"][0] = np.zeros((3, 12), np.float32)  # as many numbers as 6 × 6
    (tmp_path / "net").write_bytes(model(blobs, True))
    with pytest.raises(UserError, match=r"fc7\.weight \(6, 6\), there \(1, 1, 3, 12\) of another shape"):
        caffe.load(net, tmp_path / "net")


def test_numbers_that_are_not_finite_and_names_that_come_twice_are_said(tmp_path):
    net = models.alexnet(preset="caffe", **SMALL)
    blobs, path = blobs_of(net), tmp_path / "net"
    for value, doubles in ((np.nan, False), (np.inf, False), (1e300, True)):
        wrong = blobs["fc7"][0].astype(np.float64)
        wrong[1, 2] = value
        path.write_bytes(model({**blobs, "fc7": [wrong, blobs["fc7"][1]]}, True, doubles=doubles))
        with pytest.raises(UserError, match=r"fc7\.weight holds numbers that are not finite: its net had diverged"):
            caffe.load(net, path)
    path.write_bytes(model(blobs, True) + model(blobs, True))
    with pytest.raises(UserError, match="holds two layers of one name"):
        caffe.load(net, path)


@pytest.mark.parametrize("old", [True, False])
def test_a_mean_image(tmp_path, old):
    image = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(blob(image, old))
    np.testing.assert_array_equal(caffe.mean(path), image[::-1])
    path.write_bytes(blob(image[:2], old))
    with pytest.raises(UserError, match=r"holds an array of shape .*2, 4, 5\), not the mean of images \(3, H, W\)"):
        caffe.mean(path)


ONE = {"conv1": [np.ones((2, 3, 1, 1), np.float32), np.ones(2, np.float32)]}


@pytest.mark.parametrize(("content", "says"), [
    (b"", "not a whole .caffemodel (byte 0: it is empty)"),
    (b'name: "AlexNet"\nlayer {', "not a whole .caffemodel (byte 0: a field of kind 6)"),
    (b"<!DOCTYPE html>", "not a whole .caffemodel (byte 0: a field of kind 4)"),
    (part(1, b"a net"), "holds no layer with weights: it must be a .caffemodel (a .prototxt has none)"),
    (model(ONE, True)[:60], "not a whole .caffemodel (byte "),
    (b"\xff" * 20, "a number of more than 64 bits"),
    (b"\x0a\xff", "a number that does not end"),
    (part(0, b"x"), "a field without a number"),
    (part(2, part(4, b"c") + part(6, whole(1, 7) + part(5, bytes(8)))), "of shape (7, 0, 0, 0) with 2 numbers"),
    (part(2, part(4, b"c") + part(6, part(5, bytes(7)))), "7 bytes of numbers that have 4 each"),
    (part(2, part(6, part(7, part(1, varint(2**63) * 2)) + part(5, bytes(8)))), "with 2 numbers"),
    (part(2, part(6, part(7, part(1, varint(0) + varint(2**63))))), "with 0 numbers"),
    (part(2, part(6, part(7, part(1, varint(1) * 100)) + part(5, bytes(4)))), "with 1 numbers"),
    (part(2, part(1, part(1, b"conv"))), "a layer in the format before V1, which Caffe's upgrade_net_proto_binary"),
])
def test_what_is_no_model_is_one_clear_line(tmp_path, content, says):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        caffe.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_said(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        caffe.read(tmp_path / "none")
    with pytest.raises(UserError, match="is a folder"):
        caffe.read(tmp_path)


@settings(max_examples=300)
@given(data=st.data(), old=st.booleans())
def test_no_file_makes_it_fall(tmp_path_factory, data, old):
    """Cut off, and bytes changed, anywhere."""
    content = bytearray(model(ONE, old))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"fuzz{os.getpid()}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(UserError):
        assert all(isinstance(x, np.ndarray) for layer in caffe.read(path) for x in layer.blobs)


def test_the_command_writes_what_npnet_reads(tmp_path, capsys):
    net = models.alexnet(preset="caffenet", seed=1)
    source, target = tmp_path / "net.caffemodel", tmp_path / "net.safetensors"
    source.write_bytes(model(blobs_of(net), True))
    assert cli.main(["convert", str(source), "--model", "alexnet", "--preset", "caffenet", "--out", str(target)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("matched: conv1.weight (96, 3, 11, 11), ")
    assert out.endswith(f"16 of 16 parameters are in {target}\n")
    other = models.alexnet(preset="caffenet", seed=2)
    load_weights(other, target)
    np.testing.assert_array_equal(other["fc8"].weight.numpy(), net["fc8"].weight.numpy())


def test_the_command_writes_over_nothing(tmp_path, capsys):
    source = tmp_path / "net.caffemodel"
    source.write_bytes(model(ONE, True))
    before = source.read_bytes()
    assert cli.main(["convert", str(source), "--model", "alexnet", "--partial", "--out", str(source)]) == 2
    assert capsys.readouterr().err == (
        f"npnet convert: {source}: is there already: --out FILE takes another name, or move it away\n")
    assert source.read_bytes() == before


def test_the_command_leaves_nothing_of_what_fails(tmp_path, capsys):
    source, target = tmp_path / "net.caffemodel", tmp_path / "net.safetensors"
    source.write_bytes(model(ONE, True))
    assert cli.main(["convert", str(source), "--model", "alexnet", "--out", str(target)]) == 2
    assert "its weights are not this net's" in capsys.readouterr().err
    assert not target.exists()


REAL = Path(os.environ.get("NPNET_DATA", "")) / "googlenet"


@pytest.mark.skipif(not (REAL / "bvlc_googlenet.caffemodel").exists(), reason="needs BVLC's weights in NPNET_DATA")
def test_a_published_file():
    layers = caffe.read(REAL / "bvlc_googlenet.caffemodel")
    assert sum(x.size for layer in layers for x in layer.blobs) == 6_998_552
    assert layers[0].name == "conv1/7x7_s2"
    report = caffe.load(models.googlenet(), REAL / "bvlc_googlenet.caffemodel", models.CAFFE_NAMES["googlenet"], True)
    assert (len(report.matched), report.different, report.left) == (116, [], [])
    assert all(name.startswith("head_") for name in report.missing)  # its heads are not in the file
    red, green, blue = caffe.mean(REAL / "imagenet_mean.binaryproto").mean((1, 2))
    assert (round(float(red)), round(float(green)), round(float(blue))) == (123, 117, 104)
