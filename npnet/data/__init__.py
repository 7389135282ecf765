"""Images to train on: CIFAR-10, and a set drawn by code that needs no network; and the loader of batches."""
from pathlib import Path

from npnet.data import augment, cifar10, shapes
from npnet.data.dataset import DataError, Dataset
from npnet.data.loader import Loader

__all__ = ["NAMES", "DataError", "Dataset", "Loader", "augment", "cifar10", "load", "shapes"]

NAMES = ("shapes", "cifar10")
"""The sets that `load` knows by name."""


def load(name: str | Path, split: str = "train") -> Dataset:
    """A data set by its name, or by the folder it lies in.

    Parameters
    ----------
    name : ``"shapes"``, ``"cifar10"`` (from ``$NPNET_DATA`` or ``./data``), or a folder with CIFAR-10's binary version.
    split : ``"train"`` or ``"test"``.

    Raises
    ------
    DataError
        If there is no such set, split or folder, or its files are missing or damaged.
    """
    if name == "shapes":
        return shapes.load(split)
    if name == "cifar10":
        return cifar10.load(split)
    if Path(name).is_dir():
        return cifar10.load(split, name)
    raise DataError(f"there is no data set {str(name)!r}: use shapes, cifar10, or a folder with CIFAR-10's .bin files")
