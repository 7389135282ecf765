import numpy as np
import planted_bugs
import pytest
from planted_bugs import BACKWARD, BOTH_WAYS

from npnet import gradcheck
from npnet.kernels import numpy as right
from npnet.layers import SoftmaxCrossEntropy


def checked(bug, planted, **options):
    rng = np.random.default_rng(0)
    layer, x = bug.build(planted), rng.standard_normal(bug.shape)
    labels = rng.integers(0, bug.shape[1], bug.shape[0]) if isinstance(layer, SoftmaxCrossEntropy) else None
    return gradcheck.check(layer, x, labels=labels, **options)


@pytest.mark.parametrize("bug", BACKWARD, ids=lambda bug: bug.name)
def test_a_wrong_gradient_is_caught(bug):
    checked(bug, planted=False).raise_if_failed()
    report = checked(bug, planted=True)
    assert not report.ok
    assert {p.tensor for p in report.failures} == set(bug.wrong), str(report)
    assert all(name in str(report) for name in bug.wrong)
    if bug.says:
        assert any(problem.startswith(bug.says) for problem in report.problems), str(report)
    else:
        assert not report.problems
    for one_way in ({"exhaustive": False}, {"directions": 0}):  # each of the two checks would do
        assert not checked(bug, planted=True, **one_way).ok


@pytest.mark.parametrize("bug", BOTH_WAYS, ids=lambda bug: bug.name)
def test_what_is_wrong_both_ways_is_caught_by_comparison(bug):
    """The gradient check cannot see these, since backward is the derivative of what forward wrongly computes."""
    assert bug.compare(bug.build(planted=False))
    assert not bug.compare(bug.build(planted=True))
    for planted in (False, True):
        checked(bug, planted).raise_if_failed()


def test_the_gallery_is_large_and_told():
    assert len(BACKWARD) >= 16
    assert len(BOTH_WAYS) >= 8
    assert len({bug.name for bug in BACKWARD + BOTH_WAYS}) == len(BACKWARD + BOTH_WAYS)
    assert all(len(bug.story) > 20 for bug in BACKWARD + BOTH_WAYS)


def test_at_the_papers_alpha_nobody_sees_a_wrong_window():
    """Chainer's test compared a window of 4 with one of 5, and passed: at alpha = 1e-4 both are nearly the same."""
    a = np.random.default_rng(2).uniform(-1, 1, (2, 7, 3, 3))

    def four_and_five(alpha):
        d, b = np.empty_like(a), np.empty_like(a)
        right.lrn_forward(a, 4, alpha, 0.75, 1.5, d, b)
        return b, planted_bugs.lrn_written_out(a, 5, alpha)

    np.testing.assert_allclose(*four_and_five(1e-4), rtol=1e-4)
    assert not np.allclose(*four_and_five(0.8), rtol=1e-2)


# -- the update: no gradient check sees it ----------------------------------------------------------------------------


def right_update(w, v, g, rate, momentum, decay):
    right.sgd_update([w], [v], [g], [(rate, decay)], momentum)


def decay_without_rate(w, v, g, rate, momentum, decay):
    v[...] = momentum * v - decay * w - rate * g
    w += v


def old_velocity(w, v, g, rate, momentum, decay):
    w += v
    v[...] = momentum * v - decay * rate * w - rate * g


def damped(w, v, g, rate, momentum, decay):
    """1 − momentum on the gradient, as some libraries have it."""
    v[...] = momentum * v - (1 - momentum) * rate * (decay * w + g)
    w += v


def no_decay(w, v, g, rate, momentum, decay):
    right_update(w, v, g, rate, momentum, 0.0)


@pytest.mark.parametrize("wrong", [decay_without_rate, old_velocity, damped, no_decay])
def test_a_wrong_update_is_caught_by_two_steps_written_out(wrong):
    def two_steps(update):
        w, v = np.array([2.0]), np.array([0.0])
        for g in (0.5, -1.0):
            update(w, v, np.array([g]), 0.1, 0.9, 0.01)
        return float(w[0]), float(v[0])

    v1 = -0.01 * 0.1 * 2.0 - 0.1 * 0.5  # AlexNet §5: v ← 0.9 v − decay · rate · w − rate · g;  w ← w + v
    w1 = 2.0 + v1
    v2 = 0.9 * v1 - 0.01 * 0.1 * w1 - 0.1 * -1.0
    expected = pytest.approx((w1 + v2, v2), rel=1e-12)
    assert two_steps(right_update) == expected
    assert two_steps(wrong) != expected
