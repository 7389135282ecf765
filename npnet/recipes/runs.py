"""Runs that have been trained: their nets, their data, and how well they do."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet import data, models
from npnet.data import DataError, Dataset, Images, Loader, augment, photo
from npnet.errors import UserError
from npnet.evaluate import ErrorRate, Voice, averaged_error_rate, error_rate, mean_probabilities
from npnet.evaluate.neighbours import features
from npnet.files import load_arrays, save_arrays
from npnet.train.checkpoint import NAME as CHECKPOINT
from npnet.weights import load_weights

from .recipe import Recipe, check_crop, load, load_input, still_loader

Progress = Callable[[int, int], object]
"""Called with each batch's images, and how many there are in all; every view and every net counts."""


@dataclass(frozen=True)
class Trained:
    """A run as it lies in its folder: the net with the weights of its last checkpoint, what it takes off its images,
    and what its classes are called.

    facts : what `trainer` wrote about it.  mean : (3, H, W), or (3, 1, 1), of its training images.  words : what the
    names of classes mean, as far as it is known.  where : what its data are loaded by.
    """

    folder: Path
    recipe: Recipe
    facts: dict[str, Any]
    net: models.Net
    mean: NDArray[np.float32]
    classes: tuple[str, ...]
    words: dict[str, str]
    where: str | Path

    @cached_property
    def train(self) -> Images:
        """As many training images as it had."""
        return self._labelled(data.load(self.where, "train", self.facts["images"]))

    @cached_property
    def test(self) -> Images:
        return self._labelled(data.load(self.where, "test"))

    def _labelled(self, images: Images) -> Images:
        try:
            return images if images.classes == self.classes else images.of_classes(self.classes)
        except DataError as error:
            raise UserError(f"{error}: --data DIR names images of classes that {self.folder} was trained on") from None

    @property
    def side(self) -> int:
        """Of the squares that its crops are taken from, in pixels."""
        return self.mean.shape[1] if self.mean.shape[1] > 1 else photo.SIDE

    @property
    def names(self) -> list[str]:
        """What the classes are called: by their words, as far as they are known."""
        return [self.words.get(name, name).split(",")[0] for name in self.classes]

    def loader(self, images: Images, view: int | None = None) -> Loader:
        """Of images as this net is tested: the mean of its training images is taken off."""
        check_crop(self.recipe, images)
        return still_loader(self.recipe, self.mean, images, view)

    def voices(self, images: Images, views: int) -> list[Voice]:
        """The net, with each of so many views of the images; where it takes all of an image, ten are two, five times
        each: as it is, and mirrored."""
        if views == 1:
            return [(self.net, self.loader(images))]
        crop = self.recipe.crop
        distinct = (0, views // 2) if not crop or images.shape[1:] == (crop, crop) else range(views)
        return [(self.net, self.loader(images, view)) for view in distinct]


def trained(folder: Path, where: str | Path | None = None) -> Trained:
    """The run in `folder`.  where : other data than it was trained on. They are looked for when they are asked for.

    Raises UserError if there is no run, or its weights are not what it says.
    """
    recipe, facts = load(folder)
    mean, classes, words = load_input(folder)
    net = recipe.build(0, len(classes))
    load_weights(net, folder / CHECKPOINT, averaged=recipe.averaged > 0)
    name = where or facts.get("where") or facts["data"].split()[0]
    return Trained(folder, recipe, facts, net, mean, classes, words, name)


def _set_of(run: Trained, pictures: Sequence[NDArray[np.uint8]]) -> Dataset:
    """Pictures whose labels nobody knows."""
    return Dataset(np.stack(pictures), np.zeros(len(pictures), np.int64), run.classes, "pictures")


def classify(run: Trained, pictures: Sequence[NDArray[np.uint8]], views: int = 1) -> NDArray[np.float64]:
    """(N, K): how probable the net finds each class, of pictures (3, side, side), as large as its training images."""
    return mean_probabilities(run.voices(_set_of(run, pictures), views))


def hidden_of(run: Trained, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(N, D): the last hidden layer of pictures (3, side, side)."""
    return features(run.net, run.loader(_set_of(run, pictures)))


def first_kernels(folder: Path) -> tuple[NDArray[np.float32], int]:
    """The weights (O, 3, KH, KW) of a run's first layer, and on how many columns they lie: without its data."""
    recipe, _ = load(folder)
    arrays, _ = load_arrays(folder / CHECKPOINT, "conv1.weight".__eq__)
    weights = arrays.get("conv1.weight")
    if weights is None or weights.ndim != 4 or weights.shape[1] != 3:
        raise UserError(f"{folder / CHECKPOINT}: holds no kernels conv1.weight (O, 3, KH, KW) that see colours")
    two = recipe.model == "alexnet" and models.switches("alexnet", **recipe.arguments).groups[1] == 2
    return weights, 2 if two else 1


def hidden(run: Trained, split: str, progress: Callable[[int], object] | None = None) -> NDArray[np.float32]:
    """(N, D): the last hidden layer of the run's training or test images. Kept beside the run, for they take a while;
    worked out anew when the weights or the images are others."""
    images = {"train": run.train, "test": run.test}[split]
    digest = sha256(images.labels.tobytes() + images.image(0).tobytes() + run.mean.tobytes())
    for p in run.net.parameters():
        digest.update(p.numpy().tobytes())
    facts = {"of": digest.hexdigest()}  # weights and images: what it is a function of
    path = run.folder / f"hidden-{split}.safetensors"
    if path.exists():
        arrays, were = load_arrays(path)
        if were == facts and "hidden" in arrays:
            return arrays["hidden"]
    found = features(run.net, run.loader(images), progress)
    save_arrays(path, {"hidden": found}, facts)
    return found


def evaluate_runs(
    folders: Sequence[Path], where: str | Path | None = None, views: int = 1,
    progress: Progress = lambda seen, of: None,
) -> tuple[list[Recipe], ErrorRate]:
    """Test error of the run in each folder; of several, that of the mean of their probabilities (AlexNet §6, "5 CNNs").

    views : 1, the centre, or 10, averaged (AlexNet §4.1).

    Raises UserError if they do not answer the same question.
    """
    if views not in (1, augment.VIEWS):
        raise ValueError(f"views (={views}) must be 1 or {augment.VIEWS}")
    runs = [trained(folder, where) for folder in folders]
    first = runs[0]
    for run in runs[1:]:
        if run.test.classes != first.test.classes or not np.array_equal(run.test.labels, first.test.labels):
            raise UserError(f"{run.folder}: was tested on other images than {first.folder} ({run.test.name!r}, "
                            f"{first.test.name!r}): --data DIR names one set for all")
    voices = [voice for run in runs for voice in run.voices(run.test, views)]
    total = len(voices) * len(first.test)
    if len(voices) == 1:
        rate = error_rate(*voices[0], lambda seen: progress(seen, total))
    else:
        rate = averaged_error_rate(voices, lambda seen: progress(seen, total))
    return [run.recipe for run in runs], rate
