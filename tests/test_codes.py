"""Codes that an auto-encoder learns, against codes that nobody has learnt."""
import numpy as np

from npnet.recipes.codes import Codes, Settings, experiment, random_bits

QUICK = Settings(bits=16, between=24, epochs=12, batch=20)


def clusters(count, seed, features=40):
    """Points near one of 32 corners, each a little way off."""
    corners = np.random.default_rng(0).random((32, features)) * 3
    rng = np.random.default_rng(seed)
    return (corners[rng.integers(0, 32, count)] + 0.1 * rng.standard_normal((count, features))).astype(np.float32)


def test_the_auto_encoder_learns_and_its_codes_find_neighbours(backend):
    seen = []
    result = experiment(clusters(600, 1), clusters(50, 2), QUICK, k=6, progress=lambda: seen.append(1))
    assert len(seen) == QUICK.epochs
    losses = [line["loss"] for line in result["history"]]
    assert losses[-1] < 0.75 < losses[0]
    at = result["looked_at"].index(50)
    assert min(result["learnt"][at], result["random_planes"][at]) > 5 * result["chance"][at]
    assert result["learnt"] == sorted(result["learnt"])


def test_the_same_seed_gives_the_same_codes(backend):
    x = clusters(60, 1)
    one, other, third = (Codes(x, Settings(bits=9, between=8, epochs=2, seed=seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.of(x), other.of(x))
    assert not np.array_equal(one.of(x), third.of(x))
    assert one.of(x).shape == (60, 2)


def test_each_bit_parts_the_pictures_in_two_halves(backend):
    x = clusters(101, 3)
    ones = np.unpackbits(Codes(x, QUICK).of(x), axis=1)[:, : QUICK.bits]
    assert (ones.sum(axis=0) <= 50).all()  # above the median; numbers that are equal to it fall on one side
    assert ones.sum() > 0.9 * 50 * QUICK.bits


def test_features_that_are_all_alike_are_no_error(backend):
    codes = Codes(np.ones((10, 5), np.float32), Settings(bits=3, between=2, epochs=1))
    assert codes.of(np.ones((2, 5), np.float32)).shape == (2, 1)


def test_planes_go_through_the_mean():
    x = clusters(4000, 0) + 100
    ones = np.unpackbits(random_bits(x, x.mean(axis=0), 64, 0), axis=1)
    assert np.abs(ones.mean() - 0.5) < 0.03
