"""CIFAR-10: 60,000 pictures of 32×32 pixels in ten classes, 50,000 of them to train on. Krizhevsky 2009.

Read in its binary version: a file is 10,000 records, a record is one byte of label and 3,072 bytes of pixels, 1,024
red, 1,024 green, 1,024 blue, rows from top to bottom. Nothing is unpickled.
"""
import os
from pathlib import Path, PurePosixPath

import numpy as np

from npnet.data.archive import extract
from npnet.data.dataset import DataError, Dataset

FOLDER = "cifar-10-batches-bin"
FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
NAMES = "batches.meta.txt"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORDS = 10_000  # in a file
RECORD = 1 + 3 * 32 * 32  # bytes in a record

ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_SIZE = 170_052_171
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
ARCHIVE_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
MIRRORS = (
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
)


def find(path: str | Path | None = None) -> Path | None:
    """The folder that holds CIFAR-10's files: in `path`, else in ``$NPNET_DATA``, else in ``./data``.

    In each of them, the folder itself or the folder ``cifar-10-batches-bin`` in it. None if there is none.

    Raises
    ------
    DataError
        If a `path` is given and holds none.
    """
    if path is not None:
        found = inside(Path(path))
        if found is None:
            raise DataError(f"{path} holds no CIFAR-10: looked for {FILES['test'][0]} in it and in {FOLDER} below it")
        return found
    places = [Path(os.environ["NPNET_DATA"])] if os.environ.get("NPNET_DATA") else []
    return next((found for place in [*places, Path("data")] if (found := inside(place))), None)


def load(split: str = "train", path: str | Path | None = None) -> Dataset:
    """CIFAR-10's 50,000 ``"train"`` or 10,000 ``"test"`` pictures, in the order of the files.

    Parameters
    ----------
    split : ``"train"`` or ``"test"``.
    path : where to look, see `find`.

    Raises
    ------
    DataError
        If there is no such split, the files are not found, or one is not what it should be.
    """
    if split not in FILES:
        raise DataError(f"cifar10 has no split {split!r}: ask for one of {', '.join(FILES)}")
    folder = find(path)
    if folder is None:
        where = f"$NPNET_DATA (={os.environ.get('NPNET_DATA', '')!r}) and ./data"
        raise DataError(f'CIFAR-10 is not in {where}: npnet download cifar10 fetches it, and shapes needs no data')
    files = FILES[split]
    images = np.empty((RECORDS * len(files), 3, 32, 32), np.uint8)
    labels = np.empty(RECORDS * len(files), np.int64)
    for i, name in enumerate(files):
        records = _read(folder / name)
        labels[i * RECORDS : (i + 1) * RECORDS] = records[:, 0]
        images[i * RECORDS : (i + 1) * RECORDS] = records[:, 1:].reshape(-1, 3, 32, 32)
    return Dataset(images, labels, _class_names(folder), f"cifar10 {split}")


def download(folder: str | Path = "data", progress: bool = True) -> Path:
    """Fetch CIFAR-10 (170 MB) and unpack it (184 MB) into ``folder/cifar-10-batches-bin``, which is returned.

    What is there already is used and never written over: the files, or the archive, or the begun download of it. The
    archive may be removed afterwards.

    Raises
    ------
    DataError
        If no mirror gave the archive, the disk is full, or a file that is there already is not what it should be.
    """
    from npnet.data.download import fetch

    folder = Path(folder)
    target = inside(folder) or folder / FOLDER
    missing = [name for name in _names() if not (target / name).exists()]
    if missing:
        target = folder / FOLDER
        archive = fetch(MIRRORS, folder / ARCHIVE, ARCHIVE_SIZE, ARCHIVE_MD5, ARCHIVE_SHA256, progress)
        unpack(archive, folder)
    check(target)
    return target


def check(folder: Path) -> None:
    """Raise DataError unless every file of the set is in `folder`, and has its size."""
    for name in _names():
        _check_size(folder / name)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack CIFAR-10's files out of `archive` into ``folder/cifar-10-batches-bin``.

    Of the archive only the seven files that belong to the set are read, under their own names, whatever else it holds.

    Raises
    ------
    DataError
        If the archive is broken or lacks a file, or the disk is full.
    """
    names = (*_names(), NAMES)
    wanted = {f"{FOLDER}/{name}": PurePosixPath(name) for name in names}

    def finish(fresh: Path) -> None:
        for name in names:
            if not (fresh / name).exists():
                raise DataError(f"{archive}: lacks {FOLDER}/{name}: remove it and run this again")
        for name in _names():
            _check_size(fresh / name)

    extract(archive, folder / FOLDER, wanted.get, finish, RECORDS * RECORD + 1, progress=False)


def inside(place: Path) -> Path | None:
    """`place`, or the folder below it, if one of CIFAR-10's files is there."""
    return next((f for f in (place, place / FOLDER) if any((f / name).is_file() for name in _names())), None)


def _names() -> list[str]:
    """Of the files that hold pictures."""
    return [name for files in FILES.values() for name in files]


def _read(file: Path) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """(10000, 3073): the records of one file."""
    _check_size(file)
    records = np.fromfile(file, np.uint8).reshape(RECORDS, RECORD)
    wrong = np.flatnonzero(records[:, 0] >= len(CLASSES))
    if len(wrong):
        i = int(wrong[0])
        raise DataError(f"{file} is damaged: record {i} has the label {records[i, 0]}, expected 0 … 9: get it anew")
    return records


def _check_size(file: Path) -> None:
    if not file.is_file():
        raise DataError(f"{file} is missing: download or unpack CIFAR-10's binary version again")
    found, expected = file.stat().st_size, RECORDS * RECORD
    if found != expected:
        raise DataError(f"{file} has {found:,} bytes, expected {expected:,}: remove it and get it anew")


def _class_names(folder: Path) -> tuple[str, ...]:
    """The names in batches.meta.txt, a line each, or the known ones where there is no such file."""
    file = folder / NAMES
    if not file.is_file():
        return CLASSES
    names = tuple(file.read_text(encoding="utf-8", errors="replace").split())
    if len(names) != len(CLASSES):
        raise DataError(f"{file} names {len(names)} classes, expected {len(CLASSES)}: remove it, the names are known")
    return names
