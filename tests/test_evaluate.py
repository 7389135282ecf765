import numpy as np
import pytest
from small_run import small_net

from npnet.data import Dataset, Loader, shapes
from npnet.errors import UserError
from npnet.evaluate import ErrorRate, averaged_error_rate, error_rate, probabilities
from npnet.layers import Layer


class Table(Layer):
    """Gives picture i, whose every pixel is i, the i-th row of scores."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores.astype(np.float32)

    def forward(self, x, train=True):
        assert not train, "dropout is off in an evaluation"
        y = self.array("y", (x.shape[0], self.scores.shape[1]), np.float32)
        self.kernels.from_host(self.scores[self.kernels.to_host(x)[:, 0, 0, 0].astype(int)], y)
        return y


def pictures(labels, classes):
    images = np.empty((len(labels), 3, 2, 2), np.uint8)
    images[:] = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    return Dataset(images, np.asarray(labels, np.int64), tuple("abcdefghij"[:classes]), "drawn")


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_error_rates_are_those_counted_by_hand(backend, batch):
    # the places of label 0: 0, 1, 4, 5, 6; of equal scores 0, the first of them
    scores = np.array([
        [9, 8, 7, 6, 5, 4, 3],
        [8, 9, 7, 6, 5, 4, 3],
        [5, 9, 8, 7, 6, 4, 3],
        [4, 9, 8, 7, 6, 5, 3],
        [3, 9, 8, 7, 6, 5, 4],
        [1, 1, 1, 1, 1, 1, 1],
    ])
    rate = error_rate(Table(scores), Loader(pictures([0] * 6, 7), batch, train=False))
    assert rate == ErrorRate(top1=4 / 6, top5=2 / 6, images=6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_no_answers(backend, wrong):
    scores = np.zeros((5, 7))
    scores[3, 2] = wrong
    with pytest.raises(UserError, match="scores are not finite: it has diverged"):
        error_rate(Table(scores), Loader(pictures([0] * 5, 7), 2, train=False))


def test_error_rate_of_random_scores_against_argsort(backend):
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(200, 10)), rng.integers(0, 10, 200)
    order = np.argsort(-scores.astype(np.float32), axis=1)
    rate = error_rate(Table(scores), Loader(pictures(labels, 10), 64, train=False))
    assert rate.top1 == np.mean(order[:, 0] != labels)
    assert rate.top5 == np.mean([label not in row[:5] for row, label in zip(order, labels, strict=True)])


def test_a_real_net_is_evaluated_without_its_dropout(backend):
    net, test = small_net(), shapes.load("test", 50, 16)
    one, two = (error_rate(net, Loader(test, batch, crop=14, train=False)) for batch in (50, 7))
    assert one == two
    assert 0 <= one.top5 <= one.top1 <= 1


# z = 1.96; n, errors → the interval, by Wilson's (1927) formula worked out with a pencil:
# 0 of 10: (0, z²/(n + z²)) = 3.8416 / 13.8416;  5 of 10: ½ ± z·√(¼·n + z²/4)/(n + z²) = ½ ± 1.96·√3.4604/13.8416
@pytest.mark.parametrize(("top1", "images", "low", "high"), [
    (0.0, 10, 0.0, 0.277540),
    (0.5, 10, 0.236590, 0.763410),
    (1.0, 10, 0.722460, 1.0),
    (0.18, 10_000, 0.172592, 0.187651),
])
def test_wilsons_interval(top1, images, low, high):
    assert ErrorRate(top1, 0.0, images).interval == pytest.approx((low, high), abs=2e-6)


@pytest.mark.parametrize("images", range(1, 200, 7))
def test_an_interval_from_none_on_begins_there(images):
    """By rounding, that of 30 began at −1e−17, which is written "-0.0%"."""
    low = ErrorRate(0.0, 0.0, images).interval[0]
    assert 0 <= low < 1e-15
    assert not f"{low:.1%}".startswith("-")
    assert ErrorRate(1.0, 0.0, images).interval[1] < 1 + 1e-15


def test_the_interval_covers_nineteen_of_twenty():
    rng = np.random.default_rng(1)
    hits = [low <= 0.2 <= high for low, high in
            (ErrorRate(k / 300, 0.0, 300).interval for k in rng.binomial(300, 0.2, 2000))]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.015)


class Shown(Layer):
    """Scores by what is in the upper left corner of a view."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def forward(self, x, train=True):
        assert not train
        y = self.array("y", (x.shape[0], 2), np.float32)
        seen = self.kernels.to_host(x)[:, 0, 0, 0].astype(int)
        self.kernels.from_host(np.array([self.scores[i] for i in seen], np.float32), y)
        return y


def test_views_are_averaged_behind_the_softmax(backend):
    """Of probabilities the first class has more, of scores the second."""
    images = np.zeros((1, 3, 3, 3), np.uint8)
    images[0, :, 0, 0], images[0, :, 1, 1] = 1, 2
    data = Dataset(images, np.array([0]), ("a", "b"), "drawn")
    net = Shown({0: [0.5, 0], 1: [0.5, 0], 2: [0, 8.0]})
    loaders = [Loader(data, 1, crop=2, train=False, view=view) for view in (0, 3)]
    rows = np.concatenate([probabilities(net, loader) for loader in loaders])
    np.testing.assert_allclose(rows, [[0.6225, 0.3775], [0.0003, 0.9997]], atol=1e-4)
    assert averaged_error_rate([(net, loader) for loader in loaders]).top1 == 1
    many = [(net, loaders[0])] * 5 + [(net, loaders[1])]
    assert averaged_error_rate(many).top1 == 0  # though the scores' mean says b


def test_the_mean_of_one_view_is_that_view(backend):
    scores = np.random.default_rng(0).standard_normal((9, 7))
    labels = np.random.default_rng(1).integers(0, 7, 9)
    data = pictures(labels, 7)
    loader = Loader(data, 4, train=False)
    assert averaged_error_rate([(Table(scores), loader)] * 2) == error_rate(Table(scores), loader)


def test_scores_that_are_not_finite_have_no_mean(backend):
    with pytest.raises(UserError, match="it has diverged"):
        averaged_error_rate([(Table(np.full((3, 4), np.nan)), Loader(pictures([0, 1, 2], 4), 4, train=False))])


def test_the_first_five_have_an_interval_too():
    rate = ErrorRate(0.5, 0.1, 100)
    assert rate.interval5 == ErrorRate(0.1, 0.0, 100).interval
    assert rate.interval5[0] < 0.1 < rate.interval5[1]
