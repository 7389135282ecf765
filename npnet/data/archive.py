"""A downloaded archive becomes a folder, at once and whole, or not at all."""
import contextlib
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from npnet.data.dataset import DataError
from npnet.errors import UserError
from npnet.files import locked

BESIDE = ".unpacking-"


def extract(
    archive: Path, target: Path, place: Callable[[str], PurePosixPath | None], finish: Callable[[Path], None],
    most: int, progress: bool = True,
) -> None:
    """The files of a ``.tar.gz`` that are wanted, written beside and renamed; of what is there already nothing changes.

    Parameters
    ----------
    target : the folder.
    place : where in the folder a file of the archive goes; None: nowhere. Nothing else decides where a file is
        written, whatever the archive says.
    finish : called with the fresh folder; raises DataError if something is missing in it.
    most : bytes that are read of a file.

    Raises
    ------
    DataError
        If the archive is broken, `finish` says that it lacks something, or the disk is full.
    """
    from tqdm.auto import tqdm

    try:
        _remove_left(target.parent)
        with tempfile.TemporaryDirectory(prefix=BESIDE, dir=target.parent) as beside, locked(Path(beside)):
            fresh = Path(beside, target.name)
            with (tarfile.open(archive, "r:gz") as tar,
                  tqdm(unit=" files", desc=target.name, disable=not progress, dynamic_ncols=True, leave=False) as bar):
                for member in tar:
                    inside = place(member.name) if member.isreg() else None
                    source = tar.extractfile(member) if inside else None
                    if inside and source:
                        (fresh / inside).parent.mkdir(parents=True, exist_ok=True)
                        (fresh / inside).write_bytes(source.read(min(member.size, most)))
                        bar.update()
            finish(fresh)
            _put(fresh, target)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{archive}: is broken ({error}): remove it and run this again") from error
    except OSError as error:
        raise DataError(f"cannot unpack {archive} into {target} ({error}): mend this and run it again") from error


def _remove_left(folder: Path) -> None:
    """What processes that were killed had begun to unpack. Of a living one it is locked."""
    for beside in folder.glob(f"{BESIDE}*"):
        with contextlib.suppress(UserError, OSError):
            if time.time() - beside.stat().st_mtime > 60:  # else perhaps it is about to be locked
                with locked(beside):
                    shutil.rmtree(beside)


def _put(fresh: Path, target: Path) -> None:
    if not target.exists():
        fresh.rename(target)
        return
    for path in [path for path in fresh.rglob("*") if path.is_file()]:
        place = target / path.relative_to(fresh)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
