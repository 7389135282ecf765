"""Metrics: a line of JSON for every interval, in ``metrics.jsonl`` of the run's folder."""
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npnet.errors import UserError
from npnet.files import write_atomically

NAME = "metrics.jsonl"


def append(folder: Path, line: dict[str, Any]) -> None:
    """One more line, on the disk before a checkpoint can be that says it is there."""
    try:
        with open(folder / NAME, "a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(
            f"{folder / NAME}: cannot be written ({error.strerror or error}): make room, and go on with --resume"
        ) from None


def read(folder: str | Path) -> list[dict[str, Any]]:
    """All lines; a last one that was cut off when the process was killed is left out.

    Raises UserError if another line is damaged: nobody knows what stood there.
    """
    lines: list[dict[str, Any]] = []
    path = Path(folder) / NAME
    if not path.exists():
        return lines
    *whole, _ = path.read_bytes().split(b"\n")  # each line ends with one: what is behind the last was cut off
    for i, text in enumerate(whole, 1):
        try:
            line = json.loads(text)
            if not (isinstance(line, dict) and {"step", "epoch"} <= line.keys()):
                raise ValueError("no step, no epoch")
        except ValueError as error:
            raise UserError(f"{path}: line {i} is damaged ({error}): put the file back as it was, or begin in another "
                            f"folder") from None
        lines.append(line)
    return lines


def write(folder: Path, lines: Sequence[dict[str, Any]]) -> None:
    """These lines and no others: a run that goes on from a checkpoint writes those after it again."""
    path, text = folder / NAME, "".join(json.dumps(line) + "\n" for line in lines)
    if not path.exists() or path.read_bytes() != text.encode():
        write_atomically(path, text)
