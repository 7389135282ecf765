"""Prepared photos: shards that `npnet.data.prepare` wrote, to be trained on without being held in memory.

A shard is a tar of some hundred JPEGs with their labels (``000123.jpg``, ``000123.cls``: the convention of WebDataset,
which reads them too). Beside the shards lie ``index.json`` (classes, counts, what was skipped) and
``index.safetensors`` (the place of every photo, the mean image, the covariance of colours).
"""
import mmap
from collections import OrderedDict
from copy import copy
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from npnet import counter
from npnet.data import photo
from npnet.data.augment import ORDER
from npnet.data.dataset import DataError, places
from npnet.errors import UserError
from npnet.files import load_arrays, read_json

INDEX, ARRAYS = "index.json", "index.safetensors"
FORMAT = 1
TOGETHER = 8  # shards whose photos are mixed with each other
OPEN = 64  # shards that are open at a time


class Photos:
    """The photos in a prepared folder, by number, as a `Dataset` has its images.

    Attributes
    ----------
    labels : (N,) int64.
    classes : names of the folders they came from, in the order of the labels.
    words : what those mean, if it was known: ``{"n01440764": "tench, Tinca tinca"}``.
    skipped : [photo, reason] of what could not be read.

    Raises
    ------
    DataError
        If there is no such folder, or what is in it is not whole.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / INDEX
        if not path.exists():
            raise DataError(f"{self.folder} holds no prepared photos (no {INDEX}): npnet data prepare SRC "
                            f"{self.folder} makes them")
        try:
            index = read_json(path, "an index of photos")
            arrays, _ = load_arrays(self.folder / ARRAYS)
            self.name, self.classes = f"{index['name']}", tuple(index["classes"])
            self.words: dict[str, str] = index["words"]
            self.skipped: list[list[str]] = index["skipped"]
            self._shards: list[str] = index["shards"]
            self.side: int = index["side"]
            self.labels, self._places = arrays["labels"], arrays["places"]
            self._mean, self._covariance = arrays["mean"], arrays["covariance"]
            well = (index["format"] == FORMAT and index["images"] == len(self.labels) == len(self._places)
                    and self._mean.shape == (3, self.side, self.side))
        except (KeyError, TypeError, UserError) as error:
            raise DataError(f"{path}: not an index of this version ({error}): prepare the photos again") from None
        if not well:
            raise DataError(f"{path}: does not fit {ARRAYS} beside it: prepare the photos again")
        self._open: OrderedDict[int, mmap.mmap] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} photos {self.side}×{self.side}, {len(self.classes)} classes>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a photo."""
        return 3, self.side, self.side

    def image(self, i: int) -> NDArray[np.uint8]:
        """(3, H, W): photo i. From any thread."""
        shard, begin, size = (int(v) for v in self._places[i])
        name = f"{self.folder / self._shards[shard]}, photo {i}"
        content = self._shard(shard)[begin : begin + size]
        if len(content) < size:
            raise DataError(f"{name}: the file ends before it: prepare the photos again")
        pixels = np.asarray(photo.read(content, name), np.uint8).transpose(2, 0, 1)
        if pixels.shape != self.shape:
            raise DataError(f"{name}: has the shape {pixels.shape}, not {self.shape}: prepare the photos again")
        return pixels

    def _shard(self, number: int) -> mmap.mmap:
        with self._lock:
            if number in self._open:
                self._open.move_to_end(number)
                return self._open[number]
            path = self.folder / self._shards[number]
            try:
                with open(path, "rb") as file:
                    there = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise DataError(f"{path}: cannot be read ({error}): prepare the photos again") from None
            self._open[number] = there
            if len(self._open) > OPEN:
                self._open.popitem(last=False)  # closed, when no thread reads it any more
            return there

    def take(self, which: int) -> "Photos":
        """The first `which` photos, with the mean image of all. They lie in the shards in no order."""
        if not 0 <= which <= len(self):
            raise ValueError(f"which (={which}) must be in 0…{len(self)}, the photos in {self.name}")
        some = copy(self)
        some.labels, some._places = self.labels[:which], self._places[:which]
        return some

    def of_classes(self, classes: tuple[str, ...]) -> "Photos":
        """The same with labels that are places in `classes`. Raises DataError if one of its own is not among them."""
        some = copy(self)
        some.labels, some.classes = places(self, classes), classes
        return some

    def mean_image(self) -> NDArray[np.float32]:
        """(3, H, W): the mean of every pixel over all photos, in grey levels. AlexNet §2."""
        return self._mean

    def covariance(self) -> NDArray[np.float64]:
        """(3, 3): the covariance of red, green and blue over all pixels of all photos. AlexNet §4.1."""
        return self._covariance

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """(N,): the order in which an epoch shows them: the shards mixed, and the photos of every few of them, so that
        a disk reads from a few places and not from all."""
        rng = counter.generator(seed, epoch, ORDER)
        shards = rng.permutation(len(self._shards))
        starts = np.searchsorted(self._places[:, 0], np.arange(len(self._shards) + 1))
        groups = [
            rng.permutation(np.concatenate([np.arange(starts[s], starts[s + 1]) for s in shards[i : i + TOGETHER]]))
            for i in range(0, len(shards), TOGETHER)]
        return np.concatenate(groups).astype(np.int64)
