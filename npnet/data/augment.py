"""Label-preserving changes of an image: random crops and mirror images. AlexNet §4.1.

What is drawn for a sample depends on (seed, epoch, index of the sample) alone: not on the batch it lands in, nor on the
thread that makes the batch, nor on what was drawn before. A run taken up in the middle draws what it would have drawn.

The paper counts 32·32 crops of 224 out of 256; the offsets of its program run 0 … 32 inclusive, 33·33 of them. Likewise
24 out of 32 (cuda-convnet's CIFAR-10 nets) leaves 0 … 8, and with the mirror images 81·2 = 162 variants of a picture.
"""
import numpy as np
from numpy.typing import NDArray

from npnet import counter

CROP = int.from_bytes(b"crop")  # what a key is for: crops and mirrors of one sample must not follow each other
MIRROR = int.from_bytes(b"mirror")
ORDER = int.from_bytes(b"order")


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


def center_crop(image: NDArray[np.float32], crop: int) -> NDArray[np.float32]:
    """(..., H, W) → (..., crop, crop), a view of the middle."""
    y, x = center_offsets((image.shape[-2] - crop, image.shape[-1] - crop))
    return image[..., y : y + crop, x : x + crop]
