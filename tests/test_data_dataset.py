import subprocess
import sys

import numpy as np
import pytest

from npnet import data
from npnet.data import DataError, Dataset


def some(n=6, **changes):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 3, 4, 5), dtype=np.uint8)
    boxes = rng.random((n, 4), dtype=np.float32)
    parts = {"images": images, "labels": np.arange(n) % 3, "classes": ("a", "b", "c"), "name": "some", "boxes": boxes}
    return Dataset(**parts | changes)


def test_take_keeps_images_labels_and_boxes_together():
    whole = some()
    for which, rows in ((2, [0, 1]), ([4, 1, 1], [4, 1, 1]), (np.array([5]), [5]), (0, []), ([], [])):
        part = whole.take(which)
        assert len(part) == len(rows)
        assert part.classes == whole.classes
        assert part.name == whole.name
        for name in ("images", "labels", "boxes"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[np.array(rows, int)])
    assert some(boxes=None).take(3).boxes is None


@pytest.mark.parametrize("which", [7, -1, [6], [-1]])
def test_taking_what_is_not_there_is_refused(which):
    with pytest.raises(ValueError, match=r"which \(=.*0…"):
        some().take(which)


def test_the_mean_image_is_exact_over_more_images_than_are_added_at_once():
    images = np.full((5000, 3, 2, 2), 255, np.uint8)
    images[:1250, 1, 0, 1] = 1
    mean = some(images=images, labels=np.zeros(5000, np.int64), boxes=None).mean_image()
    assert mean.dtype == np.float32
    assert mean.shape == (3, 2, 2)
    assert mean[1, 0, 1] == 0.25 * 1 + 0.75 * 255
    assert mean[0, 0, 0] == 255


def test_the_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no image"):
        some().take(0).mean_image()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((6, 1, 4, 5), np.uint8)}, r"images \(=uint8 \(6, 1, 4, 5\)\)"),
        ({"images": np.zeros((6, 3, 4, 5), np.float32)}, r"images \(=float32"),
        ({"labels": np.zeros(5, np.int64)}, r"labels \(=int64 \(5,\)\)"),
        ({"labels": np.array([0, 1, 2, 3, 0, 0])}, r"labels\[3\] \(=3\).*3 classes"),
        ({"labels": np.array([0, -1, 2, 3, 0, 0])}, r"labels\[1\] \(=-1\)"),
        ({"boxes": np.zeros((6, 2), np.float32)}, r"boxes \(=float32 \(6, 2\)\)"),
    ],
)
def test_arrays_that_do_not_fit_are_named_with_their_values(change, message):
    with pytest.raises(ValueError, match=message):
        some(**change)


def test_a_set_is_loaded_by_name_or_folder(tmp_path, monkeypatch):
    assert data.load("shapes", "test").name == "shapes test"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NPNET_DATA", raising=False)
    for name, message in (("mnist", "no data set 'mnist'.*shapes"), ("cifar10", "download"), (tmp_path, "no CIFAR-10")):
        with pytest.raises(DataError, match=message) as error:
            data.load(name, "train")
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=r"'val'.*train, test"):
        data.load("shapes", "val")


def test_no_more_pictures_are_drawn_than_are_asked_for(monkeypatch):
    monkeypatch.setattr(data.shapes, "COUNT", {"train": 30, "test": 10})
    draw, drawn = data.shapes.load, []
    monkeypatch.setattr(data.shapes, "load", lambda split, count: drawn.append(count) or draw(split, count))
    few, all_there_are = data.load("shapes", "train", 12), data.load("shapes", "test", 31)
    assert drawn == [12, 10]
    np.testing.assert_array_equal(few.images, draw("train", 30).images[:12])
    assert len(all_there_are) == 10
    with pytest.raises(DataError, match=r"'val'.*train, test"):
        data.load("shapes", "val", 3)
    with pytest.raises(ValueError, match=r"most \(=0\) must be at least 1"):
        data.load("shapes", "train", 0)


def test_importing_loads_nothing_heavy():
    code = "import sys, npnet.data; print([m for m in ('matplotlib', 'pooch', 'PIL', 'tqdm') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_covariance_is_that_of_all_pixels():
    images = np.random.default_rng(0).integers(0, 256, (1100, 3, 5, 4), dtype=np.uint8)
    images[:, 1] //= 2
    data = Dataset(images, np.zeros(1100, np.int64), ("a",), "drawn")
    colours = images.transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(data.covariance(), np.cov(colours, bias=True), rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="drawn holds no image: the covariance of nothing is not defined"):
        data.take(0).covariance()
