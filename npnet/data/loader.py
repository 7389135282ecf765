"""Batches made in the background while the net computes. AlexNet §4.1.

"The transformed images are generated in Python code on the CPU while the GPU is training on the previous batch of
images. So these data augmentation schemes are, in effect, computationally free."
"""
import sys
import threading
from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npnet.data import augment
from npnet.data.dataset import Dataset, Images
from npnet.data.sampling import sample as sample_patch

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]


class Loader:
    """Batches of a data set, shuffled, cropped, mirrored and centred; the same bits for any number of threads.

    From every picture the mean image is subtracted. From a crop, wherever it lies, the *centre crop* of the mean image
    is: so does AlexNet's program (the paper does not say).

    Parameters
    ----------
    dataset : the images.
    batch : images in a batch. The last batch of an epoch may be smaller.
    whole : no, it may not: what is left over of an epoch's order, other images in each, is not shown. (The gradient of
        few images is a bad guess at that of many, and several times as large. Training AlexNet with batches of 128, one
        of 8 at the end of every epoch was a blow that could be seen: results/README.md.)
    mean : (C, H, W) mean image, or (C, 1, 1) a mean colour, in grey levels; None subtracts nothing.
    crop : side of the square crop in pixels, or None for the whole image. In training its place is drawn anew for each
        sample in each epoch, otherwise it is the centre.
    mirror : mirror half of the pictures left to right, drawn likewise; only in training.
    together : so many pictures in a row are cropped and mirrored alike. 1; in the program of 2012, 32.
    colour : (3, 3) `augment.colour_axes`, along which every picture is shifted in colour; only in training, and only in
        the first `colour_epochs`.
    colour_epochs : None for always; in the program of 2012, 68.
    gain : what pictures that are shifted in colour are divided by. 1; in the program of 2012, `augment.GAIN`.
    sampling : in place of random crops, patches of any size and shape with other light, as `npnet.data.sampling` draws
        them; only in training. `crop` is their side.
    train : shuffle and draw; otherwise the data set's order and its centre crops.
    draw : False has training, too, see centre crops as they are: without augmentation.
    view : out of training, which of the ten views of `augment.views` to hand out in place of the centre.
    seed : what the order, crops and mirrors of an epoch follow from, with the number of the epoch.
    threads : background threads that make batches.
    ahead : batches that may lie ready before they are asked for.
    dtype : of the images handed out: float32, or float64 for gradient checks.

    Raises
    ------
    ValueError
        If the data set is empty, a number is not positive, the crop is larger than the image or the mean fits neither.
    """

    def __init__(
        self,
        dataset: Images,
        batch: int = 128,
        *,
        whole: bool = False,
        mean: NDArray[np.floating] | None = None,
        crop: int | None = None,
        mirror: bool = False,
        together: int = 1,
        colour: NDArray[np.floating] | None = None,
        colour_epochs: int | None = None,
        gain: float = 1.0,
        sampling: bool = False,
        train: bool = True,
        draw: bool = True,
        view: int | None = None,
        seed: int = 0,
        threads: int = 1,
        ahead: int = 3,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if not len(dataset):
            raise ValueError(f"dataset (={dataset.name!r}) holds no image")
        for name, value in (("batch", batch), ("threads", threads), ("ahead", ahead), ("together", together)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} (={value}) must be a whole number, at least 1")
        if whole and batch > len(dataset):
            raise ValueError(f"batch (={batch}) must be at most {len(dataset)}, the images in {dataset.name}, to be "
                             f"whole")
        channels, height, width = dataset.shape
        if crop is not None and not 1 <= crop <= min(height, width):
            raise ValueError(f"crop (={crop}) must be at least 1 and at most {min(height, width)}, the shorter side")
        self.dataset, self.batch, self.crop, self.mirror, self.train = dataset, batch, crop, mirror, train
        self.whole = whole
        if colour is not None and (np.shape(colour) != (3, 3) or not np.isfinite(colour).all()):
            raise ValueError(f"colour (={np.asarray(colour).tolist()}) must be (3, 3) finite numbers, as "
                             f"augment.colour_axes makes them")
        if not 0 < gain < np.inf:
            raise ValueError(f"gain (={gain}) must be a number greater than 0")
        if view is not None and (train or not 0 <= view < augment.VIEWS):
            raise ValueError(f"view (={view}) must be at least 0 and less than {augment.VIEWS}, and train be False")
        if sampling and crop is None:
            raise ValueError("sampling needs crop, the side of what it makes of a patch")
        self.view, self.draw, self.sampling = view, draw, sampling
        self.together, self.colour, self.colour_epochs, self.gain = together, colour, colour_epochs, gain
        self.seed, self.threads, self.ahead, self.dtype = seed, threads, ahead, np.dtype(dtype)
        self._shape = (channels, height, width) if crop is None else (channels, crop, crop)
        self.mean = None if mean is None else self._fit(np.asarray(mean, self.dtype))
        self._rings: list[_Ring] = []  # rings that no epoch is using now

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, h, w) of a picture as it is handed out."""
        return self._shape

    @property
    def images(self) -> int:
        """Pictures in an epoch."""
        return len(self) * self.batch if self.whole else len(self.dataset)

    def __len__(self) -> int:
        """Batches in an epoch, the smaller last one included, if there is one."""
        return len(self.dataset) // self.batch if self.whole else -(-len(self.dataset) // self.batch)

    def epoch(self, epoch: int, skip: int = 0) -> Generator[Batch, None, None]:
        """The batches of one epoch: images (n, C, h, w) and labels (n,).

        Both arrays are written over when the next batch is asked for. Leaving the loop early stops the threads.

        Parameters
        ----------
        epoch : number of the epoch, from 0.
        skip : leave out the first `skip` batches: what follows is, bit for bit, the rest of the epoch.

        Raises
        ------
        ValueError
            If there are fewer batches than `skip`.
        """
        if not 0 <= skip <= len(self):
            raise ValueError(f"skip (={skip}) must be at least 0 and at most {len(self)}, the batches in an epoch")
        return self._epoch(epoch, skip)

    def _epoch(self, epoch: int, skip: int) -> Generator[Batch, None, None]:
        order = self.dataset.order(self.seed, epoch) if self.train else np.arange(self.images)
        ring = self._rings.pop() if self._rings else _Ring(self)
        work = _Work(self, ring, epoch, order, skip)
        threads = [threading.Thread(target=work.run, name="npnet-loader", daemon=True) for _ in range(self.threads)]
        try:
            for thread in threads:
                thread.start()
            for k in range(skip, len(self)):
                yield work.get(k)
        finally:
            # While Python shuts down, threads stand still, perhaps holding the lock: waiting for them would never end.
            if not sys.is_finalizing():
                work.stop()
                for thread in threads:
                    if thread.ident is not None:  # it had been started
                        thread.join()
                self._rings.append(ring)

    def _fit(self, mean: NDArray[Any]) -> NDArray[Any]:
        """The part of the mean that is subtracted from every picture."""
        whole = self.dataset.shape
        if mean.shape not in (whole, (whole[0], 1, 1)):
            raise ValueError(f"mean (={mean.shape}) must have the image's shape {whole}, or ({whole[0]}, 1, 1)")
        if self.crop is None or mean.shape[1:] == (1, 1):
            return mean
        return np.ascontiguousarray(augment.center_crop(mean, self.crop))

    def _fill(
        self, epoch: int, first: int, index: NDArray[np.int64], pixels: NDArray[np.uint8], x: NDArray[Any]
    ) -> None:
        """Write the pictures `index` into x (n, C, h, w), by way of `pixels`, of the same shape.

        first : which of the epoch's pictures the first of them is.
        """
        dataset = self.dataset
        drawing = self.train and self.draw
        changed = self.crop is not None or self.view is not None or (drawing and self.mirror)
        if isinstance(dataset, Dataset) and not changed:
            np.take(dataset.images, index, axis=0, out=pixels, mode="clip")  # "raise" would make a copy first
        else:
            room = (dataset.shape[1] - x.shape[2], dataset.shape[2] - x.shape[3])
            drawn = index if self.together == 1 else (first + np.arange(len(index))) // self.together
            corner = np.broadcast_to(augment.center_offsets(room), (len(index), 2))
            if drawing and self.crop is not None:
                corner = augment.crop_offsets(self.seed, epoch, drawn, room)
            mirrored = np.zeros(len(index), np.bool_)
            if drawing and self.mirror:
                mirrored = augment.mirror_flags(self.seed, epoch, drawn)
            if self.view is not None:
                place, flipped = augment.views(room)[self.view]
                corner, mirrored = np.broadcast_to(place, (len(index), 2)), np.full(len(index), flipped)
            h, w = x.shape[2:]
            for i, (sample, (top, left), flip) in enumerate(
                zip(index.tolist(), corner.tolist(), mirrored.tolist(), strict=True)
            ):
                image = dataset.image(sample)
                if drawing and self.sampling:
                    window = sample_patch(image, h, self.seed, epoch, sample)
                else:
                    window = image[:, top : top + h, left : left + w]
                pixels[i] = window[:, :, ::-1] if flip else window
        if self.mean is None:
            x[...] = pixels
        else:
            np.subtract(pixels, self.mean, out=x)
        if drawing and self.colour is not None and (self.colour_epochs is None or epoch < self.colour_epochs):
            x += augment.colour_shifts(self.seed, epoch, index, self.colour).astype(self.dtype)[:, :, None, None]
            x /= self.gain


class _Ring:
    """Arrays for the batches that lie ready, the batches being made and the one that the consumer holds."""

    def __init__(self, loader: Loader) -> None:
        self.slots = loader.ahead + 1
        n = min(loader.batch, loader.images)
        self.pixels = np.empty((self.slots, n, *loader.shape), np.uint8)
        self.x = np.empty((self.slots, n, *loader.shape), loader.dtype)
        self.labels = np.empty((self.slots, n), np.int64)


class _Work:
    """What the threads of one epoch share. It knows no iterator, so that an iterator nobody holds is collected."""

    def __init__(self, loader: Loader, ring: _Ring, epoch: int, order: NDArray[np.int64], skip: int) -> None:
        self.loader, self.ring, self.epoch, self.order = loader, ring, epoch, order
        self.changed = threading.Condition()
        self.next = skip  # the first batch that no thread has begun
        self.asked = skip  # the last batch that the consumer asked for: the slots of those before it are free
        self.done: dict[int, Batch | BaseException] = {}
        self.stopped = False

    def run(self) -> None:
        """A thread: begin batch after batch, as soon as each one's slot is free."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.stopped or self.next < self.asked + self.ring.slots)
                if self.stopped or self.next >= len(self.loader):
                    return
                k = self.next
                self.next += 1
            try:
                result: Batch | BaseException = self.make(k)
            except BaseException as error:  # it is the consumer's to see
                result = error
            with self.changed:
                self.done[k] = result
                self.changed.notify_all()

    def make(self, k: int) -> Batch:
        """Batch k, in its slot."""
        ring, index = self.ring, self.order[k * self.loader.batch : (k + 1) * self.loader.batch]
        slot, n = k % ring.slots, len(index)
        x, labels = ring.x[slot, :n], ring.labels[slot, :n]
        self.loader._fill(self.epoch, k * self.loader.batch, index, ring.pixels[slot, :n], x)
        np.take(self.loader.dataset.labels, index, out=labels, mode="clip")
        return x, labels

    def get(self, k: int) -> Batch:
        """Wait for batch k, and give the slots of the batches before it back to the threads.

        An error met in making batch k is raised here, after the batches before it were handed out.
        """
        with self.changed:
            self.asked = k
            self.changed.notify_all()
            self.changed.wait_for(lambda: k in self.done)
            result = self.done.pop(k)
        if isinstance(result, BaseException):
            raise result
        return result

    def stop(self) -> None:
        """Let every thread end after the batch it is making."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
