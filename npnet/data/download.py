"""A file over HTTP that survives what networks do: mirrors, breaks in the middle, wrong files, full disks."""
import contextlib
import errno
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from npnet.data.dataset import DataError
from npnet.files import locked

CHUNK = 1 << 18  # bytes read at once


class _MirrorError(Exception):
    """This mirror will not do; the next one may."""


def fetch(
    urls: Sequence[str],
    path: str | Path,
    size: int | None,
    md5: str | None = None,
    sha256: str | None = None,
    progress: bool = True,
    timeout: float = 30.0,
    least: int = 0,
    sha1: str | None = None,
) -> Path:
    """Download a file of which the digest is known, from the first mirror that has it.

    The bytes go to `path` + ``.part``, which is renamed to `path` once size and digest are right: a file of that name
    is the published one. A download that breaks off goes on where it stopped, from the next mirror or when called
    again. A file that is there already and right is left as it is.

    Parameters
    ----------
    urls : mirrors of the same bytes, tried in this order.
    path : where the file shall lie. Its folder is made.
    size : bytes; None, if they are not known: what a mirror says then, if it is `least` or more. (A page that says
        sorry is less, and replaces nothing.)
    md5, sha256, sha1 : published digests in hexadecimal; None is not checked.
    progress : show a bar with rate and time left.
    timeout : seconds without a byte after which a mirror is given up.

    Returns
    -------
    `path`.

    Raises
    ------
    DataError
        If no mirror gave the file (the message says why, mirror by mirror), the disk is full or cannot be written, or
        another file lies at `path`, which is not touched.
    UserError
        If another process is downloading it.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.part")
    digests = {"md5": md5, "sha256": sha256, "sha1": sha1}
    try:
        if path.exists():
            wrong = _mismatch(path, size or path.stat().st_size, digests)
            if wrong:
                raise DataError(f"{path} is not the published file ({wrong}): move it away and run this again")
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        with locked(part):
            failures = _fetch(urls, path, part, size, digests, progress, timeout, least)
        if not failures:
            return path
    except OSError as error:  # of the disk: those of the network are _MirrorError
        reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        kept = f"{part} is kept" if part.exists() else "nothing is kept"
        raise DataError(f"cannot write {path}: {reason}; {kept}; mend this and run it again to go on") from error
    begun = part.stat().st_size if part.exists() else 0
    of = f" of {size:,}" if size else ""
    kept = f"{part} ({begun:,}{of} bytes) is kept: run this again to go on" if begun else "try again later"
    raise DataError(f"cannot download {path.name}: {'; '.join(failures)}; {kept}")


def _fetch(
    urls: Sequence[str], path: Path, part: Path, size: int | None, digests: dict[str, str | None], progress: bool,
    timeout: float, least: int
) -> list[str]:
    """By way of `part`, which is there. Returns what went wrong, mirror by mirror, or nothing if the file is there."""
    failures = []
    for url in urls:
        try:
            total = size or _length(url, least, timeout)
            _receive(url, part, total, progress, timeout)
        except _MirrorError as error:
            failures.append(f"{url}: {error}")
            continue
        wrong = _mismatch(part, total, digests)
        if not wrong:
            part.replace(path)
            return []
        os.truncate(part, 0)  # not removed: it is locked
        failures.append(f"{url}: wrong file ({wrong})")
    if not part.stat().st_size:
        part.unlink()
    return failures


def _length(url: str, least: int, timeout: float) -> int:
    """How many bytes a mirror's file has."""
    request = urllib.request.Request(url, headers={"User-Agent": "npnet"}, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            length = int(response.headers.get("Content-Length") or 0)
    except urllib.error.HTTPError as error:
        error.close()
        raise _MirrorError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _MirrorError(_told(error)) from error
    if length < max(1, least):
        raise _MirrorError(f"holds {length:,} bytes, expected at least {max(1, least):,}")
    return length


def _receive(url: str, part: Path, size: int, progress: bool, timeout: float) -> None:
    """Bring `part` up to `size` bytes from one mirror, going on from what is there.

    Raises
    ------
    _MirrorError
        If the network or the mirror fails. What came before that is in `part`.
    OSError
        If `part` cannot be written.
    """
    have = part.stat().st_size
    if have == size:
        return
    if have > size:
        os.truncate(part, 0)
        have = 0
    response, have = _request(url, have, size, timeout)
    with contextlib.closing(response), open(part, "r+b" if have else "wb") as file:
        file.seek(have)
        have = _copy(response, file, have, size, part.name.removesuffix(".part"), progress)
        file.flush()
        os.fsync(file.fileno())
    if have < size:
        raise _MirrorError(f"broke off at {have:,} of {size:,} bytes")


def _request(url: str, have: int, size: int, timeout: float) -> tuple[Any, int]:
    """Ask a mirror for the bytes from `have` on. Returns its answer and the byte that the answer starts at."""
    headers = {"User-Agent": "npnet"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # our part is longer than its file, or it cannot go on: start over
            return _request(url, 0, size, timeout)
        raise _MirrorError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(_told(error)) from error
    start = 0  # a server that knows no ranges answers 200 with the whole file
    if response.status == 206:
        start = have
        if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            response.close()
            if have:
                return _request(url, 0, size, timeout)
            raise _MirrorError(f"Content-Range {response.headers.get('Content-Range')!r} was not asked for")
    length = response.headers.get("Content-Length")
    if length is not None and start + int(length) != size:  # a page that says sorry must not replace what we have
        response.close()
        raise _MirrorError(f"holds {start + int(length):,} bytes, expected {size:,}")
    return response, start


def _copy(response: Any, file: BinaryIO, have: int, size: int, name: str, progress: bool) -> int:
    """Write the answer to `file`, `size` bytes at most. Returns how many are there, also if the connection breaks."""
    from tqdm.auto import tqdm

    with tqdm(
        total=size, initial=have, desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=not progress
    ) as bar:
        while have < size:
            try:
                chunk = response.read(min(CHUNK, size - have))
            except http.client.IncompleteRead as error:
                chunk = error.partial
            except (OSError, http.client.HTTPException) as error:
                raise _MirrorError(f"{_told(error)} at {have:,} of {size:,} bytes") from error
            if not chunk:
                break
            file.write(chunk)
            have += len(chunk)
            bar.update(len(chunk))
    return have


def _told(error: Exception) -> str:
    """What went wrong, in one line."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason).strip().replace("\n", " ") or type(reason).__name__


def _mismatch(path: Path, size: int, digests: dict[str, str | None]) -> str:
    """How a file differs from the published one, or an empty string."""
    found = path.stat().st_size
    if found != size:
        return f"{found:,} bytes, expected {size:,}"
    for algorithm, expected in digests.items():
        if expected is not None:
            digest = hashlib.new(algorithm, usedforsecurity=False)
            with open(path, "rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
            if digest.hexdigest() != expected.lower():
                return f"{algorithm} {digest.hexdigest()}, expected {expected.lower()}"
    return ""
