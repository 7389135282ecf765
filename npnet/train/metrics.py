"""Metrics: a line of JSON for every interval, in ``metrics.jsonl`` of the run's folder."""
import json
from pathlib import Path
from typing import Any

from npnet.files import write_atomically

NAME = "metrics.jsonl"


def append(folder: Path, line: dict[str, Any]) -> None:
    """One more line."""
    with open(folder / NAME, "a") as file:
        file.write(json.dumps(line) + "\n")


def read(folder: str | Path) -> list[dict[str, Any]]:
    """All whole lines; a last one that was cut off when the process was killed is left out."""
    lines: list[dict[str, Any]] = []
    path = Path(folder) / NAME
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
    return lines


def cut(folder: Path, step: int) -> list[dict[str, Any]]:
    """Forget the lines after `step`: a run that goes on from there writes them again. Returns the others."""
    kept = [line for line in read(folder) if line["step"] <= step]
    write_atomically(folder / NAME, "".join(json.dumps(line) + "\n" for line in kept))
    return kept
