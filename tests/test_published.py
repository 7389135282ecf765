"""Others' weights as a run of ours."""
import os
from pathlib import Path

import numpy as np
import pytest
from caffe_file import model
from PIL import Image

from npnet import cli, models
from npnet.errors import UserError
from npnet.recipes.published import PIXEL, adopt, read_words
from npnet.recipes.runs import trained

REAL = Path(os.environ.get("NPNET_DATA", "")) / "googlenet"


def caffemodel(net, names):
    """The weights of `net`, with Caffe's names."""
    theirs = {ours: caffe for caffe, ours in names.items()}
    layers = {}
    for parameter in net.parameters():
        name = parameter.name.rpartition(".")[0]
        layers.setdefault(theirs.get(name, name), []).append(parameter.numpy())
    return model(layers, old=False)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = models.googlenet(classes=3, preset="caffe", heads=False, seed=5)
    Path("net.caffemodel").write_bytes(caffemodel(net, models.CAFFE_NAMES["googlenet"]))
    Path("words.txt").write_text("n01 tench, Tinca tinca\nn02 goldfish\nn03 great white shark, white shark\n")
    Image.new("RGB", (40, 30), (200, 30, 90)).save("photo.png")
    return net


def test_a_caffemodel_becomes_a_run_that_names_photos(files, capsys):
    assert cli.main(["convert", "net.caffemodel", "--model", "googlenet", "--words", "words.txt", "--run", "run"]) == 0
    assert "116 parameters are in run" in capsys.readouterr().out
    run = trained(Path("run"))
    assert run.classes == ("n01", "n02", "n03")
    assert run.names == ["tench", "goldfish", "great white shark"]
    np.testing.assert_array_equal(run.mean, PIXEL)
    assert PIXEL.ravel().tolist() == [123, 117, 104], "red first"
    weight = files["conv1"].weight.numpy()
    np.testing.assert_array_equal(run.net["conv1"].weight.numpy(), weight[:, ::-1], "Caffe's is blue first")
    np.testing.assert_array_equal(run.net["fc"].weight.numpy(), files["fc"].weight.numpy())
    assert cli.main(["classify", "photo.png", "--run", "run"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in run.names)
    assert cli.main(["kernels", "run"]) == 0
    assert "of 64 kernels more than two thirds" in capsys.readouterr().out


def test_what_cannot_be_a_run_is_said_and_nothing_is_written(files, capsys):
    Path("short.txt").write_text("n01 tench\nn02\n")
    convert = ["convert", "net.caffemodel", "--model", "googlenet"]
    for more, message in (
        (["--run", "run"], "--run needs --words FILE"),
        (["--run", "run", "--words", "none.txt"], "none.txt: cannot be read"),
        (["--run", "run", "--words", "short.txt"], "short.txt: its 2 lines must each name another class"),
        (["--run", "run", "--words", "words.txt", "--mean", "photo.png"], "photo.png: not a whole .binaryproto"),
        (["--run", "run", "--words", "words.txt", "--preset", "torchvision"], "preset (='torchvision') must be one of"),
    ):
        assert cli.main([*convert, *more]) == 2
        assert message in capsys.readouterr().err
    assert not Path("run").exists()
    with pytest.raises(UserError, match="model 'cifar_18pct' has no published weights"):
        adopt(Path("net.caffemodel"), Path("run"), "cifar_18pct", Path("words.txt"))
    adopt(Path("net.caffemodel"), Path("run"), "googlenet", Path("words.txt"))
    with pytest.raises(UserError, match="run: holds a run already"):
        adopt(Path("net.caffemodel"), Path("run"), "googlenet", Path("words.txt"))


@pytest.mark.skipif(not (REAL / "bvlc_googlenet.caffemodel").exists(), reason="needs BVLC's weights in NPNET_DATA")
def test_the_published_net_has_a_thousand_classes(tmp_path):
    adopt(REAL / "bvlc_googlenet.caffemodel", tmp_path / "run", "googlenet", REAL / "synset_words.txt",
          REAL / "imagenet_mean.binaryproto")
    run = trained(tmp_path / "run")
    assert (len(run.classes), run.mean.shape, run.side) == (1000, (3, 256, 256), 256)
    assert read_words(REAL / "synset_words.txt")["n01440764"] == "tench, Tinca tinca"


def test_the_download_makes_a_run_once(files, capsys, monkeypatch):
    asked = []

    def fetch(urls, path, size, sha256=None, progress=True, least=0, sha1=None):
        asked.append((path.name, size, len(sha256 or ""), sha1, least))
        assert all(url.startswith("http") for url in urls)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(Path("net.caffemodel" if sha1 else "words.txt").read_bytes())
        return path

    monkeypatch.setattr("npnet.data.download.fetch", fetch)
    for _ in range(2):
        assert cli.main(["download", "googlenet", "--to", "data"]) == 0
        assert "npnet classify PHOTO --run data/bvlc_googlenet" in capsys.readouterr().out
    assert asked == [("synset_words.txt", 31_675, 64, None, 0),
                     ("bvlc_googlenet.caffemodel", None, 0, "405fc5acd08a3bb12de8ee5e23a96bec22f08204", 50_000_000)]
    assert trained(Path("data/bvlc_googlenet")).names[1] == "goldfish"
