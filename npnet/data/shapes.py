"""A built-in set of pictures, drawn by code: ten figures that a net can learn where there is no network.

A figure of random place, size, rotation, stretch and colours lies on a background of two colours with stripes, among
small blobs and strokes, one of them perhaps across it, under the noise of a sensor. A picture is a function of (seed,
split, index) alone, and the same scene at any size.

Each figure is one short function f(x, y): negative inside, positive outside, and near the edge the distance to it, so
that the fraction of a pixel that it covers follows by clipping.
"""
# mypy: disable-error-code="no-any-return"
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet import counter
from npnet.data.dataset import DataError, Dataset

Plane = NDArray[Any]  # float32 (n, H, W), or what goes with it

COUNT = {"train": 10_000, "test": 2_000}
SCENE, LABEL, NOISE = (int.from_bytes(use) for use in (b"scene", b"label", b"noise"))
DRAWS = 128  # uniform numbers set aside for a scene
CLUTTER = 5  # strokes and blobs in a scene; the last lies before the figure


def disc(x: Plane, y: Plane) -> Plane:
    return np.sqrt(x * x + y * y) - 0.85


def ring(x: Plane, y: Plane) -> Plane:
    return np.abs(np.sqrt(x * x + y * y) - 0.7) - 0.2


def crescent(x: Plane, y: Plane) -> Plane:
    """A disc without another disc beside it."""
    bitten = x - 0.55
    return np.maximum(np.sqrt(x * x + y * y) - 0.95, 0.78 - np.sqrt(bitten * bitten + y * y))


def heart(x: Plane, y: Plane) -> Plane:
    """A square on its tip, and discs on its two upper sides: side 2s, radius s."""
    s, x, y = 0.54, np.abs(x), y + 0.16
    lobe_x, lobe_y = x - s * math.sqrt(0.5), y - s * math.sqrt(0.5)
    return np.minimum((x + np.abs(y)) * math.sqrt(0.5), np.sqrt(lobe_x * lobe_x + lobe_y * lobe_y)) - s


def square(x: Plane, y: Plane) -> Plane:
    return np.maximum(np.abs(x), np.abs(y)) - 0.68


def triangle(x: Plane, y: Plane) -> Plane:
    """Inside all three of its sides' lines."""
    return np.maximum(np.abs(x) * math.sqrt(0.75) + y * 0.5, -y) - 0.5


def star(x: Plane, y: Plane) -> Plane:
    """A pentagram: inside at least four of its five lines, so the second largest distance to a line counts."""
    largest = second = np.full_like(x, -np.inf)
    for i in range(5):
        angle = 2 * math.pi * i / 5
        line = x * math.cos(angle) + y * math.sin(angle)
        second = np.maximum(second, np.minimum(largest, line))
        largest = np.maximum(largest, line)
    return second - math.cos(2 * math.pi / 5)


def cross(x: Plane, y: Plane) -> Plane:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 0.92, np.minimum(x, y) - 0.27)


def arrow(x: Plane, y: Plane) -> Plane:
    """A shaft and a head, pointing to +x."""
    y = np.abs(y)
    shaft = np.maximum(np.abs(x + 0.4) - 0.5, y - 0.19)
    head = np.maximum(-x, (x - 0.98) * 0.6 + y * 0.8)
    return np.minimum(shaft, head)


def hourglass(x: Plane, y: Plane) -> Plane:
    """Two triangles, tip to tip."""
    x, y = np.abs(x), np.abs(y)
    return np.maximum(y - 0.75, (x - 0.82 * y - 0.04) * 0.773)


FIGURES: tuple[Callable[[Plane, Plane], Plane], ...] = (
    disc, ring, crescent, heart, square, triangle, star, cross, arrow, hourglass,
)  # fmt: skip
CLASSES = tuple(figure.__name__ for figure in FIGURES)


