"""Images to train on: CIFAR-10, prepared photos, a set drawn by code that needs no network; the loader of batches."""
from pathlib import Path

from npnet.data import augment, cifar10, shapes
from npnet.data.dataset import DataError, Dataset, Images
from npnet.data.loader import Loader
from npnet.data.photos import INDEX, Photos

__all__ = ["NAMES", "DataError", "Dataset", "Images", "Loader", "Photos", "augment", "cifar10", "load", "shapes"]

NAMES = ("shapes", "cifar10")
"""The sets that `load` knows by name."""


def load(name: str | Path, split: str = "train", most: int | None = None) -> Images:
    """A data set by its name, or by the folder it lies in.

    Parameters
    ----------
    name : ``"shapes"``, ``"cifar10"`` (from ``$NPNET_DATA`` or ``./data``), a folder with CIFAR-10's binary version, or
        one that ``npnet data prepare`` made of photos in train and val (or test).
    split : ``"train"`` or ``"test"``.
    most : the first so many images, if there are more; all by default.

    Raises
    ------
    DataError
        If there is no such set, split or folder, or its files are missing or damaged.
    ValueError
        If `most` is less than 1.
    """
    if most is not None and most < 1:
        raise ValueError(f"most (={most}) must be at least 1")
    if name == "shapes":  # drawn for this: no more than are asked for
        return shapes.load(split, most and min(most, shapes.COUNT.get(split, most)))
    images = _there(name, split)
    return images if most is None else images.take(min(most, len(images)))


def is_prepared(name: str | Path) -> bool:
    """Is it a folder of photos that ``npnet data prepare`` has made, its splits in it?"""
    return (Path(name) / "train" / INDEX).exists()


def _there(name: str | Path, split: str) -> Images:
    """All images of a set that lies in files."""
    if name == "cifar10":
        return cifar10.load(split)
    if is_prepared(name):
        return _photos(Path(name), split)
    if (Path(name) / INDEX).exists():
        raise DataError(f"{name}: holds photos of one split: there must be train and val (or test) in it, as in the "
                        f"source of npnet data prepare")
    if Path(name).is_dir():
        if not cifar10.inside(Path(name)):
            raise DataError(f"{name}: holds no CIFAR-10 ({cifar10.FILES['test'][0]}) and no photos that npnet data "
                            f"prepare has made (train/{INDEX}): name another folder, or prepare them")
        return cifar10.load(split, name)
    raise DataError(f"there is no data set {str(name)!r}: use shapes, cifar10, or a folder with CIFAR-10's .bin files "
                    f"or with prepared photos")


def _photos(folder: Path, split: str) -> Photos:
    train = Photos(folder / "train")
    if split == "train":
        return train
    if split != "test":
        raise DataError(f"there is no split {split!r}: it is train or test")
    below = [folder / name for name in ("test", "val") if (folder / name / INDEX).exists()]
    if not below:
        raise DataError(f"{folder}: holds no photos to test on: prepare a source with val or test in it")
    photos = Photos(below[0])
    if photos.classes != train.classes:
        raise DataError(f"{below[0]}: its classes are not those of {folder / 'train'}: prepare them together")
    return photos
