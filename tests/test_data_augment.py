import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from npnet.data import augment

MANY = np.arange(20_000)


def test_offsets_reach_both_ends_and_all_places_alike():
    offsets = augment.crop_offsets(0, 0, MANY, (8, 8))
    counts = np.zeros((9, 9))
    np.add.at(counts, tuple(offsets.T), 1)  # an offset of 9 would not fit
    expected = len(MANY) / 81
    assert offsets.min() == 0
    assert np.all(np.abs(counts - expected) < 5 * expected**0.5)


def test_rows_and_columns_have_their_own_room():
    offsets = augment.crop_offsets(0, 0, MANY, (0, 3))
    assert set(offsets[:, 0]) == {0}
    assert set(offsets[:, 1]) == {0, 1, 2, 3}


def test_half_of_the_pictures_are_mirrored_wherever_the_crop_lies():
    flags = augment.mirror_flags(0, 0, MANY)
    top = augment.crop_offsets(0, 0, MANY, (1, 1))[:, 0] == 0
    for some in (flags, flags[top], flags[~top]):
        assert abs(some.mean() - 0.5) < 0.02


def test_another_seed_or_epoch_draws_anew():
    for seed, epoch in ((1, 0), (0, 1)):
        same = augment.crop_offsets(0, 0, MANY, (8, 8)) == augment.crop_offsets(seed, epoch, MANY, (8, 8))
        assert abs(same.mean() - 1 / 9) < 0.02
        assert abs((augment.mirror_flags(0, 0, MANY) == augment.mirror_flags(seed, epoch, MANY)).mean() - 0.5) < 0.02
        assert np.mean(augment.order(0, 0, 1000) == augment.order(seed, epoch, 1000)) < 0.02


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20), st.integers(0, 2**32), st.integers(0, 1000))
def test_what_a_sample_gets_does_not_depend_on_its_company(index, seed, epoch):
    together = np.array(index)
    for draw, more in ((augment.crop_offsets, ((8, 5),)), (augment.mirror_flags, ())):
        alone = np.concatenate([draw(seed, epoch, together[i : i + 1], *more) for i in range(len(index))])
        np.testing.assert_array_equal(draw(seed, epoch, together, *more), alone)


def test_the_centre_crop_of_32_starts_at_4():
    image = np.arange(32 * 32, dtype=np.float32).reshape(1, 32, 32)
    np.testing.assert_array_equal(augment.center_crop(image, 24), image[:, 4:28, 4:28])
