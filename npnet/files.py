"""Files are written beside and renamed: whoever reads sees the old one or the new one, whole."""
import os
from pathlib import Path


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
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
