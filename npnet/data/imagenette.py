"""Imagenette: ten classes of ImageNet that are easily told apart, 13,394 photos (Howard 2019, github.com/fastai).

Real photos that anybody may fetch, as AlexNet's own are not. `npnet data prepare` makes them ready.

Its train and val deal ImageNet's photos out anew: both hold some of ImageNet's training set (named by their class,
n01440764_10042.JPEG) and some of its validation set (ILSVRC2012_val_00007197.JPEG). For nets that learn from its train
that is no matter; weights that were trained on ImageNet have learnt from the former, wherever they lie.
"""
from pathlib import Path, PurePosixPath

from npnet.data.archive import extract
from npnet.data.dataset import DataError
from npnet.files import write_atomically

BASE = "https://s3.amazonaws.com/fast-ai-imageclas/"

VERSIONS = {
    "160": ("imagenette2-160", "e793b78cc4c9e9a4ccc0c1155377a412", None, 50_000_000),
    "320": ("imagenette2-320", "3df6f0d01a2c9592104656642f5e78a3", 341_663_724, 0),
    "full": ("imagenette2", "fe2fc210e6bb7c5664d602c3cd71e612", 1_557_161_267, 0),
}
"""By the shorter side in pixels: the folder in the archive; its digest, as torchvision lists it; its bytes, or None, if
nobody has published them; then it must have so many at least."""

WORDS = {
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player", "n03000684": "chain saw",
    "n03028079": "church", "n03394916": "French horn", "n03417042": "garbage truck", "n03425413": "gas pump",
    "n03445777": "golf ball", "n03888257": "parachute",
}
SPLITS = ("train", "val")
LARGEST = 1 << 26  # bytes of a photo
WORDS_FILE = "words.txt"  # for `npnet data prepare --words`


def download(version: str = "160", folder: str | Path = "data", progress: bool = True) -> Path:
    """Fetch a version and unpack it into `folder`. Returns where train and val are.

    What is there already is used, and a broken download goes on. The archive may be removed afterwards.

    Raises
    ------
    DataError
        If the mirror does not give the archive, the disk is full, or what is there is something else.
    """
    from npnet.data.download import fetch

    if version not in VERSIONS:
        raise DataError(f"imagenette has no version {version!r}: it is one of {', '.join(VERSIONS)}")
    name, md5, size, least = VERSIONS[version]
    target = Path(folder) / name
    if target.exists():
        check(target)
        return target
    archive = fetch([f"{BASE}{name}.tgz"], Path(folder) / f"{name}.tgz", size, md5, progress=progress, least=least)
    unpack(archive, Path(folder), name, progress)
    return target


def check(folder: Path) -> None:
    """Raise DataError unless there are photos of every class in both splits."""
    for split in SPLITS:
        for wnid in WORDS:
            if not any((folder / split / wnid).glob("*.JPEG")):
                raise DataError(
                    f"{folder}: is no Imagenette ({split}/{wnid} holds no photo): move it away and run this again")


def unpack(archive: Path, folder: Path, name: str, progress: bool = True) -> None:
    """Unpack the photos out of `archive` into ``folder/name``.

    Of the archive only ``name/split/class/*.JPEG`` is read, whatever else it holds, and wherever that would go.

    Raises
    ------
    DataError
        If the archive is broken or lacks a class, or the disk is full.
    """
    def finish(fresh: Path) -> None:
        try:
            check(fresh)
        except DataError:
            raise DataError(f"{archive}: lacks photos of some class: remove it and run this again") from None
        write_atomically(fresh / WORDS_FILE, "".join(f"{wnid} {word}\n" for wnid, word in WORDS.items()))

    extract(archive, folder / name, lambda member: _place(member, name), finish, LARGEST, progress)


def _place(member: str, name: str) -> PurePosixPath | None:
    """Where in the target a file of the archive goes; None: nowhere."""
    parts = PurePosixPath(member).parts
    if len(parts) != 4 or parts[0] != name or parts[1] not in SPLITS or parts[2] not in WORDS:
        return None
    return PurePosixPath(*parts[1:]) if parts[3].endswith(".JPEG") else None