def load(split: str = "train", count: int | None = None, size: int = 32, seed: int = 0) -> Dataset:
    """The first `count` pictures of a split, `size`×`size`, with a box around each figure.

    Every ten consecutive pictures show each of the ten figures once. Picture i is the same whatever the `count`.

    Parameters
    ----------
    split : ``"train"`` (10,000 pictures unless `count` says otherwise) or ``"test"`` (2,000).
    count : number of pictures, any.
    size : side in pixels, at least 16; made for 24 … 256.
    seed : another seed is another set of the same kind.

    Raises
    ------
    DataError
        If there is no such split.
    ValueError
        If `count` or `size` is too small.
    """
    if split not in COUNT:
        raise DataError(f"shapes has no split {split!r}: ask for one of {', '.join(COUNT)}")
    count = COUNT[split] if count is None else count
    if count < 1:
        raise ValueError(f"count (={count}) must be at least 1")
    if size < 16:
        raise ValueError(f"size (={size}) must be at least 16 pixels")
    images = np.empty((count, 3, size, size), np.uint8)
    labels = np.empty(count, np.int64)
    boxes = np.empty((count, 4), np.float32)
    part = 10 * max(1, 20_000 // size**2)  # pictures drawn at once: in multiples of ten, and small enough for the cache
    for first in range(0, count, part):
        here = slice(first, min(first + part, count))
        drawn = _draw(split, np.arange(first, first + part, dtype=np.uint64), size, seed)
        images[here], labels[here], boxes[here] = (piece[: here.stop - first] for piece in drawn)
    return Dataset(images, labels, CLASSES, f"shapes {split}", boxes)


class _Dice:
    """Uniform numbers, a fixed row of them for each scene, handed out from left to right."""

    def __init__(self, split: str, index: NDArray[np.uint64], seed: int) -> None:
        self.row = counter.uniform(counter.key(seed, list(COUNT).index(split), SCENE), _places(index, DRAWS))
        self.used = 0

    def __call__(self, low: float, high: float, *shape: int) -> NDArray[np.float64]:
        """Numbers in [low, high), of `shape` for each scene: (n, *shape)."""
        first, self.used = self.used, self.used + math.prod(shape)
        return (low + (high - low) * self.row[:, first : self.used]).reshape(-1, *shape)

    def colors(self, count: int) -> NDArray[np.float64]:
        """RGB colours in 0 … 1, (n, count, 3): any hue, from pale to full, from dark to light."""
        hue, saturation, value = self(0, 6, count, 1), self(0.05, 0.85, count, 1), self(0.15, 1, count, 1)
        ramp = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
        return value * (1 - saturation * (1 - ramp))


def _draw(
    split: str, index: NDArray[np.uint64], size: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Images, labels and boxes of the scenes `index`; its length is a multiple of ten."""
    part = list(COUNT).index(split)
    labels = counter.uniform(counter.key(seed, part, LABEL), index).reshape(-1, 10).argsort(axis=1).ravel()
    dice = _Dice(split, index, seed)
    image, ground = _background(dice, size)
    strokes = dice.colors(CLUTTER)
    for i in range(CLUTTER - 1):
        _cover(image, _stroke(dice, size, square_ends=i % 2 == 1), strokes[:, i])
    covered, shade, boxes = _figure(dice, size, labels)
    colors = dice.colors(5)
    contrast = np.abs(colors[:, 1:, None] - ground[:, None]).sum(axis=3).min(axis=2)  # to the nearer ground colour
    color = colors[np.arange(len(index)), 1 + contrast.argmax(axis=1)]
    _cover(image, covered, color, 0.25 * (colors[:, 0] - color), shade)
    _cover(image, _stroke(dice, size, square_ends=False) * _plane(dice(0, 1, 1) < 0.5), strokes[:, -1])
    noise = counter.bits(counter.key(seed, part, NOISE), _places(index, size**2)).reshape(-1, size, size)
    return _expose(image, _plane(dice(2, 18, 1)), noise), labels, boxes


def _background(dice: _Dice, size: int) -> tuple[Plane, NDArray[np.float64]]:
    """Two colours that pass into each other across the image, with two sets of stripes. Also the colours, (n, 2, 3)."""
    ground = dice.colors(2)
    mix = _slope(size, dice(0, 2 * math.pi, 1), dice(0.3, 1.2, 1)) + np.float32(0.5)
    for _ in range(2):
        wave = _slope(size, dice(0, 2 * math.pi, 1), dice(1.5, 9, 1)) + _plane(dice(0, 1, 1))
        wave -= np.floor(wave)
        mix += np.abs(wave - np.float32(0.5)) * _plane(dice(-0.9, 0.9, 1))
    np.clip(mix, 0, 1, out=mix)
    start, change = (c.astype(np.float32)[:, :, None, None] for c in (ground[:, 0], ground[:, 1] - ground[:, 0]))
    return mix[:, None] * change + start, ground


def _stroke(dice: _Dice, size: int, square_ends: bool) -> Plane:
    """What a short line covers of each pixel, (n, size, size). Half of them are so short that they are blobs."""
    angle, at_x, at_y = dice(0, 2 * math.pi, 1), dice(0, 1, 1), dice(0, 1, 1)
    length = np.maximum(dice(-0.15, 0.15, 1), 0)
    x, y = _turned(size, at_x, at_y, angle)
    x = np.maximum(np.abs(x) - _plane(length), 0)
    reach = np.maximum(x, np.abs(y)) if square_ends else np.sqrt(x * x + y * y)
    return np.clip((_plane(dice(0.015, 0.06, 1)) - reach) * np.float32(size) + np.float32(0.5), 0, 1)


def _figure(dice: _Dice, size: int, labels: NDArray[np.int64]) -> tuple[Plane, Plane, NDArray[np.float32]]:
    """What each figure covers of each pixel, its shade −1 … 1 from one end to the other, and its box."""
    radius, angle, stretch = dice(0.25, 0.4, 1), dice(0, 2 * math.pi, 1), np.exp(dice(-0.15, 0.15, 1))
    margin = radius * np.maximum(stretch, 1 / stretch) + 0.02  # keeps all of it inside
    at_x, at_y = (margin + (1 - 2 * margin) * dice(0, 1, 1) for _ in range(2))
    x, y = _turned(size, at_x, at_y, angle)
    x *= _plane(1 / (radius * stretch))
    y *= _plane(stretch / radius)
    distance = np.empty_like(x)
    for label, figure in enumerate(FIGURES):
        mine = labels == label
        distance[mine] = figure(x[mine], y[mine])
    covered = np.clip(np.float32(0.5) - distance * _plane(radius * size), 0, 1)
    return covered, np.clip(x, -1, 1), _boxes(distance <= 0)


def _boxes(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(n, 4): x0, y0, x1, y1 around the pixels whose middle lies inside."""
    sides: list[Plane] = [np.any(inside, axis=1), np.any(inside, axis=2)]  # which columns, which rows
    first = [side.argmax(axis=1) for side in sides]
    last = [side.shape[1] - side[:, ::-1].argmax(axis=1) for side in sides]
    return np.stack(first + last, axis=1).astype(np.float32)


def _expose(image: Plane, level: Plane, noise: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Colours 0 … 1 to bytes, with noise of at most `level` grey levels: the sum of two uniform numbers."""
    levels = np.empty(image.shape, np.uint8)
    for channel in range(3):
        steps = [((noise >> np.uint64(20 * channel + half)) & np.uint64(1023)).astype(np.float32) for half in (0, 10)]
        grain = (steps[0] + steps[1]) * np.float32(1 / 1023) - 1
        grey = image[:, channel] * np.float32(255) + grain * level
        levels[:, channel] = np.clip(grey + np.float32(0.5), 0, 255)
    return levels


def _cover(
    image: Plane, covered: Plane, color: NDArray[np.float64], change: NDArray[np.float64] | None = None,
    shade: Plane | None = None,
) -> None:  # fmt: skip
    """Paint `color` (n, 3), or color + change · shade, over image (n, 3, H, W) where it is covered (n, H, W)."""
    for channel in range(3):
        paint = _plane(color[:, channel : channel + 1])
        if change is not None and shade is not None:
            paint = paint + _plane(change[:, channel : channel + 1]) * shade
        image[:, channel] += (paint - image[:, channel]) * covered


def _turned(
    size: int, at_x: NDArray[np.float64], at_y: NDArray[np.float64], angle: NDArray[np.float64]
) -> tuple[Plane, Plane]:
    """Coordinates of all pixels, (n, size, size) each, from a point, along axes turned by an angle, in image widths."""
    middle = (np.arange(size) + 0.5) / size
    x, y, c, s = middle - at_x, middle - at_y, np.cos(angle), np.sin(angle)
    pairs = ((c * x, s * y), (-s * x, c * y))
    along, across = (a.astype(np.float32)[:, None, :] + b.astype(np.float32)[:, :, None] for a, b in pairs)
    return along, across


def _slope(size: int, angle: NDArray[np.float64], steepness: NDArray[np.float64]) -> Plane:
    """A plane through the middle, (n, size, size), that rises by `steepness` over the width of the image."""
    half = np.full_like(angle, 0.5)
    return _turned(size, half, half, angle)[0] * _plane(steepness)


def _plane(number: NDArray[np.float64] | NDArray[np.bool_]) -> Plane:
    """(n, 1) → (n, 1, 1) float32, to go with planes."""
    return number.astype(np.float32)[:, :, None]


def _places(index: NDArray[np.uint64], each: int) -> NDArray[np.uint64]:
    """(n, each): numbers that no other picture uses, `each` for every picture of `index` (n,)."""
    return np.add.outer(index * np.uint64(each), np.arange(each, dtype=np.uint64))
