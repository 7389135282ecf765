import numpy as np
import pytest
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


# -- colours -----------------------------------------------------------------------------------------------------------


def some_colours():
    """(3, 50 000) whose covariance is nothing special."""
    rng = np.random.default_rng(0)
    return np.array([[50, 10, 0], [45, -12, 6], [40, 3, -9]]) @ rng.standard_normal((3, 50_000)) + 120


def test_axes_are_those_of_the_covariance():
    covariance = np.cov(some_colours(), bias=True)
    roots, printed = (augment.colour_axes(covariance, roots) for roots in (True, False))
    np.testing.assert_allclose(roots @ roots.T, covariance, rtol=1e-9)  # Σ p λ pᵀ
    lengths = np.linalg.norm(roots, axis=0)
    assert list(lengths) == sorted(lengths, reverse=True)
    np.testing.assert_allclose(np.linalg.norm(printed, axis=0), lengths**2, rtol=1e-9)
    np.testing.assert_allclose(printed / lengths, roots, rtol=1e-9)
    assert (roots.sum(axis=0) >= 0).all()


def test_shifts_are_of_the_printed_strength_along_each_axis():
    """α has the standard deviation 0.1, is drawn anew for every axis and image, and does not follow crops."""
    axes = augment.colour_axes(np.cov(some_colours(), bias=True), True)
    shifts = augment.colour_shifts(0, 0, MANY, axes)
    assert shifts.shape == (len(MANY), 3)
    alpha = np.linalg.solve(axes, shifts.T)
    np.testing.assert_allclose(alpha.std(axis=1), 0.1, rtol=0.02)
    assert abs(alpha.mean(axis=1)).max() < 0.003
    assert abs(np.corrcoef(alpha) - np.eye(3)).max() < 0.03
    assert abs((abs(alpha) > 0.196).mean() - 0.05) < 0.004  # normal: a twentieth lies beyond 1.96 σ
    rows = augment.crop_offsets(0, 0, MANY, (8, 8))[:, 0]
    assert abs(np.corrcoef(alpha[0], rows)[0, 1]) < 0.03
    for seed, epoch in ((1, 0), (0, 1)):
        other = np.linalg.solve(axes, augment.colour_shifts(seed, epoch, MANY, axes).T)
        assert abs(np.corrcoef(alpha[0], other[0])[0, 1]) < 0.03
    np.testing.assert_array_equal(augment.colour_shifts(0, 0, MANY[7:9], axes), shifts[7:9])


def test_imagenets_published_colours():
    """cuda-convnet2's roots are 19.72, 37.09 and 121.78: as printed, the first axis shifts by 1,483 levels."""
    np.testing.assert_allclose(np.linalg.norm(augment.colour_axes(augment.IMAGENET, True), axis=0),
                               [121.78, 37.09, 19.72], rtol=1e-3)
    printed = np.linalg.norm(augment.colour_axes(augment.IMAGENET, False), axis=0)
    assert abs(0.1 * printed[0] - 1483) < 2


@pytest.mark.parametrize("wrong", [np.eye(2), np.array([[1, 2, 0], [0, 1, 0], [0, 0, 1.0]])])
def test_what_is_no_covariance_is_said(wrong):
    with pytest.raises(ValueError, match=r"covariance \(=.*\) must be symmetric, 3 × 3"):
        augment.colour_axes(wrong, True)
