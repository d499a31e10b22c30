"""Files over a real HTTP server that truncates, corrupts, stalls, redirects, refuses ranges and is busy."""

import gzip
import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from tests import forms
from tests.commands import command

from sentinode.data.download.catalogue import CATALOGUES, RemoteFile
from sentinode.data.download.fetch import fetch
from sentinode.data.download.http import Patience
from sentinode.errors import OutputError

RAW = np.random.default_rng(0).integers(0, 60, 1_500_000).astype(np.uint8).tobytes()
PACKED = gzip.compress(RAW, mtime=0)
META = b",coord_y,coord_x,tumor_patch,center_tumor_patch,wsi\n"
QUICK = Patience(stall_s=0.5, attempts=4, pause_s=0.01, most_s=3)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


X = RemoteFile("x.h5.gz", md5(PACKED), len(PACKED), md5(RAW), len(RAW))
CSV = RemoteFile("meta.csv", md5(META))
CONTENT = {"/x.h5.gz": PACKED, "/meta.csv": META}

Handler = http.server.BaseHTTPRequestHandler
Trick = Callable[[Handler], None]


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; each request takes the next trick first, and is served properly when there is none left."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.tricks: list[Trick] = []
        self.asked: list[tuple[str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up is part of the test."""


class Answer(Handler):
    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        self.server.asked.append((self.path, self.headers.get("Range")))
        (self.server.tricks.pop(0) if self.server.tricks else serve)(self)

    def log_message(self, *_) -> None:
        pass


def serve(request: Handler, content: bytes | None = None, ranges: bool = True, send: int | None = None) -> None:
    """Answer properly, or with other content, without ranges, or with fewer bytes than were announced."""
    content = CONTENT.get(request.path) if content is None else content
    asked = request.headers.get("Range")
    first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and ranges else 0
    if first >= len(content):
        request.send_error(416)
        return
    request.send_response(206 if asked and ranges else 200)
    if asked and ranges:
        request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
    request.send_header("Content-Length", str(len(content) - first))
    request.end_headers()
    request.wfile.write(content[first:][:send])


def truncated(request: Handler) -> None:
    serve(request, send=300_000)


def corrupted(request: Handler) -> None:
    content = bytearray(CONTENT[request.path])
    content[len(content) // 2] ^= 1
    serve(request, bytes(content))


def stalled(request: Handler) -> None:
    truncated(request)
    request.wfile.flush()
    time.sleep(1.5)


def short_of_a_chunk(request: Handler) -> None:
    """Less than is read at once, then silence: no byte of it may be lost."""
    serve(request, send=100_000)
    request.wfile.flush()
    time.sleep(1.5)


def dripping(request: Handler) -> None:
    """Always a byte before anybody loses patience."""
    serve(request, send=0)
    asked = request.headers.get("Range")
    first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    for byte in CONTENT[request.path][first : first + 30]:
        time.sleep(0.1)
        request.wfile.write(bytes([byte]))
        request.wfile.flush()


def without_ranges(request: Handler) -> None:
    serve(request, ranges=False)


def elsewhere(request: Handler) -> None:
    request.send_response(302)
    request.send_header("Location", request.path)
    request.end_headers()


def hung_up(request: Handler) -> None:
    request.connection.close()


def status(code: int, retry_after: str | None = None) -> Trick:
    def answer(request: Handler) -> None:
        request.send_response(code)
        if retry_after is not None:
            request.send_header("Retry-After", retry_after)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def get(server: Server, out: Path, *files: RemoteFile) -> list[Path]:
    return fetch(files or (X,), server.url, out, QUICK)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_are_fetched_verified_and_unpacked(server, tmp_path):
    assert get(server, tmp_path / "new", X, CSV) == [tmp_path / "new" / "x.h5", tmp_path / "new" / "meta.csv"]
    assert (tmp_path / "new" / "x.h5").read_bytes() == RAW
    assert (tmp_path / "new" / "meta.csv").read_bytes() == META
    assert names(tmp_path / "new") <= {"x.h5", "meta.csv", ".sentinode-fetch.lock"}


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    get(server, tmp_path, X, CSV)
    before = len(server.asked)
    get(server, tmp_path, X, CSV)
    assert len(server.asked) == before


@pytest.mark.parametrize(
    "tricks",
    [
        [truncated],
        [truncated, truncated],
        [truncated, without_ranges],
        [stalled],
        [short_of_a_chunk] * 5,
        [dripping],
        [elsewhere],
        [truncated, elsewhere],
        [hung_up],
        [status(429)],
        [status(429, "0"), status(503, "1")],
        [status(503, formatdate(usegmt=True))],
        [status(429, "soon")],
        [status(429, "²")],
        [status(500), status(502), truncated, status(500), status(500), status(500)],
    ],
    ids=lambda tricks: " ".join(getattr(trick, "__name__", "") for trick in tricks),
)
def test_transient_errors_are_retried_and_the_download_resumes(server, tmp_path, tricks):
    server.tricks = list(tricks)
    get(server, tmp_path)
    assert (tmp_path / "x.h5").read_bytes() == RAW
    assert names(tmp_path) <= {"x.h5", ".sentinode-fetch.lock"}
    assert server.tricks == []


def test_a_broken_download_goes_on_where_it_ended(server, tmp_path):
    server.tricks = [truncated]
    get(server, tmp_path)
    assert server.asked == [("/x.h5.gz", None), ("/x.h5.gz", "bytes=300000-")]


@pytest.mark.parametrize(
    ("tricks", "words"),
    [
        ([status(404)], ["x.h5.gz", "HTTP 404", "--mirror"]),
        ([status(403)], ["HTTP 403"]),
        ([status(500)] * 4, ["no data in 4 attempts", "HTTP 500"]),
        ([hung_up] * 4, ["no data in 4 attempts"]),
        ([dripping] * 4, ["no data in 4 attempts", "bytes in 1 s", "kept"]),
        ([status(429, "3600")], ["asks to wait 3,600 s", "HTTP 429"]),
        ([corrupted], ["differs from the official file", md5(PACKED), "deleted"]),
        ([truncated, corrupted], ["differs from the official file"]),
        (
            [lambda request: serve(request, b"<html>please log in</html>")],
            ["26 bytes", f"expected {len(PACKED):,} bytes"],
        ),
        ([elsewhere] * 5, ["refused", "HTTP 302"]),
    ],
    ids=lambda value: None,
)
def test_a_refusal_is_one_line_and_leaves_nothing_under_a_final_name(server, tmp_path, tricks, words):
    server.tricks = list(tricks)
    forms.refused(lambda: get(server, tmp_path), *words)
    assert names(tmp_path) <= {"x.h5.gz.part", ".sentinode-fetch.lock"}
    get(server, tmp_path)  # The same call, when the trouble is over.
    assert (tmp_path / "x.h5").read_bytes() == RAW


def test_a_failed_download_keeps_its_part(server, tmp_path):
    server.tricks = [truncated, *[status(500)] * 4]
    forms.refused(lambda: get(server, tmp_path), "partial download is kept")
    assert (tmp_path / "x.h5.gz.part").stat().st_size == 300_000
    get(server, tmp_path)
    assert server.asked[-1] == ("/x.h5.gz", "bytes=300000-")


@pytest.mark.parametrize("begun", [b"what another program left" * 100, PACKED[:1000], PACKED, PACKED + b"more"])
def test_a_part_of_any_kind_ends_in_the_right_file(server, tmp_path, begun):
    (tmp_path / "x.h5.gz.part").write_bytes(begun)
    get(server, tmp_path)
    assert (tmp_path / "x.h5").read_bytes() == RAW


def test_a_part_of_a_file_that_is_there_is_removed(server, tmp_path):
    get(server, tmp_path)
    (tmp_path / "x.h5.gz.part").write_bytes(PACKED)  # Of a process that was killed between its last two steps.
    get(server, tmp_path)
    assert "x.h5.gz.part" not in names(tmp_path)


def test_a_file_without_end_is_cut_off(server, tmp_path):
    def endless(request: Handler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x" * 100_000)

    server.tricks = [endless]
    forms.refused(lambda: get(server, tmp_path), "sends more than")


def test_a_gzip_that_inflates_too_far_or_is_none_is_refused(server, tmp_path, monkeypatch):
    bomb = gzip.compress(bytes(50_000_000))
    for content, words in (
        (bomb, "unpacks to more than"),
        (b"no gzip at all", "not a complete gzip"),
        (PACKED[:-500], "gzip"),
    ):
        monkeypatch.setitem(CONTENT, "/x.h5.gz", content)
        file = RemoteFile("x.h5.gz", md5(content), len(content), md5(RAW), len(RAW))
        forms.refused(lambda file=file: get(server, tmp_path, file), words)
        assert "x.h5" not in names(tmp_path)
        (tmp_path / "x.h5.gz.part").unlink()


def test_an_existing_file_with_other_content_is_kept(server, tmp_path):
    (tmp_path / "x.h5").write_bytes(b"mine")
    forms.refused(lambda: get(server, tmp_path), "x.h5", "differs from the official file", "move it away")
    assert (tmp_path / "x.h5").read_bytes() == b"mine"
    assert server.asked == []


def test_free_disk_space_is_checked_before_the_download(server, tmp_path):
    huge = RemoteFile("x.h5.gz", md5(PACKED), 10**16, md5(RAW), 10**16)
    forms.refused(lambda: get(server, tmp_path, CSV, huge), "MB are free", "--out", error=OutputError)
    assert server.asked == []


def test_two_processes_do_not_fetch_into_one_folder(server, tmp_path):
    with FileLock(tmp_path / ".sentinode-fetch.lock"):
        forms.refused(lambda: get(server, tmp_path), "another process")


def test_invalid_mirror_addresses_are_refused(tmp_path):
    for url in ("file:///etc/", "/a/folder", "ftp://example.org", "http://[bad"):
        forms.refused(lambda url=url: fetch((X,), url, tmp_path, QUICK), url, "http")


def test_a_file_where_the_folder_should_be_is_named(server, tmp_path):
    (tmp_path / "taken").write_text("mine")
    forms.refused(lambda: get(server, tmp_path / "taken"), "taken", "use another")
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_killed_download_goes_on(server, tmp_path):
    server.tricks = [stalled]
    script = (
        "import sys\nfrom sentinode.data.download.catalogue import RemoteFile\n"
        "from sentinode.data.download.fetch import fetch\n"
        f"fetch(({X!r},), sys.argv[1], sys.argv[2])\n"
    )
    job = subprocess.Popen([sys.executable, "-c", script, server.url, tmp_path])
    part = tmp_path / "x.h5.gz.part"
    until = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size >= 300_000) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    assert names(tmp_path) <= {"x.h5.gz.part", ".sentinode-fetch.lock"}
    get(server, tmp_path)
    assert server.asked[-1] == ("/x.h5.gz", f"bytes={300_000}-")
    assert (tmp_path / "x.h5").read_bytes() == RAW


def test_sigterm_ends_a_command_like_an_interrupt(server, tmp_path):
    server.tricks = [stalled] * 9
    words = command("data", "fetch", "pcam", "--out", tmp_path, "--mirror", server.url)
    job = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not server.asked and time.monotonic() < until:
        time.sleep(0.02)
    job.terminate()
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in errors


def test_the_catalogue_of_pcam_pairs_files_and_checksums_as_they_are():
    files = {file.final_name: file for each in CATALOGUES["pcam"].files.values() for file in each}
    assert len(files) == 9
    assert files["camelyonpatch_level_2_split_valid_x.h5"].md5 == "d5b63470df7cfa627aeec8b9dc0c066e"
    assert files["camelyonpatch_level_2_split_test_x.h5"].md5 == "d8c2d60d490dbd479f8199bdfa0cf6ec"
    digests = [each for file in files.values() for each in (file.md5, file.unpacked_md5) if each]
    assert len(set(digests)) == len(digests) == 15
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in digests)
