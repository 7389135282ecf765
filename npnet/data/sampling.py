"""Patches of photos, of any size and shape, resampled and with other light. GoogLeNet §6.

Patches of 8 to 100 % of an image's area, their sides as 3 : 4 to 4 : 3, are what the paper found to work after the
competition, with the photometric distortions of Howard ("Some improvements on deep convolutional neural network based
image classification", 2013), and a way of resampling drawn at random, of which its authors could not say whether it
helped.

As in `augment`, what is drawn for a photo depends on (seed, epoch, number of the photo) alone.
"""
import math

import numpy as np
from numpy.typing import NDArray

from npnet import counter

AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
STRENGTH = (0.5, 1.5)
"""Of brightness, contrast and colour, 1 being the photo as it is. The paper gives no numbers; these are those of others
who cite Howard."""
METHODS = ("bilinear", "area", "nearest", "cubic")
TRIES = 10

SAMPLE = int.from_bytes(b"sample")

Patch = tuple[int, int, int, int]
"""Row and column of the first pixel, height, width."""


def patch(rng: np.random.Generator, height: int, width: int) -> Patch:
    """A patch of an image of height × width pixels: its area uniform in `AREA`, its width over its height in `ASPECT`,
    so that 3/4 and 4/3 are as likely (uniform in the logarithm), its place uniform.

    What does not fit is drawn anew, `TRIES` times at most; then it is the largest square, in the middle.
    """
    for _ in range(TRIES):
        area = rng.uniform(*AREA) * height * width
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        high, wide = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 1 <= high <= height and 1 <= wide <= width:
            return int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1)), high, wide
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def resampled(image: NDArray[np.uint8], where: Patch, side: int, method: str) -> NDArray[np.uint8]:
    """The patch of an image (3, H, W) as side × side pixels (3, side, side), its shape given up.

    method : one of `METHODS`. Bilinear, area and cubic weigh all pixels of a patch that is larger.
    """
    from PIL import Image

    ways = dict(zip(METHODS, (Image.Resampling.BILINEAR, Image.Resampling.BOX, Image.Resampling.NEAREST,
                              Image.Resampling.BICUBIC), strict=True))
    top, left, high, wide = where
    cut = Image.fromarray(np.ascontiguousarray(image[:, top : top + high, left : left + wide].transpose(1, 2, 0)))
    return np.asarray(cut.resize((side, side), ways[method])).transpose(2, 0, 1)


def distorted(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (3, H, W) with brightness, contrast and colour of another strength each, in an order drawn too."""
    from PIL import Image, ImageEnhance

    lit = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    for i in rng.permutation(3):
        change = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[i]
        lit = change(lit).enhance(rng.uniform(*STRENGTH))
    return np.asarray(lit).transpose(2, 0, 1)


def sample(image: NDArray[np.uint8], side: int, seed: int, epoch: int, index: int) -> NDArray[np.uint8]:
    """(3, side, side): what training sees of photo `index` (3, H, W) in an epoch. Mirrors are `augment`'s."""
    rng = counter.generator(seed, epoch, index, SAMPLE)
    where = patch(rng, *image.shape[1:])
    method = METHODS[rng.integers(len(METHODS))]
    return distorted(rng, resampled(image, where, side, method))
