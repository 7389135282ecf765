"""Photos made ready once: folders of classes become shards, a mean image, the covariance of colours. AlexNet §2, §4.1.

Work is done in whole shards, by several processes. After each, what has been counted so far is written down, so that
the same command goes on where it was stopped, and ends with the same files. Sums are of whole numbers: their order is
free.
"""
import hashlib
import io
import json
import multiprocessing
import os
import tarfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet import counter
from npnet.data import photo
from npnet.data.dataset import DataError
from npnet.data.photos import ARRAYS, FORMAT, INDEX
from npnet.errors import UserError
from npnet.files import load_arrays, only_writer, read_json, save_arrays, write_atomically, write_json
from npnet.processes import end_by_ctrl_c, uninterrupted

STATE = "unfinished.safetensors"
SPLITS = ("train", "val", "test")
MIX = int.from_bytes(b"shards")

Entry = tuple[str, int]  # a photo's path below the source, its label


@dataclass(frozen=True)
class Settings:
    """How photos are made ready.

    side, squash : `photo.square`.  quality : of JPEG, 1 to 95.  per_shard : photos in a shard.  seed : of the order in
    which photos are laid into shards, so that each holds some of every class.
    """

    side: int = photo.SIDE
    squash: bool = False
    quality: int = 92
    per_shard: int = 512
    seed: int = 0


@dataclass
class _Shard:
    """What came of one."""

    places: NDArray[np.int64]  # of each photo: where it begins, its bytes
    labels: NDArray[np.int64]
    sums: NDArray[np.int64]  # of each pixel
    products: NDArray[np.int64]  # of two colours, over all pixels
    skipped: list[list[str]]  # photo, reason


def prepare(
    source: str | Path, target: str | Path, settings: Settings = Settings(), *, jobs: int = 0,
    words: str | Path | None = None, progress: bool = True,
) -> dict[str, Any]:
    """Folders of classes in `source`, one for each class, become a folder for `Photos`.

    If `source` holds train and val (or test) with class folders in each, so will `target`; the classes are train's.

    Parameters
    ----------
    jobs : processes; 0: as many as there are cores.
    words : a file whose lines are a folder's name and what it means ("n01440764 tench, Tinca tinca").

    Returns
    -------
    Of each split ("" if there are none) the contents of its ``index.json``.

    Raises
    ------
    DataError
        If there are no photos, fewer than two classes, or `target` holds something else. What has been made stays, and
        the same call goes on from it.
    """
    source, target = Path(source), Path(target)
    if not source.is_dir():
        raise DataError(f"{source}: there is no such folder")
    if target.exists() and not target.is_dir():
        raise DataError(f"{target}: is a file: choose a folder")
    if target.resolve() == source.resolve() or source.resolve() in target.resolve().parents:
        raise DataError(f"{target}: lies in {source}, the photos themselves: choose a folder elsewhere")
    meaning = _words(words)
    found, classes = {}, None
    for split in _splits(source):  # all of them, before hours go by
        if (target / split).resolve() == (source / split).resolve():
            raise DataError(f"{target / split}: is {source / split}, the photos themselves: choose a folder elsewhere")
        folders, entries = listing(source / split, classes)
        classes = classes or folders
        found[split] = folders, entries
    called = target.resolve().name
    return {
        split: _split(f"{called} {split}".strip(), source / split, target / split, folders, entries, settings, jobs,
                      meaning, progress)
        for split, (folders, entries) in found.items()}


