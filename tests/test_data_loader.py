import gc
import itertools
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npnet.data import Dataset, Loader, augment

CROPPED = {"crop": 6, "mirror": True}


def numbered(n=50, side=9):
    """Random pictures; the label is the number of the picture."""
    images = np.random.default_rng(0).integers(0, 256, (n, 3, side, side), dtype=np.uint8)
    return Dataset(images, np.arange(n), tuple(map(str, range(n))), "numbered")


def copies(batches):
    return [(x.copy(), y.copy()) for x, y in batches]


def assert_same(some, others):
    for (x, y), (x2, y2) in itertools.zip_longest(some, others, fillvalue=(None, None)):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


def workers():
    return [thread for thread in threading.enumerate() if thread.name == "npnet-loader"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert workers() == []


@pytest.mark.parametrize("kind", [{}, {"mirror": True}, {"crop": 6}, CROPPED])
@pytest.mark.parametrize("train", [True, False])
def test_a_batch_is_what_a_loop_over_its_pictures_makes(kind, train):
    data = numbered()
    mean = data.mean_image()
    loader = Loader(data, 16, mean=mean, train=train, seed=3, **kind)
    seen = []
    for x, y in loader.epoch(5):
        assert x.dtype == np.float32
        assert x.shape[1:] == loader.shape
        seen += y.tolist()
        for picture, i in zip(x, y, strict=True):
            top, left, size, flip = 0, 0, 9, False
            if "crop" in kind:
                size, (top, left) = 6, augment.crop_offsets(3, 5, np.array([i]), (3, 3))[0] if train else (1, 1)
            if "mirror" in kind and train:
                flip = augment.mirror_flags(3, 5, np.array([i]))[0]
            expected = data.images[i, :, top : top + size, left : left + size]
            expected = expected[:, :, ::-1] if flip else expected
            middle = mean[:, 1:7, 1:7] if "crop" in kind else mean  # of the mean, always the centre
            np.testing.assert_array_equal(picture, expected - middle)
    assert sorted(seen) == list(range(50))
    assert (seen == sorted(seen)) != train


@given(st.integers(1, 40), st.integers(1, 45), st.booleans())
@settings(max_examples=30, deadline=None)
def test_every_picture_comes_once_in_as_many_batches_as_said(n, batch, train):
    loader = Loader(numbered(n, 3), batch, train=train)
    sizes, seen = [], []
    for x, y in loader.epoch(0):
        assert len(x) == len(y)
        sizes.append(len(y))
        seen += y.tolist()
    assert sorted(seen) == list(range(n))
    assert len(sizes) == len(loader)
    assert all(size == batch for size in sizes[:-1])
    assert 1 <= sizes[-1] <= batch


@pytest.mark.parametrize(("n", "batch"), [(50, 16), (48, 16), (16, 16), (17, 16)])
def test_whole_batches_leave_out_the_rest_other_pictures_in_each_epoch(n, batch):
    loader = Loader(numbered(n), batch, whole=True, seed=1)
    epochs = [[y.tolist() for _, y in loader.epoch(e)] for e in range(30)]
    for batches in epochs:
        assert [len(y) for y in batches] == [batch] * (n // batch)
        assert len(set(itertools.chain(*batches))) == loader.images == n // batch * batch
    assert len(loader) == n // batch
    assert {i for batches in epochs for y in batches for i in y} == set(range(n)), "in some epoch each is shown"
    some = Loader(numbered(n), batch, seed=1)
    assert epochs[3] == [y.tolist() for _, y in some.epoch(3)][: n // batch], "the same order otherwise"


def test_no_batch_is_whole_if_there_are_too_few():
    with pytest.raises(ValueError, match=r"batch \(=16\) must be at most 9, the images in numbered, to be whole"):
        Loader(numbered(9), 16, whole=True)


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (2, 1), (2, 3), (5, 2), (4, 9)])
def test_bits_do_not_depend_on_threads_nor_on_what_lies_ready(threads, ahead):
    data = numbered()
    plain = copies(Loader(data, 4, **CROPPED).epoch(2))
    assert_same(copies(Loader(data, 4, threads=threads, ahead=ahead, **CROPPED).epoch(2)), plain)


@given(st.integers(0, 13), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_skipping_gives_the_rest_of_the_uninterrupted_epoch(skip, threads):
    loader = Loader(numbered(), 4, threads=threads, **CROPPED)
    assert_same(copies(loader.epoch(7, skip)), copies(loader.epoch(7))[skip:])


def test_epochs_and_seeds_differ_and_test_epochs_do_not():
    data = numbered()
    first = copies(Loader(data, 50, **CROPPED).epoch(0))[0][0]
    assert np.any(copies(Loader(data, 50, **CROPPED).epoch(1))[0][0] != first)
    assert np.any(copies(Loader(data, 50, seed=1, **CROPPED).epoch(0))[0][0] != first)
    still = Loader(data, 50, train=False, **CROPPED)
    assert_same(copies(still.epoch(0)), copies(still.epoch(1)))


def test_a_batch_stays_as_it_is_until_the_next_is_asked_for():
    for x, _ in Loader(numbered(), 4, threads=4, ahead=1).epoch(0):
        before = x.copy()
        time.sleep(0.005)
        np.testing.assert_array_equal(x, before)


def test_arrays_are_reused():
    loader = Loader(numbered(), 4, ahead=3)
    places = {x.ctypes.data for epoch in range(3) for x, _ in loader.epoch(epoch)}
    assert len(places) == 4  # three ahead and the one handed out


def test_two_epochs_at_once_do_not_write_over_each_other():
    loader = Loader(numbered(), 4, threads=2)
    pairs = [(copies([a])[0], copies([b])[0]) for a, b in zip(loader.epoch(0), loader.epoch(1), strict=True)]
    for epoch in (0, 1):
        assert_same([pair[epoch] for pair in pairs], copies(loader.epoch(epoch)))


def test_leaving_early_stops_the_threads():
    loader = Loader(numbered(), 2, threads=3)
    for _ in loader.epoch(0):
        assert workers()
        break
    assert workers() == []
    batches = loader.epoch(0)
    next(batches)
    del batches
    gc.collect()
    assert workers() == []
    with pytest.raises(TypeError):
        sum(loader.epoch(0))  # a tuple cannot be added
    assert workers() == []
    loader.epoch(0)  # not even begun
    assert_same(copies(loader.epoch(1)), copies(Loader(numbered(), 2).epoch(1)))  # and the loader is still good


def test_python_ends_while_an_epoch_is_open():
    code = (
        "import numpy as np; from npnet.data import Dataset, Loader;"
        "data = Dataset(np.zeros((99, 3, 8, 8), np.uint8), np.zeros(99, np.int64), ('a',), 'zeros');"
        "batches = Loader(data, 4, threads=3).epoch(0); next(batches); print('end')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "end\n"
    assert done.stderr == ""


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_thread_is_raised_where_the_batch_is_asked_for(threads, monkeypatch):
    loader = Loader(numbered(), 4, train=False, threads=threads)
    fill = loader._fill

    def fail(epoch, first, index, pixels, x):
        if 21 in index:
            raise MemoryError("batch 5")
        fill(epoch, first, index, pixels, x)

    monkeypatch.setattr(loader, "_fill", fail)
    batches = loader.epoch(0)
    assert [y.tolist() for _, y in itertools.islice(batches, 5)] == np.arange(20).reshape(5, 4).tolist()
    with pytest.raises(MemoryError, match="batch 5"):
        next(batches)


def test_the_mean_may_be_a_colour_or_missing_and_double_precision_be_asked_for():
    data = numbered()
    x, y = next(Loader(data, 50, train=False).epoch(0))
    np.testing.assert_array_equal(x, data.images[y])
    color = np.array([100.1, 50.0, 25.0]).reshape(3, 1, 1)
    x, y = next(Loader(data, 50, train=False, mean=color, crop=3, dtype=np.float64).epoch(0))
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x, data.images[y][:, :, 3:6, 3:6] - color)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, r"batch \(=0\)"),
        ({"threads": 0}, r"threads \(=0\)"),
        ({"ahead": 0}, r"ahead \(=0\)"),
        ({"crop": 10}, r"crop \(=10\).*9"),
        ({"mean": np.zeros((3, 6, 6)), "crop": 6}, r"mean \(=\(3, 6, 6\)\).*\(3, 9, 9\)"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Loader(numbered(), **change)


def test_more_batches_than_there_are_cannot_be_skipped():
    loader = Loader(numbered(), 10)
    assert copies(loader.epoch(0, 5)) == []
    with pytest.raises(ValueError, match=r"skip \(=6\).*5"):
        loader.epoch(0, 6)
    with pytest.raises(ValueError, match="no image"):
        Loader(numbered().take(0))


AXES = np.array([[9.0, 1, 0], [8, -2, 1], [7, 1, -2]])


def test_colours_are_shifted_in_training_alone_and_whole_pictures_alike():
    data = numbered()
    mean = data.mean_image()
    for train in (True, False):
        plain = Loader(data, 16, mean=mean, crop=6, mirror=True, train=train, seed=3)
        shifted = Loader(data, 16, mean=mean, crop=6, mirror=True, train=train, seed=3, colour=AXES, gain=1.1)
        for (x, labels), (y, same) in zip(copies(plain.epoch(4)), copies(shifted.epoch(4)), strict=True):
            np.testing.assert_array_equal(labels, same)
            if train:
                shifts = augment.colour_shifts(3, 4, labels, AXES)[:, :, None, None]
                np.testing.assert_allclose(y, (x + shifts) / 1.1, rtol=1e-5, atol=1e-4)
                assert abs(y * 1.1 - x).max() > 0.1
            else:
                np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("batch", [3, 16])
def test_pictures_in_a_row_are_cropped_alike_if_asked(batch):
    """Whatever the batches are: 8 in a row of the epoch's order, as the program of 2012 took 32."""
    data = numbered()
    loader = Loader(data, batch, train=True, seed=3, together=8, **CROPPED)
    x, labels = (np.concatenate(parts) for parts in zip(*copies(loader.epoch(5)), strict=True))
    run = np.arange(50) // 8
    corners, flips = augment.crop_offsets(3, 5, run, (3, 3)), augment.mirror_flags(3, 5, run)
    assert len({tuple(corner) for corner in corners}) > 3
    for picture, i, (top, left), flip in zip(x, labels, corners, flips, strict=True):
        expected = data.images[i, :, top : top + 6, left : left + 6]
        np.testing.assert_array_equal(picture, expected[:, :, ::-1] if flip else expected)


@pytest.mark.parametrize(("arguments", "says"), [
    ({"colour": np.eye(2)}, r"colour \(=\[\[1\.0, 0\.0\], .*\) must be \(3, 3\) finite numbers, as augment"),
    ({"colour": np.full((3, 3), np.nan)}, r"must be .* finite numbers"),
    *(({"gain": gain}, rf"gain \(={gain}\) must be a number greater than 0") for gain in (0.0, np.inf, np.nan)),
    ({"together": 0}, r"together \(=0\) must be a whole number, at least 1"),
    ({"together": 1.5}, r"together \(=1\.5\) must be a whole number"),
])
def test_wrong_changes_are_said(arguments, says):
    with pytest.raises(ValueError, match=says):
        Loader(numbered(), 4, **arguments)


def test_ten_views_are_corners_and_centre_and_their_mirrors():
    data = numbered(n=5)
    places = [(0, 0), (0, 3), (3, 0), (3, 3), (1, 1)]
    for view in range(10):
        top, left = places[view % 5]
        [(x, labels)] = copies(Loader(data, 5, crop=6, train=False, view=view).epoch(0))
        expected = data.images[labels][:, :, top : top + 6, left : left + 6]
        np.testing.assert_array_equal(x, expected[..., ::-1] if view >= 5 else expected)
    whole = Loader(data, 5, train=False, view=9)
    np.testing.assert_array_equal(next(whole.epoch(0))[0], data.images[..., ::-1])
    for arguments in ({"view": 10, "train": False}, {"view": 0}):
        with pytest.raises(ValueError, match=r"view \(=\d+\) must be at least 0 and less than 10, and train be False"):
            Loader(data, 5, **arguments)


def test_colours_stop_being_shifted():
    data = numbered()
    plain, shifted = Loader(data, 50), Loader(data, 50, colour=AXES, colour_epochs=2)
    for epoch in range(4):
        same = np.array_equal(next(plain.epoch(epoch))[0], next(shifted.epoch(epoch))[0])
        assert same == (epoch >= 2)
