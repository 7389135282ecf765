"""Folders of photos become shards, whatever happens on the way, and come out of them as they went in."""
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npnet import cli, data
from npnet.data import DataError, Loader, Photos, photo
from npnet.data import prepare as preparing
from npnet.data.prepare import Settings, prepare

SMALL = Settings(side=16, per_shard=4, quality=95)


def make(folder, counts, seed=0):
    """Photos of one colour each; {class: how many}."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            colour = tuple(int(c) for c in rng.integers(0, 256, 3))
            Image.new("RGB", (20 + i % 5, 24), colour).save(folder / name / f"{i:03d}.png")


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(source, target, settings=SMALL, **options):
    return prepare(source, target, settings, jobs=1, progress=False, **options)


def test_every_photo_is_there_once_with_its_label(tmp_path):
    make(tmp_path / "in", {"cat": 5, "dog": 6})
    index = run(tmp_path / "in", tmp_path / "out")[""]
    photos = Photos(tmp_path / "out")
    assert (len(photos), photos.classes, index["images_of_class"]) == (11, ("cat", "dog"), [5, 6])
    colours = {}
    for label, name in enumerate(photos.classes):
        for path in (tmp_path / "in" / name).iterdir():
            colours[Image.open(path).getpixel((0, 0))] = label
    found = {}
    for i in range(11):
        image = photos.image(i)
        assert image.dtype == np.uint8
        assert image.shape == (3, 16, 16)
        near = min(colours, key=lambda c, image=image: abs(np.array(c) - image.mean((1, 2))).sum())
        assert abs(np.array(near) - image.mean((1, 2))).max() < 2
        found[near] = photos.labels[i]
    assert found == colours
    assert not list((tmp_path / "out").glob("unfinished*"))


def test_mean_and_covariance_are_those_of_the_photos(tmp_path):
    make(tmp_path / "in", {"cat": 5, "dog": 6})
    run(tmp_path / "in", tmp_path / "out")
    photos, all_ = Photos(tmp_path / "out"), []
    for path in sorted((tmp_path / "in").rglob("*.png")):
        all_.append(photo.square(photo.read(path, "x"), 16).astype(float))
    np.testing.assert_allclose(photos.mean_image(), np.mean(all_, axis=0), rtol=1e-6)
    colours = np.concatenate([x.reshape(3, -1) for x in all_], axis=1)
    np.testing.assert_allclose(photos.covariance(), np.cov(colours, bias=True), rtol=1e-9)


def test_shards_are_those_of_webdataset(tmp_path):
    make(tmp_path / "in", {"cat": 3, "dog": 3})
    run(tmp_path / "in", tmp_path / "out")
    names, labels = [], []
    for path in sorted((tmp_path / "out").glob("shard-*.tar")):
        with tarfile.open(path) as tar:
            names += tar.getnames()
            labels += [int(tar.extractfile(m).read()) for m in tar if m.name.endswith(".cls")]
    assert names == [f"{i:09d}.{ending}" for i in range(6) for ending in ("jpg", "cls")]
    np.testing.assert_array_equal(labels, Photos(tmp_path / "out").labels)
    assert 0 < sum(labels[:4]) < 4  # classes are mixed


def test_broken_photos_are_listed_and_skipped(tmp_path, capsys):
    make(tmp_path / "in", {"cat": 3, "dog": 3})
    (tmp_path / "in" / "cat" / "x.jpg").write_bytes(b"no picture")
    (tmp_path / "in" / "cat" / "notes.txt").write_text("no photo, and not meant as one")
    (tmp_path / "in" / "cat" / ".hidden.jpg").write_bytes(b"")
    folders = [str(tmp_path / "in"), str(tmp_path / "out")]
    assert cli.main(["data", "prepare", *folders, "--side", "16", "--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    assert out == (f"{tmp_path / 'out'}: 6 photos of 2 classes, 16 × 16, in 1 shards, 1 skipped "
                   f"({tmp_path / 'out' / 'index.json'} lists them)\n")
    assert "skipped: cat/x.jpg: cannot be read as a picture" in err
    [[name, reason]] = Photos(tmp_path / "out").skipped
    assert name == "cat/x.jpg"
    assert reason.startswith("cannot be read as a picture")


def test_train_and_val_have_the_classes_of_train(tmp_path):
    make(tmp_path / "in" / "train", {"cat": 3, "dog": 3, "eel": 2})
    make(tmp_path / "in" / "val", {"dog": 2}, seed=1)
    done = run(tmp_path / "in", tmp_path / "out")
    assert list(done) == ["train", "val"]
    test = data.load(tmp_path / "out", "test")
    assert test.classes == ("cat", "dog", "eel")
    assert test.labels.tolist() == [1, 1]
    train = data.load(tmp_path / "out", "train")
    assert (len(train), train.name, test.name) == (8, "out train", "out val")
    make(tmp_path / "other" / "train", {"cat": 3, "dog": 3})
    make(tmp_path / "other" / "val", {"fox": 2})
    with pytest.raises(DataError, match=r"val: holds classes that the training set has not \(fox\)"):
        run(tmp_path / "other", tmp_path / "out2")


def test_words_say_what_the_folders_mean(tmp_path):
    make(tmp_path / "in", {"n01": 2, "n02": 2})
    (tmp_path / "words.txt").write_text("n01 tench, Tinca tinca\nn09 something else\n")
    run(tmp_path / "in", tmp_path / "out", words=tmp_path / "words.txt")
    assert Photos(tmp_path / "out").words == {"n01": "tench, Tinca tinca"}
    (tmp_path / "words.txt").write_text("n01\n")
    with pytest.raises(DataError, match=r"words\.txt, entry 1: 'n01' must be followed by what it means"):
        run(tmp_path / "in", tmp_path / "out2", words=tmp_path / "words.txt")


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_stopped_anywhere_it_goes_on_to_the_same_files(tmp_path, monkeypatch, stop_after):
    make(tmp_path / "in", {"cat": 6, "dog": 7})
    (tmp_path / "in" / "cat" / "x.jpg").write_bytes(b"no picture")
    run(tmp_path / "in", tmp_path / "whole")
    counted, count = [], preparing._Work._count

    def until(self, i, shard):
        if len(counted) == stop_after:
            raise KeyboardInterrupt
        counted.append(i)
        count(self, i, shard)

    with monkeypatch.context() as patch:
        patch.setattr(preparing._Work, "_count", until)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out" / "index.json").exists()
    assert list((tmp_path / "out").glob("*.tar"))  # one that was written and not counted is written again
    run(tmp_path / "in", tmp_path / "out")
    whole, there = contents(tmp_path / "whole"), contents(tmp_path / "out")
    for files in (whole, there):
        index = json.loads(files.pop("index.json"))
        assert index.pop("name") in ("whole", "out")
        files["index"] = index
    assert there == whole


def test_killed_it_goes_on(tmp_path):
    make(tmp_path / "in", {"cat": 150, "dog": 150})
    arguments = ["data", "prepare", str(tmp_path / "in"), str(tmp_path / "out"), "--jobs", "2"]
    code = (f"import sys\nfrom npnet import cli\nfrom npnet.data.prepare import Settings\n"
            f"Settings.__init__.__defaults__ = (16, False, 92, 10, 0)  # small photos, ten in a shard\n"
            f"sys.exit(cli.main({arguments!r}))")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               start_new_session=True)
    state = tmp_path / "out" / "unfinished.safetensors"
    for _ in range(600):
        if state.exists() or process.poll() is not None:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)  # it alone: its workers must end by themselves, and let go of the folder
    process.wait()
    time.sleep(1.5)
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert len(Photos(tmp_path / "out")) == 300
    once_more = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert once_more.stdout == again.stdout  # nothing left to do


@pytest.mark.skipif(sys.platform != "linux", reason="its processes are found in /proc")
@pytest.mark.parametrize("after", [0.1, 0.7])
def test_ctrl_c_is_one_line(tmp_path, after):
    """However far its processes have come by then, which get it too."""
    make(tmp_path / "in", {"cat": 150, "dog": 150})
    process = subprocess.Popen(
        [sys.executable, "-m", "npnet", "data", "prepare", str(tmp_path / "in"), str(tmp_path / "out"), "--jobs", "2"],
        stderr=subprocess.PIPE, text=True, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None and len(children.read_text().split()) < 2:  # beside a worker, multiprocessing's own
        time.sleep(0.01)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert "Traceback" not in said
    assert process.returncode in (0, 130), said
    assert process.returncode == 0 or said.endswith("npnet data: interrupted\n")


def test_what_is_there_already_is_not_touched(tmp_path):
    make(tmp_path / "in", {"cat": 3, "dog": 3})
    run(tmp_path / "in", tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(DataError, match="holds photos that were prepared otherwise, or have changed since: choose"):
        run(tmp_path / "in", tmp_path / "out", Settings(side=8, per_shard=4))
    assert contents(tmp_path / "out") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "backup.tar").write_bytes(b"mine")
    with pytest.raises(DataError, match="holds something else already: choose a new folder"):
        run(tmp_path / "in", tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"backup.tar": b"mine"}


@pytest.mark.parametrize(("counts", "says"), [
    ({}, "holds no folders: there must be one for each class, with its photos in it"),
    ({"cat": 3}, r"holds one class \(cat\), and a net tells at least two apart"),
    ({"cat": 3, "dog": 0}, r"dog: holds no photo \(\.jpg, .*\): fill the folder, or delete it"),
])
def test_what_is_no_training_set_is_said(tmp_path, counts, says):
    (tmp_path / "in").mkdir()
    make(tmp_path / "in", counts)
    with pytest.raises(DataError, match=says):
        run(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wrong_folders_are_said(tmp_path):
    make(tmp_path / "in", {"cat": 1, "dog": 1})
    with pytest.raises(DataError, match="there is no such folder"):
        run(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match="the photos themselves: choose a folder elsewhere"):
        run(tmp_path / "in", tmp_path / "in" / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="file: is a file: choose a folder"):
        run(tmp_path / "in", tmp_path / "file")
    for path in (tmp_path / "in").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 2 photos could be read \((cat|dog)/000\.png cannot be read"):
        run(tmp_path / "in", tmp_path / "out")
    for path in (tmp_path / "in").rglob("*.png"):
        Image.new("RGB", (9, 9)).save(path)
    assert run(tmp_path / "in", tmp_path / "out")[""]["images"] == 2  # mended


def test_photos_that_have_changed_and_shards_that_are_lost_are_noticed(tmp_path):
    make(tmp_path / "in", {"cat": 3, "dog": 3})
    run(tmp_path / "in", tmp_path / "out")
    (tmp_path / "words.txt").write_text("cat a small tiger\n")
    assert run(tmp_path / "in", tmp_path / "out", words=tmp_path / "words.txt")[""]["words"] == {"cat": "a small tiger"}
    assert Photos(tmp_path / "out").words == {"cat": "a small tiger"}
    (tmp_path / "out" / "shard-000001.tar").unlink()
    with pytest.raises(DataError, match=r"shard-000001\.tar: is missing: choose another folder"):
        run(tmp_path / "in", tmp_path / "out")
    Image.new("RGB", (20, 24), "red").save(tmp_path / "in" / "cat" / "000.png")
    with pytest.raises(DataError, match="prepared otherwise, or have changed since"):
        run(tmp_path / "in", tmp_path / "out")


def test_all_splits_are_looked_at_before_the_first_is_prepared(tmp_path):
    make(tmp_path / "in" / "train", {"cat": 2, "dog": 2})
    (tmp_path / "in" / "val").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "in" / "val" / "0.png")  # no class
    with pytest.raises(DataError, match="val: holds no folders"):
        run(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    make(tmp_path / "in" / "val", {"cat": 1})
    (tmp_path / "in" / "devkit").mkdir()
    with pytest.raises(DataError, match="holds train and val, and beside them devkit: move that away"):
        run(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "devkit").rmdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "train").symlink_to(tmp_path / "in" / "train")
    with pytest.raises(DataError, match="the photos themselves: choose a folder elsewhere"):
        run(tmp_path / "in", tmp_path / "linked")


def test_pipes_and_hidden_folders_are_no_photos(tmp_path):
    make(tmp_path / "in", {"cat": 2, "dog": 2})
    os.mkfifo(tmp_path / "in" / "cat" / "pipe.jpg")
    make(tmp_path / "in" / "cat", {".ipynb_checkpoints": 2})
    assert run(tmp_path / "in", tmp_path / "out")[""]["images"] == 4


def test_failures_of_the_disk_stop_it_and_are_not_the_photos(tmp_path, monkeypatch):
    make(tmp_path / "in", {"cat": 2, "dog": 2})

    def fail(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("PIL.Image.open", fail)
    with pytest.raises(OSError, match="Input/output error"):
        preparing.write_shard(tmp_path / "in", [("cat/000.png", 0)], 0, tmp_path / "x.tar", SMALL)


def test_a_damaged_set_is_said(tmp_path):
    make(tmp_path / "in", {"cat": 3, "dog": 3})
    run(tmp_path / "in", tmp_path / "out")
    shard = tmp_path / "out" / "shard-000001.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[:600])
    with pytest.raises(DataError, match=r"shard-000001\.tar, photo 4: the file ends before it: prepare the photos"):
        Photos(tmp_path / "out").image(4)
    shard.write_bytes(content[:512] + bytes(len(content) - 512))
    with pytest.raises(DataError, match=r"shard-000001\.tar, photo 4: cannot be read as a picture"):
        Photos(tmp_path / "out").image(4)
    shard.unlink()
    with pytest.raises(DataError, match=r"shard-000001\.tar: cannot be read .*: prepare the photos again"):
        Photos(tmp_path / "out").image(4)
    index = tmp_path / "out" / "index.json"
    index.write_text(index.read_text().replace('"images": 6', '"images": 7'))
    with pytest.raises(DataError, match=r"index\.json: does not fit index\.safetensors beside it"):
        Photos(tmp_path / "out")
    index.write_text("{}")
    with pytest.raises(DataError, match=r"index\.json: not an index of this version"):
        Photos(tmp_path / "out")
    with pytest.raises(DataError, match=r"holds no prepared photos \(no index\.json\): npnet data prepare SRC"):
        Photos(tmp_path)


def test_an_epoch_shows_every_photo_once_mixed_by_the_seed(tmp_path):
    make(tmp_path / "in", {"cat": 30, "dog": 41})
    run(tmp_path / "in", tmp_path / "out")
    photos = Photos(tmp_path / "out")
    orders = [photos.order(seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for order in orders:
        assert sorted(order) == list(range(71))
        assert not (np.diff(order) == 1).mean() > 0.2
    assert len({tuple(order) for order in orders}) == 3
    np.testing.assert_array_equal(orders[0], Photos(tmp_path / "out").order(0, 0))
    few = photos.take(10)
    assert sorted(few.order(0, 0)) == list(range(10))
    with pytest.raises(ValueError, match=r"which \(=72\) must be in 0…71"):
        photos.take(72)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_loader_crops_and_mirrors_them(tmp_path, threads):
    make(tmp_path / "in", {"cat": 9, "dog": 8})
    run(tmp_path / "in", tmp_path / "out")
    photos = Photos(tmp_path / "out")
    loader = Loader(photos, 5, mean=photos.mean_image(), crop=12, mirror=True, seed=3, threads=threads)
    x, labels = (np.concatenate(parts) for parts in zip(
        *((x.copy(), t.copy()) for x, t in loader.epoch(2)), strict=True))
    assert x.shape == (17, 3, 12, 12)
    order = photos.order(3, 2)
    np.testing.assert_array_equal(labels, photos.labels[order])
    mean = photos.mean_image()[:, 2:14, 2:14]
    for picture, i in zip(x, order, strict=True):
        assert abs((picture + mean).mean((1, 2)) - photos.image(i).mean((1, 2))).max() < 1.5


def test_memory_does_not_grow_with_the_photos(tmp_path, monkeypatch):
    """Of many shards only some are open."""
    make(tmp_path / "in", {"cat": 20, "dog": 20})
    run(tmp_path / "in", tmp_path / "out", Settings(side=8, per_shard=1))
    from npnet.data import photos as module

    monkeypatch.setattr(module, "OPEN", 3)
    photos = Photos(tmp_path / "out")
    for i in photos.order(0, 0):
        photos.image(i)
    assert len(photos._open) == 3


def test_a_folder_of_one_split_is_not_enough_to_train(tmp_path):
    make(tmp_path / "in", {"cat": 2, "dog": 2})
    run(tmp_path / "in", tmp_path / "out")
    with pytest.raises(DataError, match="holds photos of one split: there must be train and val"):
        data.load(tmp_path / "out", "train")
    make(tmp_path / "in2" / "train", {"cat": 2, "dog": 2})
    run(tmp_path / "in2", tmp_path / "out2")
    with pytest.raises(DataError, match="holds no photos to test on"):
        data.load(tmp_path / "out2", "test")
    with pytest.raises(DataError, match="there is no split 'valid'"):
        data.load(tmp_path / "out2", "valid")


def test_twenty_thousand_photos_stream(tmp_path):
    """Links to a few files; every one is met once, and what reading them holds is less than they are."""
    import tracemalloc

    make(tmp_path / "few", {"cat": 3, "dog": 2})
    sources = sorted((tmp_path / "few").rglob("*.png"))
    for label, name in enumerate(("cat", "dog")):
        folder = tmp_path / "in" / name
        folder.mkdir(parents=True)
        for i in range(10_000):
            os.link(sources[(i + label) % 5], folder / f"{i:05d}.png")
    prepare(tmp_path / "in", tmp_path / "out", Settings(side=16), jobs=2, progress=False)
    photos = Photos(tmp_path / "out")
    assert np.bincount(photos.labels).tolist() == [10_000, 10_000]
    size = sum(path.stat().st_size for path in (tmp_path / "out").glob("*.tar"))
    tracemalloc.start()
    loader, seen = Loader(photos, 256, crop=12, seed=1), np.zeros(2, np.int64)
    for _, labels in loader.epoch(0):
        seen += np.bincount(labels, minlength=2)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen.tolist() == [10_000, 10_000]
    assert held < size / 4
