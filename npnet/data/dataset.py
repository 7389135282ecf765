"""A labelled set of images in memory, and the one error a user of data may meet."""
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from npnet.data import augment
from npnet.errors import UserError


class DataError(UserError):
    """Something about data that the user can mend. One line: what is wrong, where, and what to do about it."""


class Labelled(Protocol):
    """What has labels."""

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def labels(self) -> NDArray[np.int64]: ...


class Images(Labelled, Protocol):
    """What a loader and a recipe ask of a set of images, be it in memory or on a disk."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        ...

    def __len__(self) -> int: ...

    def image(self, i: int) -> NDArray[np.uint8]:
        """(C, H, W): image i, to be read only. From any thread."""
        ...

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """(N,): the order in which an epoch shows the images."""
        ...

    def take(self, which: int, /) -> "Images":
        """The first `which`."""
        ...

    def of_classes(self, classes: tuple[str, ...], /) -> "Images":
        """The same with labels that are places in `classes`, which holds its own."""
        ...

    def mean_image(self) -> NDArray[np.float32]:
        """(C, H, W), in grey levels."""
        ...

    def covariance(self) -> NDArray[np.float64]:
        """(C, C), of the colours of all pixels."""
        ...


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and what is on them.

    Parameters
    ----------
    images : (N, 3, H, W) uint8, RGB, 0–255.
    labels : (N,) int64, each an index into `classes`.
    classes : names, in the order of the labels.
    name : what the set is called in reports, with its split: ``"cifar10 train"``.
    boxes : (N, 4) float32, or None: x0, y0, x1, y1 in pixels around the figure. Pixel (row, column) covers
        column … column + 1, row … row + 1, so a box around the whole image is 0, 0, W, H.

    Raises
    ------
    ValueError
        If an array has another type or shape, or a label has no class.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    name: str
    boxes: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        images, labels, boxes = self.images, self.labels, self.boxes
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8:
            raise ValueError(f"images (={images.dtype} {images.shape}) must be uint8 (N, 3, H, W)")
        if labels.shape != images.shape[:1] or labels.dtype != np.int64:
            raise ValueError(f"labels (={labels.dtype} {labels.shape}) must be int64 ({len(images)},)")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            i = int(np.argmax((labels < 0) | (labels >= len(self.classes))))
            raise ValueError(f"labels[{i}] (={labels[i]}) must be at least 0 and less than {len(self.classes)} classes")
        if boxes is not None and (boxes.shape != (len(images), 4) or boxes.dtype != np.float32):
            raise ValueError(f"boxes (={boxes.dtype} {boxes.shape}) must be float32 ({len(images)}, 4)")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        channels, height, width = self.images.shape[1:]
        return f"<{self.name}: {len(self)} images {channels}×{height}×{width}, {len(self.classes)} classes>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, H, W) of an image."""
        return (3, *self.images.shape[2:])

    def image(self, i: int) -> NDArray[np.uint8]:
        """(3, H, W): image i, a view."""
        view: NDArray[np.uint8] = self.images[i]
        return view

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """(N,): the order in which an epoch shows the images."""
        return augment.order(seed, epoch, len(self))

    def take(self, which: int | Sequence[int] | NDArray[np.integer]) -> "Dataset":
        """The first `which` images (a view), or the images with these indices, in this order (a copy).

        Raises
        ------
        ValueError
            If there are fewer images than asked for.
        """
        if isinstance(which, (int, np.integer)):
            if not 0 <= which <= len(self):
                raise ValueError(f"which (={which}) must be in 0…{len(self)}, the images in {self.name}")
            chosen: slice | NDArray[np.integer] = slice(int(which))
        else:
            chosen = np.asarray(which, dtype=np.int64)
            if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self):
                low, high = chosen.min(), chosen.max()
                raise ValueError(f"which (={low}…{high}) must be in 0…{len(self) - 1}, the images in {self.name}")
        boxes = None if self.boxes is None else self.boxes[chosen]
        return replace(self, images=self.images[chosen], labels=self.labels[chosen], boxes=boxes)

    def of_classes(self, classes: tuple[str, ...]) -> "Dataset":
        """The same with labels that are places in `classes`. Raises DataError if one of its own is not among them."""
        return replace(self, labels=places(self, classes), classes=classes)

    def mean_image(self) -> NDArray[np.float32]:
        """(3, H, W): the mean of every pixel over all images, in grey levels. AlexNet §2.

        Summed in integers, so that it is exact whatever the order, and rounded once.
        """
        if not len(self):
            raise ValueError(f"{self.name} holds no image: the mean of nothing is not defined")
        total = np.zeros(self.images.shape[1:], np.int64)
        for first in range(0, len(self), 4096):  # the sum of 4,096 bytes fits 32 bits, which add faster than 64
            total += self.images[first : first + 4096].sum(axis=0, dtype=np.uint32)
        return (total / len(self)).astype(np.float32)

    def covariance(self) -> NDArray[np.float64]:
        """(3, 3): the covariance of red, green and blue over all pixels of all images. AlexNet §4.1."""
        if not len(self):
            raise ValueError(f"{self.name} holds no image: the covariance of nothing is not defined")
        total, products = np.zeros(3), np.zeros((3, 3))
        for first in range(0, len(self), 1024):  # whole numbers below 2^53: float64 adds them exactly
            colours = self.images[first : first + 1024].transpose(1, 0, 2, 3).reshape(3, -1).astype(np.float64)
            total += colours.sum(axis=1)
            products += colours @ colours.T
        mean = total / (len(self) * self.images[0, 0].size)
        covariance: NDArray[np.float64] = products / (len(self) * self.images[0, 0].size) - np.outer(mean, mean)
        return covariance


def places(images: Labelled, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """(N,): the labels of images as places in other `classes`. Raises DataError if one of theirs is not among them."""
    strange = [name for name in images.classes if name not in classes]
    if strange:
        raise DataError(f"{images.name}: holds classes that are not among the {len(classes)} that are known "
                        f"({', '.join(strange[:3])})")
    return np.array([classes.index(name) for name in images.classes], np.int64)[images.labels]
