"""Files are written beside and renamed: whoever reads sees the old one or the new one, whole."""
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet.errors import UserError


def write_atomically(path: Path, content: bytes | str) -> None:
    """`path` ← content, at once, also if the process is killed or the disk fills up half-way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk does not say which file, and nobody knows the one beside
            error.filename = str(path)
        raise


def write_json(path: Path, value: Any) -> None:
    """`path` ← `value` as JSON for people to read, at once."""
    write_atomically(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in `path`. Raises UserError, with `what` it should be, if it is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not {what} ({error}): put the right file there, or begin in another folder") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: not {what} (it holds no object): put the right file there")
    return value


def save_arrays(path: str | Path, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
    """Arrays by name, and what else is to be known about them (JSON), in one safetensors file."""
    from safetensors.numpy import save

    write_atomically(
        Path(path), save({k: np.asarray(v, order="C") for k, v in arrays.items()}, {"npnet": json.dumps(facts)})
    )


def load_arrays(
    path: str | Path, wanted: Callable[[str], bool] = lambda name: True
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """What `save_arrays` wrote; of the arrays, those that are `wanted` by name: the others are not read.

    Raises UserError if there is no such file, or it is not whole.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            facts = (file.metadata() or {}).get("npnet", "{}")
            names = filter(wanted, file.keys())
            return {name: file.get_tensor(name) for name in names}, json.loads(facts)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:  # the last two: bfloat16
        raise UserError(f"{path}: not a whole safetensors file ({error}): put the right file there, or begin in "
                        f"another folder") from None


@contextmanager
def only_writer(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """`folder` is made, and is this process's to write into. What a killed process left half-written of the files of
    these names is removed.

    Raises UserError if another process writes into it. However a process ends, its claim ends with it. (Where the
    system or the file system has no such locks, nobody is kept out.)
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        for name in names:
            for left in folder.glob(f"{name}.*.part"):
                left.unlink(missing_ok=True)
        yield


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A file or folder is this process's until then, if the system and the file system have such locks.

    Raises UserError if it is another's.
    """
    held = _lock(path)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def _lock(path: Path) -> int | None:
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    held = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise UserError(f"{path}: another process is at work there: wait for it, or stop it") from None
    except OSError:  # a file system without locks
        pass
    return held