def _splits(source: Path) -> list[str]:
    """Those in `source`; [""] if it holds the classes themselves."""
    inside = sorted(entry.name for entry in source.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    splits = [split for split in SPLITS if split in inside]
    others = [name for name in inside if name not in SPLITS]
    if "train" in splits and len(splits) > 1 and others:
        raise DataError(f"{source}: holds {' and '.join(splits)}, and beside them {', '.join(others[:3])}: move that "
                        f"away")
    return splits if splits and not others else [""]


def entries_of(path: str | Path) -> list[list[str]]:
    """The lines of a file that are not empty, each parted behind its first word: "n01440764 tench, Tinca tinca"."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    return [line.strip().split(maxsplit=1) for line in lines if line.strip()]


def _words(path: str | Path | None) -> dict[str, str]:
    if path is None:
        return {}
    pairs = entries_of(path)
    for number, pair in enumerate(pairs, 1):
        if len(pair) != 2:
            raise DataError(f"{path}, entry {number}: {pair[0]!r} must be followed by what it means")
    return {pair[0]: pair[1] for pair in pairs}


def listing(source: Path, known: list[str] | None = None) -> tuple[list[str], list[Entry]]:
    """Names of the classes, and the photos in them, however deep, in order of their names."""
    folders = sorted(entry.name for entry in source.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise DataError(f"{source}: holds no folders: there must be one for each class, with its photos in it")
    if known is None and len(folders) < 2:
        raise DataError(f"{source}: holds one class ({folders[0]}), and a net tells at least two apart: add a folder "
                        f"of another")
    strange = [name for name in folders if known is not None and name not in known]
    if strange:
        raise DataError(f"{source}: holds classes that the training set has not ({', '.join(strange[:3])})")
    classes = known or folders
    entries = []
    for label, name in enumerate(classes):
        found = sorted(_pictures(source / name)) if name in folders else []
        if not found and known is None:
            raise DataError(f"{source / name}: holds no photo ({', '.join(photo.ENDINGS)}): fill the folder, or delete "
                            f"it")
        entries += [(Path(path).relative_to(source).as_posix(), label) for path in found]
    if not entries:
        raise DataError(f"{source}: holds no photo")
    return classes, entries


def _pictures(folder: Path) -> Iterator[str]:
    def stop(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}): mend this, and run it again")

    for where, below, names in os.walk(folder, onerror=stop):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            path = os.path.join(where, name)
            special = os.path.exists(path) and not os.path.isfile(path)  # a pipe would be waited for
            if name.lower().endswith(photo.ENDINGS) and not name.startswith(".") and not special:
                yield path


def _stamp(path: Path) -> tuple[int, int]:
    """Its size and when it was changed: a photo that has been mended is another."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def _split(
    called: str, source: Path, target: Path, classes: list[str], entries: list[Entry], settings: Settings, jobs: int,
    words: dict[str, str], progress: bool,
) -> dict[str, Any]:
    order = counter.generator(settings.seed, len(entries), MIX).permutation(len(entries))
    entries = [entries[i] for i in order]
    stamps = [_stamp(source / name) for name, _ in entries]
    digest = hashlib.sha256(json.dumps([classes, entries, stamps, vars(settings)]).encode()).hexdigest()
    shards = [f"shard-{i:06d}.tar" for i in range(-(-len(entries) // settings.per_shard))]
    with only_writer(target, [STATE, INDEX, ARRAYS, *shards]):
        if (target / INDEX).exists():
            index = read_json(target / INDEX, "an index of photos")
            if index.get("digest") != digest:
                raise DataError(f"{target}: holds photos that were prepared otherwise, or have changed since: choose "
                                f"another folder")
            lost = [name for name in shards if not (target / name).exists()]
            if lost:
                raise DataError(f"{target / lost[0]}: is missing: choose another folder, and prepare the photos again")
            if words:
                index["words"] = {name: words[name] for name in classes if name in words}
                write_json(target / INDEX, index)
            return index
        work = _Work(source, target, classes, entries, settings, shards, digest)
        work.resume()
        work.run(jobs, progress)
        return work.finish(called, words)


class _Work:
    """A split on its way."""

    def __init__(
        self, source: Path, target: Path, classes: list[str], entries: list[Entry], settings: Settings,
        shards: list[str], digest: str,
    ) -> None:
        self.source, self.target, self.classes, self.entries = source, target, classes, entries
        self.settings, self.shards, self.digest = settings, shards, digest
        self.made: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]] | None] = {}
        """Of each shard that is written, places and labels; None: they stand in the shard."""
        self.skipped: dict[int, list[list[str]]] = {}
        self.sums = np.zeros((3, settings.side, settings.side), np.int64)
        self.products = np.zeros((3, 3), np.int64)

    def resume(self) -> None:
        """Takes up what was written down."""
        path = self.target / STATE
        if not path.exists():
            if any(self.target.iterdir()):
                raise DataError(f"{self.target}: holds something else already: choose a new folder")
            self._note()  # from now on, what is here is this preparation's
            return
        try:
            arrays, state = load_arrays(path)
            self.sums, self.products = arrays["sums"], arrays["products"]
            self.made = dict.fromkeys(state["made"])
            self.skipped = {int(number): pairs for number, pairs in state["skipped"].items()}
            digest = state["digest"]
        except (UserError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not whole ({error}): choose another folder") from None
        if digest != self.digest:
            raise DataError(f"{self.target}: another preparation was stopped there (other photos or settings): go on "
                            f"with that one, or choose another folder")

    def run(self, jobs: int, progress: bool) -> None:
        from tqdm.auto import tqdm

        size, todo = self.settings.per_shard, [i for i in range(len(self.shards)) if i not in self.made]
        jobs = min(jobs or os.cpu_count() or 1, max(1, len(todo)))
        seen = sum(len(self.entries[i * size : (i + 1) * size]) for i in self.made)
        with (
            ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _live_with, (os.getpid(),)) as pool,
            tqdm(total=len(self.entries), initial=seen, desc=str(self.target), unit=" photos", dynamic_ncols=True,
                 disable=not progress) as bar,
        ):
            running: dict[Future[_Shard], int] = {}
            try:
                while todo or running:
                    while todo and len(running) < 2 * jobs:  # not all at once: a million names would be copied
                        i = todo.pop(0)
                        some = self.entries[i * size : (i + 1) * size]
                        with uninterrupted():  # it may start a process
                            running[pool.submit(write_shard, self.source, some, i * size, self.target / self.shards[i],
                                                self.settings)] = i
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        i = running.pop(future)
                        self._count(i, future.result())
                        bar.update(len(self.entries[i * size : (i + 1) * size]))
            except BrokenProcessPool:
                raise DataError(f"{self.target}: a process was killed, perhaps for want of memory: the same command "
                                f"goes on; --jobs 1 takes least") from None
            finally:
                pool.shutdown(cancel_futures=True)

    def _count(self, i: int, shard: _Shard) -> None:
        """Adds a shard that is written, and writes that down."""
        self.sums += shard.sums
        self.products += shard.products
        self.made[i] = shard.places, shard.labels
        if shard.skipped:
            self.skipped[i] = shard.skipped
        self._note()

    def _note(self) -> None:
        save_arrays(self.target / STATE, {"sums": self.sums, "products": self.products},
                    {"digest": self.digest, "made": list(self.made), "skipped": self.skipped})

    def finish(self, called: str, words: dict[str, str]) -> dict[str, Any]:
        """The index, and nothing of the state."""
        parts = [self.made[i] or _inside(self.target / name) for i, name in enumerate(self.shards)]
        labels = np.concatenate([labels for _, labels in parts])
        places = np.concatenate([np.insert(places, 0, i, axis=1) for i, (places, _) in enumerate(parts)])
        skipped = [pair for i in sorted(self.skipped) for pair in self.skipped[i]]
        if not len(labels):
            for name in (*self.shards, STATE):
                (self.target / name).unlink(missing_ok=True)
            raise DataError(f"{self.source}: none of {len(self.entries)} photos could be read "
                            f"({' '.join(skipped[0])}): are they photos?")
        pixels = len(labels) * self.settings.side**2
        colour = self.sums.sum((1, 2)) / pixels
        save_arrays(self.target / ARRAYS, {
            "labels": labels, "places": places, "mean": (self.sums / len(labels)).astype(np.float32),
            "covariance": self.products / pixels - np.outer(colour, colour),
        }, {})
        index = {
            "format": FORMAT, "name": called, "images": len(labels), "side": self.settings.side,
            "classes": self.classes, "images_of_class": np.bincount(labels, minlength=len(self.classes)).tolist(),
            "words": {name: words[name] for name in self.classes if name in words}, "skipped": skipped,
            "settings": vars(self.settings), "digest": self.digest, "shards": self.shards,
        }
        write_json(self.target / INDEX, index)
        (self.target / STATE).unlink(missing_ok=True)
        return index


