"""Nets that others have trained, as runs of ours: Caffe's weights, with what they must know of their images."""
from dataclasses import replace
from pathlib import Path

import numpy as np

from npnet import models
from npnet.data.prepare import entries_of
from npnet.errors import UserError
from npnet.train.checkpoint import NAME as CHECKPOINT
from npnet.weights import caffe, save_weights

from .googlenet import GOOGLENET
from .recipe import FILE, Recipe, save_input

BASE = {
    "googlenet": replace(GOOGLENET["googlenet_caffe"], arguments={"preset": "caffe", "heads": False}),
    "alexnet": Recipe("alexnet_caffe", "alexnet", epochs=90, rate=0.01, drops=(20, 40, 60, 80), weight_decay=0.0005,
                      batch=256, crop=227, mirror=True, arguments={"preset": "caffe"},
                      reported="42.9 % on ILSVRC 2012, a thousand classes, centre crop", reported_error=0.429),
}
"""As BVLC says that its nets were trained."""

PIXEL = np.array([123, 117, 104], np.float32).reshape(3, 1, 1)
"""What bvlc_googlenet takes off every red, green and blue."""


GOOGLENET_URLS = (
    "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
    "https://www.deepdetect.com/downloads/platform/pretrained/caffe/googlenet/bvlc_googlenet.caffemodel",
)
GOOGLENET_SHA1 = "405fc5acd08a3bb12de8ee5e23a96bec22f08204"
"""As Caffe's model zoo lists it, with the first address."""
GOOGLENET_LEAST = 50_000_000
"""Bytes it has at least: 51 MB, in other people's words."""

WORDS_URLS = (
    "https://raw.githubusercontent.com/HoldenCaulfieldRye/caffe/master/data/ilsvrc12/synset_words.txt",
    "https://github.com/opencv/opencv/raw/3.3.1/samples/data/dnn/synset_words.txt",
)
WORDS_SIZE, WORDS_SHA256 = 31_675, "acf75ef0abe89694b19056e0796401068b459c457baa30335f240c7692857355"
"""Of the thousand classes of ILSVRC 2012 in the order of their ids, as Caffe's auxiliary archive has them."""


def download(folder: str | Path = "data", progress: bool = True) -> Path:
    """Fetch BVLC's GoogLeNet and what its classes are called, and make a run of them, ``folder/bvlc_googlenet``, which
    is returned. What is there already is used, and a broken download goes on.

    Raises
    ------
    DataError
        If no mirror gives a file, or the disk is full.
    """
    from npnet.data.download import fetch

    folder = Path(folder)
    run = folder / "bvlc_googlenet"
    if not (run / FILE).exists():
        words = fetch(WORDS_URLS, folder / "synset_words.txt", WORDS_SIZE, sha256=WORDS_SHA256, progress=progress)
        weights = fetch(GOOGLENET_URLS, folder / "bvlc_googlenet.caffemodel", None, progress=progress,
                        least=GOOGLENET_LEAST, sha1=GOOGLENET_SHA1)
        adopt(weights, run, "googlenet", words)
    return run


def adopt(
    source: Path, folder: Path, model: str, words: Path, mean: Path | None = None, preset: str | None = None
) -> caffe.Report:
    """A run in `folder` of a .caffemodel, to be tested and looked at like one's own.

    words : a file whose lines are a class and what it means, in the order of the net's outputs (synset_words.txt).
    mean : a .binaryproto that its images were less; None: `PIXEL`.

    Raises UserError if `folder` holds a run, or a file is not what it should be; then nothing is written.
    """
    if (folder / FILE).exists():
        raise UserError(f"{folder}: holds a run already: choose another folder")
    if model not in BASE:
        raise UserError(f"model {model!r} has no published weights in Caffe's format: it is one of {', '.join(BASE)}")
    recipe = BASE[model]
    if preset:
        recipe = recipe.switched(preset=preset)
    classes = read_words(words)
    less = caffe.mean(mean) if mean else PIXEL
    net = recipe.build(0, len(classes))
    report = caffe.load(net, source, models.CAFFE_NAMES.get(model))
    save_weights(net, folder / CHECKPOINT)
    save_input(folder, less, list(classes), classes)
    recipe.save(folder, data="ILSVRC2012 train", images=1_281_167, classes=len(classes), seed=0, backend="Caffe")
    return report


def read_words(path: Path) -> dict[str, str]:
    """Classes in order, and what they mean, from lines as "n01440764 tench, Tinca tinca"."""
    lines = entries_of(path)
    found = {line[0]: line[1] for line in lines if len(line) == 2}
    if len(found) < len(lines) or not lines:
        raise UserError(f"{path}: its {len(lines)} lines must each name another class and what it means")
    return found
