import hashlib
import os
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from npnet.data import DataError, archive, download
from npnet.data.download import fetch
from npnet.errors import UserError
from npnet.files import locked

CONTENT = np.random.default_rng(0).bytes(700_001)
SIZE = len(CONTENT)
DIGESTS = {"md5": hashlib.md5(CONTENT).hexdigest(), "sha256": hashlib.sha256(CONTENT).hexdigest()}


class Mirror(BaseHTTPRequestHandler):
    """A server whose manners are the path: /whole, /half (breaks off half way through what is left), /no-ranges, ..."""

    def do_GET(self):
        manner, asked = self.path[1:], self.headers.get("Range")
        self.server.asked.append((manner, asked))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if manner == "gone":
            return self.answer(404, b"nothing here")
        if manner == "sorry":
            return self.answer(200, b"<html>sorry</html>")
        if manner == "wrong":
            return self.answer(200, bytes(SIZE))
        if manner == "unsatisfied" and asked:
            return self.answer(416, b"")
        if manner == "another-range" and asked:
            return self.answer(206, CONTENT[5:], {"Content-Range": f"bytes 5-{SIZE - 1}/{SIZE}"})
        if manner in ("no-ranges", "unsatisfied", "another-range") or not asked:
            return self.answer(200, CONTENT, sent=SIZE // 2 if manner == "half" else SIZE)
        rest = CONTENT[start:]
        headers = {"Content-Range": f"bytes {start}-{SIZE - 1}/{SIZE}"}
        return self.answer(206, rest, headers, sent=len(rest) // 2 if manner == "half" else len(rest))

    def do_HEAD(self):
        manner = self.path[1:]
        self.server.asked.append((manner, "HEAD"))
        body = {"gone": b"", "sorry": b"<html>sorry</html>"}.get(manner, CONTENT)
        self.answer(404 if manner == "gone" else 200, body, sent=0)

    def answer(self, status, body, headers=None, sent=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:sent])

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def get(server, tmp_path, monkeypatch):
    """get("half", "whole") fetches from these mirrors; get.asked is what they were asked for."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.asked.clear()

    def get(*manners, **changes):
        urls = [f"http://127.0.0.1:{server.server_port}/{manner}" for manner in manners]
        return fetch(urls, tmp_path / "deep" / "file", **{"size": SIZE, "progress": False, **DIGESTS} | changes)

    get.asked, get.path, get.part = server.asked, tmp_path / "deep" / "file", tmp_path / "deep" / "file.part"
    return get


def leave_part(get, content):
    get.part.parent.mkdir()
    get.part.write_bytes(content)


def test_a_file_is_fetched_once(get):
    assert get("whole") == get.path
    assert get.path.read_bytes() == CONTENT
    assert not get.part.exists()
    get("gone")
    assert get.asked == [("whole", None)]


def test_the_next_mirror_goes_on_where_the_last_broke_off(get):
    get("gone", "half", "half", "whole")
    half = SIZE // 2
    half_again = half + (SIZE - half) // 2
    ranges = [None, None, f"bytes={half}-", f"bytes={half_again}-"]
    assert [asked for _, asked in get.asked] == ranges
    assert get.path.read_bytes() == CONTENT


def test_a_broken_download_goes_on_when_called_again(get):
    with pytest.raises(DataError, match=rf"broke off at {SIZE // 2:,} of {SIZE:,} bytes.*is kept: run this again"):
        get("half")
    assert get.part.read_bytes() == CONTENT[: SIZE // 2]
    assert not get.path.exists()
    get("whole")
    assert get.asked[-1] == ("whole", f"bytes={SIZE // 2}-")
    assert get.path.read_bytes() == CONTENT


@pytest.mark.parametrize("manner", ["no-ranges", "unsatisfied", "another-range"])
def test_where_going_on_is_impossible_it_starts_over(get, manner):
    leave_part(get, CONTENT[:1000])
    get(manner)
    assert get.asked[0] == (manner, "bytes=1000-")
    assert get.path.read_bytes() == CONTENT


def test_a_part_that_is_too_long_starts_over(get):
    leave_part(get, CONTENT + b"more")
    get("whole")
    assert get.asked == [("whole", None)]
    assert get.path.read_bytes() == CONTENT


def test_a_complete_part_is_checked_and_needs_no_network(get):
    leave_part(get, CONTENT)
    get("gone")
    assert get.asked == []
    assert get.path.read_bytes() == CONTENT


def test_a_wrong_file_is_thrown_away_and_the_next_mirror_asked_for_all(get):
    get("wrong", "whole")
    assert get.asked == [("wrong", None), ("whole", None)]
    assert get.path.read_bytes() == CONTENT


@pytest.mark.parametrize("digest", ["md5", "sha256"])
def test_either_digest_is_enough_to_refuse(get, digest):
    with pytest.raises(DataError, match=f"wrong file \\({digest} [0-9a-f]+, expected {DIGESTS[digest]}\\)"):
        get("wrong", **{"md5": None, "sha256": None, digest: DIGESTS[digest].upper()})
    assert not get.path.exists()
    assert not get.part.exists()


def test_a_page_that_says_sorry_does_not_replace_what_is_there(get):
    leave_part(get, CONTENT[:1000])
    with pytest.raises(DataError, match="holds 18 bytes, expected 700,001"):
        get("sorry")
    assert get.part.read_bytes() == CONTENT[:1000]


def test_when_all_fail_every_mirror_is_named_with_its_reason_in_one_line(get):
    with pytest.raises(DataError) as error:
        get("gone", "half", "sorry")
    message = str(error.value)
    assert "\n" not in message
    assert "/gone: HTTP 404" in message
    assert "/half: broke off" in message
    assert "/sorry: holds" in message
    assert "file.part" in message


def test_a_server_that_is_not_there_is_one_line_too(get, tmp_path):
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/x: .*refused"):
        fetch(["http://127.0.0.1:9/x"], tmp_path / "file", SIZE, progress=False)


def test_another_file_in_the_place_is_not_touched(get):
    get.path.parent.mkdir()
    get.path.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"not the published file \(4 bytes, expected 700,001\): move it away"):
        get("whole")
    assert get.path.read_bytes() == b"mine"
    assert get.asked == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_said_and_no_other_mirror_is_asked(get):
    get.part.parent.mkdir()
    get.part.symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot write .*: the disk is full; .*file\.part is kept"):
        get("whole", "whole")
    assert len(get.asked) == 1
    assert get.part.is_symlink()


def test_the_bar_starts_where_the_download_goes_on(get, capsys):
    leave_part(get, CONTENT[:524_288])
    get("whole", progress=True)
    bar = capsys.readouterr().err
    assert "file:  75%" in bar
    assert "512k/684k" in bar
    assert "684k/684k" in bar


def test_a_mirror_that_falls_silent_is_given_up(get, monkeypatch):
    """The connection stays open and no byte comes."""
    silent = download.urllib.request.urlopen

    class Stalled:
        def __init__(self, response):
            self.response, self.status, self.headers, self.reads = response, response.status, response.headers, 0

        def read(self, n):
            self.reads += 1
            if self.reads > 1:
                raise TimeoutError("timed out")
            return self.response.read(1000)

        def close(self):
            self.response.close()

    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *a, **k: Stalled(silent(*a, **k)))
    with pytest.raises(DataError, match=r"timed out at 1,000 of 700,001 bytes"):
        get("whole")
    assert get.part.read_bytes() == CONTENT[:1000]


def test_a_size_that_nobody_has_published_is_asked_for(get):
    get("whole", size=None, least=SIZE)
    assert get.asked == [("whole", "HEAD"), ("whole", None)]
    assert get.path.read_bytes() == CONTENT
    get("gone", size=None)  # it is there, and its digest right
    get.path.write_bytes(b"another")
    with pytest.raises(DataError, match="is not the published file"):
        get("whole", size=None)


def test_a_page_that_says_sorry_is_too_small_and_replaces_nothing(get):
    leave_part(get, CONTENT[:1000])
    with pytest.raises(DataError, match=r"gone: HTTP 404.*sorry: holds 18 bytes, expected at least 700,001; .*kept"):
        get("gone", "sorry", size=None, least=SIZE)
    assert get.part.read_bytes() == CONTENT[:1000]
    get("half", "whole", size=None, least=SIZE)
    assert get.path.read_bytes() == CONTENT


def test_an_unknown_size_and_the_wrong_digest(get):
    with pytest.raises(DataError, match=r"wrong file \(md5"):
        get("wrong", size=None)
    assert not get.path.exists()


def test_two_at_once_are_told_apart(get):
    """The second is told of the first, and takes nothing from it."""
    leave_part(get, CONTENT[:1000])
    with locked(get.part), pytest.raises(UserError, match=r"file\.part: another process is at work there: wait for it"):
        get("whole")
    assert get.part.read_bytes() == CONTENT[:1000]
    get("whole")
    assert get.asked == [("whole", "bytes=1000-")]


def test_what_a_killed_process_unpacked_is_removed(tmp_path):
    killed, working, fresh = (tmp_path / f".unpacking-{name}" for name in ("killed", "working", "fresh"))
    for folder in (killed, working, fresh):
        folder.mkdir()
        (folder / "file").write_bytes(b"1")
    for folder in (killed, working):
        os.utime(folder, (0, 0))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(killed / "file", "file")
    with locked(working):
        archive.extract(tmp_path / "a.tar.gz", tmp_path / "a", PurePosixPath, lambda fresh: None, 10, progress=False)
    assert (tmp_path / "a" / "file").read_bytes() == b"1"
    assert (killed.exists(), working.exists(), fresh.exists()) == (False, True, True)
