import json

import pytest

from npnet.train import Every, Plateau, Polynomial, Steps


def test_steps_drop_at_their_epochs():
    s = Steps(0.001, drops=(120, 130))
    assert [s.rate(e) for e in (0, 119.999, 120, 129.99, 130, 500)] == pytest.approx(
        [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    assert Steps(0.5).rate(1e9) == 0.5
    assert Steps(1.0, drops=(0.25,), factor=0.5).rate(0.25) == 0.5


def test_steps_are_never_over_and_have_no_state():
    s = Steps(0.1, drops=(1,))
    s.observe(1.0)
    s.restore(s.state())
    assert not s.over
    assert s.state() == {}


def test_drops_must_rise():
    with pytest.raises(ValueError, match=r"drops \(=\[8, 2\]\) must be in rising order"):
        Steps(0.1, drops=(8, 2))


def test_plateau_drops_after_patience_epochs_without_a_new_best():
    s = Plateau(1.0, patience=2)
    rates = []
    for error in (0.5, 0.6, 0.4, 0.4, 0.4, 0.3, 0.5, 0.5, 0.5, 0.5):
        s.observe(error)
        rates.append(s.rate(0))
    #      0.5 best   0.6  0.4 best   = 0.4  = 0.4: drop  0.3 best  0.5  0.5: drop  0.5  0.5: drop
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001])
    assert not s.over, "the paper's rate was reduced three times, and trained at"
    s.observe(0.5)
    assert not s.over
    s.observe(0.5)
    assert s.over


def test_plateau_goes_on_from_its_state_as_json():
    errors = [0.5, 0.5, 0.4, 0.41, 0.42, 0.43, 0.44, 0.2, 0.3, 0.3, 0.3, 0.3]
    for cut in range(len(errors)):
        whole, first, second = (Plateau(1.0, patience=2) for _ in range(3))
        for error in errors[:cut]:
            first.observe(error)
        second.restore(json.loads(json.dumps(first.state())))
        for error in errors[cut:]:
            second.observe(error)
        for error in errors:
            whole.observe(error)
        assert (second.state(), second.over) == (whole.state(), whole.over)


def test_patience_is_at_least_one():
    with pytest.raises(ValueError, match=r"patience \(=0\) must be at least 1"):
        Plateau(0.1, patience=0)


def test_layers_are_slowed_and_frozen_from_their_epochs_on():
    s = Steps(0.1, slow=[(72, "conv1", 0), (68, "conv1", 0.1), (70, "fc8", 10)])
    assert [s.factors(e) for e in (0, 68, 70, 72.5)] == [
        {}, {"conv1": 0.1}, {"conv1": 0.1, "fc8": 10}, {"conv1": 0, "fc8": 10}]
    with pytest.raises(ValueError, match=r"slow \(=\[\(1, 'conv1', -1\)\]\) must have no negative factors"):
        Steps(0.1, slow=[(1, "conv1", -1)])
    with pytest.raises(ValueError, match="must have no negative factors"):
        Steps(0.1, slow=[(1, "conv1", float("nan"))])
    assert Plateau(0.1, slow=[(1, "conv1", 0.5)]).factors(2) == {"conv1": 0.5}


def test_every_so_many_epochs_four_percent_less():
    """GoogLeNet §6."""
    s = Every(0.01)
    assert [s.rate(e) for e in (0, 7.99, 8, 15.9, 16, 80)] == pytest.approx(
        [0.01, 0.01, 0.0096, 0.0096, 0.009216, 0.01 * 0.96**10])
    tenths = Every(1.0, epochs=0.1, factor=0.5)
    assert [tenths.rate(step / 10) for step in range(30)] == [0.5**step for step in range(30)], "0.3 / 0.1 is 2.99…"
    with pytest.raises(ValueError, match=r"epochs \(=0\) must be greater than 0"):
        Every(0.01, 0)


def test_a_polynomial_ends_at_nothing():
    """bvlc_googlenet's quick solver: power 0.5."""
    s = Polynomial(0.01, 60, slow=((3, "conv1", 0.5),))
    assert [s.rate(e) for e in (0, 45, 59.99, 60, 61)] == pytest.approx([0.01, 0.005, 0.01 * (0.01 / 60) ** 0.5, 0, 0])
    assert s.factors(4) == {"conv1": 0.5}
    for arguments, message in (((0.1, 0), r"epochs \(=0\)"), ((0.1, 5, 0), r"power \(=0\)")):
        with pytest.raises(ValueError, match=message):
            Polynomial(*arguments)
