import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npnet.data import DataError, shapes


@given(st.integers(1, 450), st.sampled_from(["train", "test"]), st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_a_picture_does_not_depend_on_how_many_are_drawn(count, split, seed):
    few, many = shapes.load(split, count, seed=seed), shapes.load(split, 450, seed=seed).take(count)
    for name in ("images", "labels", "boxes"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name))


def test_splits_and_seeds_are_different_pictures():
    sets = [shapes.load("train", 50), shapes.load("test", 50), shapes.load("train", 50, seed=1)]
    for i, some in enumerate(sets):
        for other in sets[i + 1 :]:
            assert np.all(np.any(some.images != other.images, axis=(1, 2, 3)))
            assert np.any(some.labels != other.labels)


def test_every_ten_pictures_show_every_figure_in_another_order():
    labels = shapes.load("train", 200).labels.reshape(20, 10)
    np.testing.assert_array_equal(np.sort(labels, axis=1), np.tile(np.arange(10), (20, 1)))
    assert len({tuple(row) for row in labels}) == 20
    assert len(set(shapes.CLASSES)) == 10


@pytest.mark.parametrize("size", [24, 32, 100])
def test_boxes_lie_close_around_what_the_figure_paints(size, monkeypatch):
    """Against pixels: draw the same scenes with and without their figures, and look where they differ."""
    drawn = shapes.load("train", 200, size)
    monkeypatch.setattr(shapes, "FIGURES", (lambda x, y: np.full_like(x, np.inf),) * 10)
    differs = np.abs(drawn.images.astype(int) - shapes.load("train", 200, size).images).sum(axis=1)
    hidden = 0
    for box, change in zip(drawn.boxes, differs, strict=True):
        assert np.all(box[:2] >= 0)
        assert np.all(box[2:] <= size)
        clear, faint = around(change > change.max() / 2), around(change > 0)  # pixels at the edge are covered in part
        assert np.all(clear[:2] >= box[:2] - 1)
        assert np.all(clear[2:] <= box[2:] + 1)
        hidden += np.any(faint[:2] > box[:2]) or np.any(faint[2:] < box[2:])
    assert hidden <= 4  # a stroke may lie over the figure's end


def around(where):
    rows, columns = np.nonzero(where)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def test_the_same_scene_is_drawn_at_any_size():
    small, large = shapes.load("test", 60, 32), shapes.load("test", 60, 128)
    np.testing.assert_array_equal(small.labels, large.labels)
    np.testing.assert_allclose(small.boxes, large.boxes / 4, atol=1.5)
    shrunk = large.images.reshape(60, 3, 32, 4, 32, 4).mean(axis=(3, 5))
    assert np.abs(shrunk - small.images).mean() < 8  # grey levels, of which the noise makes some


def test_pictures_use_the_range_and_differ_among_themselves():
    images = shapes.load("train", 500).images
    assert images.min() == 0
    assert images.max() == 255
    assert 90 < images.mean() < 150
    assert images.std(axis=0).min() > 40


def test_figures_are_the_figures_they_are_named_after():
    """A point inside and a point outside, where only this figure has them."""
    def at(name, x, y):
        figure = shapes.FIGURES[shapes.CLASSES.index(name)]
        return figure(np.full((1, 1, 1), x, np.float32), np.full((1, 1, 1), y, np.float32)).item() < 0

    assert at("disc", 0, 0)
    assert not at("disc", 0.65, 0.65)
    assert at("square", 0.65, 0.65)
    assert not at("square", 0, 0.85)
    assert at("ring", 0, 0.7)
    assert not at("ring", 0, 0)
    assert at("crescent", -0.6, 0)
    assert not at("crescent", 0.3, 0)
    assert at("heart", 0.45, 0.4)
    assert not at("heart", 0, 0.75)
    assert at("heart", 0, -0.7)
    assert at("triangle", 0, 0.9)
    assert not at("triangle", 0.6, 0.3)
    assert not at("triangle", 0, -0.6)
    assert at("star", 0.9, 0)
    assert not at("star", -0.6, 0)
    assert not at("star", 0.5, 0.5)
    assert at("cross", 0.8, 0)
    assert at("cross", 0, 0.8)
    assert not at("cross", 0.5, 0.5)
    assert at("arrow", 0.8, 0)
    assert at("arrow", -0.7, 0)
    assert not at("arrow", -0.7, 0.4)
    assert at("arrow", 0.1, 0.5)
    assert at("hourglass", 0.4, 0.7)
    assert not at("hourglass", 0.4, 0)


@pytest.mark.parametrize("figure", shapes.FIGURES, ids=shapes.CLASSES)
def test_figures_fit_the_unit_circle(figure):
    angle = np.linspace(0, 2 * np.pi, 720, dtype=np.float32).reshape(1, 1, -1)
    for radius in (1.01, 1.2, 1.41):
        assert np.all(figure(radius * np.cos(angle), radius * np.sin(angle)) > 0)
    assert np.any(figure(0.8 * np.cos(angle), 0.8 * np.sin(angle)) < 0)


def test_bad_arguments_are_named():
    with pytest.raises(DataError, match="'val'"):
        shapes.load("val")
    with pytest.raises(ValueError, match=r"count \(=0\)"):
        shapes.load("train", 0)
    with pytest.raises(ValueError, match=r"size \(=8\)"):
        shapes.load("train", 10, 8)