def _inside(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places and labels of a shard that was written before."""
    places, labels = [], []
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    places.append((member.offset_data, member.size))
                elif (content := tar.extractfile(member)) is not None:
                    labels.append(int(content.read()))
    except (OSError, tarfile.TarError, ValueError) as error:
        raise DataError(f"{path}: not whole ({error}): choose another folder") from None
    return np.array(places, np.int64).reshape(-1, 2), np.array(labels, np.int64)


def _live_with(parent: int) -> None:
    """A worker ends when the process it works for has, however that ended: else it would wait for work for ever."""
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    end_by_ctrl_c()  # which all of them get


def write_shard(source: Path, entries: list[Entry], first: int, path: Path, settings: Settings) -> _Shard:
    """In a process of its own: reads photos, writes them into a tar, and counts their pixels.

    first : number of the first among all, of which their names in the tar are made.
    """
    places, labels, skipped = [], [], []
    sums, products = np.zeros((3, settings.side, settings.side), np.int64), np.zeros((3, 3), np.int64)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for i, (name, label) in enumerate(entries):
            try:
                image = photo.read(source / name, name, least=0 if settings.squash else 2 * settings.side)
                pixels = photo.square(image, settings.side, settings.squash)
            except DataError as error:
                skipped.append([name, str(error).removeprefix(f"{name}: ")])
                continue
            content = photo.encode(pixels, settings.quality)
            places.append((file.tell() + tarfile.BLOCKSIZE, len(content)))
            labels.append(label)
            for ending, part in (("jpg", content), ("cls", f"{label}".encode())):
                info = tarfile.TarInfo(f"{first + i:09d}.{ending}")
                info.size = len(part)
                tar.addfile(info, io.BytesIO(part))
            sums += pixels
            flat = pixels.reshape(3, -1).astype(np.int64)
            products += flat @ flat.T
    write_atomically(path, file.getvalue())
    return _Shard(np.array(places, np.int64).reshape(-1, 2), np.array(labels, np.int64), sums, products, skipped)
