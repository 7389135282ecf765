"""Label-preserving changes of an image: random crops, mirror images and shifts of colour. AlexNet §4.1.

What is drawn for a sample depends on (seed, epoch, index of the sample) alone: not on the batch it lands in, nor on the
thread that makes the batch, nor on what was drawn before. A run taken up in the middle draws what it would have drawn.

The paper counts 32·32 crops of 224 out of 256; the offsets of its program run 0 … 32 inclusive, 33·33 of them. Likewise
24 out of 32 (cuda-convnet's CIFAR-10 nets) leaves 0 … 8, and with the mirror images 81·2 = 162 variants of a picture.
"""
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet import counter

CROP = int.from_bytes(b"crop")  # what a key is for: crops and mirrors of one sample must not follow each other
MIRROR = int.from_bytes(b"mirror")
ORDER = int.from_bytes(b"order")
COLOUR = int.from_bytes(b"colour")

GAIN = 1.1
"""What the program of 2012 divided images by that it had shifted in colour, to keep their scale. The paper does not."""

_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
_ROOTS = np.array([121.78, 37.09, 19.72])
IMAGENET = np.array(_VECTORS) * _ROOTS**2 @ np.array(_VECTORS).T
"""(3, 3): the covariance of ImageNet's red, green and blue, 0 to 255, as far as it is published: the roots of its
eigenvalues by cuda-convnet2, its eigenvectors by Torch's ImageNet program."""


def order(seed: int, epoch: int, images: int) -> NDArray[np.int64]:
    """(images,): the order in which an epoch shows the samples, a permutation."""
    return counter.generator(seed, epoch, ORDER).permutation(images)


def crop_offsets(seed: int, epoch: int, index: NDArray[np.integer], room: tuple[int, int]) -> NDArray[np.int64]:
    """Where each sample's crop starts.

    Parameters
    ----------
    index : (n,) which samples of the data set.
    room : rows and columns that the image has more than the crop.

    Returns
    -------
    (n, 2): row and column of the crop's first pixel, uniform on 0 … room inclusive.
    """
    key, i = counter.key(seed, epoch, CROP), 2 * np.asarray(index, np.uint64)
    offsets = [(counter.uniform(key, i + j) * (room[j] + 1)).astype(np.int64) for j in (0, 1)]
    return np.stack(offsets, axis=1)


def mirror_flags(seed: int, epoch: int, index: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(n,): whether each of the samples `index` (n,) is mirrored left to right, with p = 1/2."""
    return counter.uniform(counter.key(seed, epoch, MIRROR), np.asarray(index, np.uint64)) < 0.5


def center_offsets(room: tuple[int, int]) -> tuple[int, int]:
    """Row and column where the centre crop starts, rounded down."""
    return room[0] // 2, room[1] // 2


VIEWS = 10


def views(room: tuple[int, int]) -> list[tuple[tuple[int, int], bool]]:
    """Where the ten views of a test image start, and which are mirrored: the four corners and the centre, then the same
    mirrored. AlexNet §4.1.

    room : rows and columns that the image has more than the crop.
    """
    places = [(0, 0), (0, room[1]), (room[0], 0), room, center_offsets(room)]
    return [(place, mirrored) for mirrored in (False, True) for place in places]


def center_crop(image: NDArray[np.float32], crop: int) -> NDArray[np.float32]:
    """(..., H, W) → (..., crop, crop), a view of the middle."""
    y, x = center_offsets((image.shape[-2] - crop, image.shape[-1] - crop))
    return image[..., y : y + crop, x : x + crop]


def colour_axes(covariance: NDArray[np.floating], roots: bool) -> NDArray[np.float64]:
    """(3, 3): column j is p_j λ_j, eigenvector times eigenvalue of the covariance of red, green, blue. AlexNet §4.1.

    roots : p_j √λ_j instead, as the program of 2012 did. Of pixels from 0 to 255, λ₁ is about 15,000: as printed, a
    tenth of it shifts an image by ± 1,500 grey levels, and by ± 12 with its root.

    Raises
    ------
    ValueError
        If the covariance is not a symmetric 3 × 3.
    """
    c = np.asarray(covariance, np.float64)
    if c.shape != (3, 3) or not np.allclose(c, c.T):
        raise ValueError(f"covariance (={c.tolist()}) must be symmetric, 3 × 3")
    values, vectors = np.linalg.eigh(c)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]  # the largest first; rounding may make one −0
    vectors = vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)  # of p and −p, that which is brighter
    axes: NDArray[np.float64] = vectors * (np.sqrt(values) if roots else values)
    return axes


def colour_shifts(
    seed: int, epoch: int, index: NDArray[np.integer], axes: NDArray[np.floating], std: float = 0.1
) -> NDArray[np.float64]:
    r"""(n, 3): what is added to red, green and blue of every pixel of each of the samples `index` (n,). AlexNet §4.1.

    .. math:: [p_1, p_2, p_3] \, [\alpha_1 \lambda_1, \alpha_2 \lambda_2, \alpha_3 \lambda_3]^T
              \qquad \alpha_j \sim N(0, 0.1)

    0.1 being the standard deviation; each α is drawn once for an image, every time it is used.
    """
    key, i = counter.key(seed, epoch, COLOUR), 4 * np.asarray(index, np.uint64)
    u = [counter.uniform(key, i + np.uint64(j)) for j in range(4)]
    radius = [np.sqrt(-2 * np.log1p(-v)) for v in (u[0], u[2])]  # Box and Muller's way from uniform to normal
    alpha = np.stack([radius[0] * np.cos(2 * np.pi * u[1]), radius[0] * np.sin(2 * np.pi * u[1]),
                      radius[1] * np.cos(2 * np.pi * u[3])], axis=1)
    shifts: NDArray[Any] = std * alpha @ np.asarray(axes, np.float64).T
    return shifts


def shown(
    image: NDArray[np.uint8], covariance: NDArray[np.floating], crop: int, seed: int
) -> tuple[list[tuple[str, list[NDArray[np.uint8]]]], list[tuple[float, float, float, float]]]:
    """What training may make of a square photo (3, side, side): rows of pictures, each with what it shows, and where
    the crops of the first row lie in the photo (x, y, width, height). For `plot.sheet`."""
    side = image.shape[1]
    room, draws = (side - crop,) * 2, np.arange(6)
    corners = crop_offsets(seed, 0, draws, room).tolist()
    flips = mirror_flags(seed, 0, draws).tolist()
    crops = [image[:, top : top + crop, left : left + crop] for top, left in corners]
    crops = [one[:, :, ::-1] if flip else one for one, flip in zip(crops, flips, strict=True)]
    rows = [(f"the photo, {side} × {side}, and crops of {crop} × {crop}, half of them mirrored", [image, *crops[:5]])]
    for roots, what in ((True, "colours shifted by the roots of the eigenvalues, as the program of 2012 did"),
                        (False, "colours shifted by the eigenvalues, as printed: of pixels from 0 to 255")):
        shifts = colour_shifts(seed, 0, draws, colour_axes(covariance, roots))
        shifted = [np.clip(image + s[:, None, None], 0, 255).astype(np.uint8) for s in shifts]
        rows.append((f"{what} ({', '.join(f'{s.mean():+.0f}' for s in shifts)} grey levels)", shifted))
    return rows, [(left, top, crop, crop) for top, left in corners[:5]]
