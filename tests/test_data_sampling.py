"""Patches as GoogLeNet §6 draws them."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npnet.data import Loader, augment, sampling, shapes


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**32))
def test_a_patch_lies_in_the_image(height, width, seed):
    top, left, high, wide = sampling.patch(np.random.default_rng(seed), height, width)
    assert 0 <= top <= top + high <= height
    assert 0 <= left <= left + wide <= width
    assert min(high, wide) >= 1


def test_areas_are_uniform_and_sides_as_three_to_four_at_most():
    rng = np.random.default_rng(0)
    found = np.array([sampling.patch(rng, 256, 256) for _ in range(4000)])
    area, aspect = found[:, 2] * found[:, 3] / 256**2, found[:, 3] / found[:, 2]
    assert 0.078 < area.min() < 0.09
    assert aspect.min() > 0.73
    assert aspect.max() < 1.37
    small = area[area < 0.7]  # larger ones are drawn anew where they do not fit: all of these fit
    assert abs(np.median(small) - 0.39) < 0.02
    assert abs(np.log(aspect).mean()) < 0.01, "wide and tall ones are as likely"
    free = found[found[:, 2] < 200]
    assert abs((free[:, 0] / (256 - free[:, 2])).mean() - 0.5) < 0.02, "anywhere"


def test_what_never_fits_is_the_middle_square():
    assert sampling.patch(np.random.default_rng(0), 4, 400) == (0, 198, 4, 4)


@pytest.mark.parametrize("method", sampling.METHODS)
def test_a_patch_is_resampled_from_its_own_pixels(method):
    image = np.zeros((3, 40, 60), np.uint8)
    image[0, 10:30, 20:50] = 200  # the patch alone
    image[1] = np.arange(60)
    made = sampling.resampled(image, (10, 20, 20, 30), 16, method)
    assert made.shape == (3, 16, 16)
    assert (made[0] == 200).all(), "nothing from outside"
    assert (np.diff(made[1].astype(int), axis=1) >= 0).all()
    assert 20 <= made[1].min() < 24
    assert 45 < made[1].max() <= 50


def test_methods_differ_and_the_whole_image_stays_itself():
    image = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    made = [sampling.resampled(image, (2, 3, 25, 20), 24, method) for method in sampling.METHODS]
    assert len({one.tobytes() for one in made}) == 4
    for method in sampling.METHODS:
        np.testing.assert_array_equal(sampling.resampled(image, (0, 0, 32, 32), 32, method), image)


def test_light_changes_by_at_most_half_and_in_any_order():
    image = np.full((3, 8, 8), 100, np.uint8)
    made = np.array([sampling.distorted(np.random.default_rng(i), image)[0, 0, 0] for i in range(300)])
    assert made.min() >= 49  # grey, without contrast: brightness alone is left
    assert made.max() <= 151
    assert made.std() > 20
    colours = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    assert len({sampling.distorted(np.random.default_rng(i), colours).tobytes() for i in range(50)}) == 50


def test_the_loader_shows_samples_and_the_same_whoever_asks():
    images = shapes.load("train", 12)
    loader = Loader(images, 5, crop=24, mirror=True, sampling=True, seed=4, threads=2)
    flips = augment.mirror_flags(4, 2, np.arange(12))
    seen = 0
    for x, labels in loader.epoch(2):
        order = images.order(4, 2)[seen : seen + len(labels)]
        for pixels, i in zip(x, order, strict=True):
            expected = sampling.sample(images.image(int(i)), 24, 4, 2, int(i))
            np.testing.assert_array_equal(pixels, expected[:, :, ::-1] if flips[i] else expected)
        seen += len(labels)
    still = Loader(images, 5, crop=24, sampling=True, train=False)
    np.testing.assert_array_equal(next(still.epoch(0))[0][0], augment.center_crop(images.image(0), 24))
    with pytest.raises(ValueError, match="sampling needs crop"):
        Loader(images, 5, sampling=True)
