"""The crops of a photo that a net is tested with. AlexNet §4.1: 10; GoogLeNet §7: 144.

The 144 are of four sizes; of each, three squares; of each square, the four corners, the centre, and all of it as small
as a crop; each of them and its mirror image. (All of a square is the same for every size: 126 differ.) Among them, of
the smallest size's middle square, are AlexNet's ten, and the centre alone.
"""
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet.data import augment
from npnet.data.photo import SIDE

SCALES = (SIDE, 288, 320, 352)
"""Pixels of the shorter side."""
SQUARES = ("left or upper", "middle", "right or lower")
PLACES = 6
EACH = len(SQUARES) * PLACES * 2  # of a scale
COUNT = len(SCALES) * EACH

TEN = [(1 * PLACES + place) * 2 + mirrored for mirrored in (0, 1) for place in range(5)]
"""Of the 144 those that AlexNet takes, in the order of `augment.views`."""
CENTRE = TEN[4]

COUNTS = {1: [CENTRE], 10: TEN, COUNT: list(range(COUNT))}
"""Which of them make so many."""


def squares(photo: Any, scale: int, side: int) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Of a photo (Pillow's), its shorter side rescaled to `scale`, the three squares (3, scale, scale); and all of each
    as (3, side, side)."""
    from PIL import Image

    width, height = photo.size
    short = min(width, height)
    found = []
    for part in (0.0, 0.5, 1.0):
        left, top = part * (width - short), part * (height - short)
        box = (left, top, left + short, top + short)
        found.append(tuple(
            np.asarray(photo.resize((size, size), Image.Resampling.BICUBIC, box), np.uint8).transpose(2, 0, 1)
            for size in (scale, side)))
    return found  # type: ignore[return-value]


def crops(photo: Any, count: int, side: int = 224) -> NDArray[np.uint8]:
    """(count, 3, side, side): 1, 10 or 144 crops of a photo (Pillow's).

    Raises ValueError if there is no such number of them, or the photo's smallest size is smaller than a crop.
    """
    if count not in COUNTS:
        raise ValueError(f"count (={count}) must be one of {', '.join(map(str, COUNTS))}")
    if side > SCALES[0]:
        raise ValueError(f"side (={side}) must be at most {SCALES[0]}")
    wanted = COUNTS[count]
    made = np.empty((count, 3, side, side), np.uint8)
    row = {crop: i for i, crop in enumerate(wanted)}
    for i, scale in enumerate(SCALES):
        if not any(crop // EACH == i for crop in wanted):
            continue
        corners = [place for place, mirrored in augment.views((scale - side, scale - side)) if not mirrored]
        for j, (square, whole) in enumerate(squares(photo, scale, side)):
            parts = [*(square[:, top : top + side, left : left + side] for top, left in corners), whole]
            for k, part in enumerate(parts):
                for mirrored in (0, 1):
                    crop = i * EACH + (j * PLACES + k) * 2 + mirrored
                    if crop in row:
                        made[row[crop]] = part[:, :, ::-1] if mirrored else part
    return made
