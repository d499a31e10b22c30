"""A file over HTTP: resumed where it broke, waited for when the server is busy, and no byte more than expected."""

import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from sentinode.errors import DataError, first_line
from sentinode.progress import Advance, progress_bar
from sentinode.version import __version__

log = logging.getLogger("sentinode")

CHUNK_BYTES = 1 << 18
# A connection that is slower is as good as none.
LEAST_BYTES_S = 1000
# Of a file whose size is not known, such as a csv, no more than this is taken.
MOST_BYTES = 200_000_000
WAY_OUT = "try again later, or name another place with --mirror"


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes
    ----------
    stall_s
        Silence after which a connection is given up; and so it is when it was slower than 1 kB/s for that long.
    attempts
        In a row without a single new byte, or too slow.
    pause_s
        Before the second attempt; it doubles from one to the next, up to a minute.
    most_s
        The longest that a server may ask to wait (Retry-After).
    """

    stall_s: float = 30
    attempts: int = 6
    pause_s: float = 2
    most_s: float = 300


class _Again(Exception):  # noqa: N818 - it is not an error yet
    """An attempt failed in a way that may pass."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class _TooSlow(_Again):
    """Bytes came, but it would never end."""


def check_url(url: str) -> str:
    """Return an address that names can be added to; refuse what is not HTTP.

    Examples
    --------
    >>> check_url("https://zenodo.org/records/2546921/files")
    'https://zenodo.org/records/2546921/files/'
    """
    try:
        scheme = urllib.parse.urlsplit(url).scheme
    except ValueError:  # Such as a bracket that is never closed.
        scheme = ""
    if scheme not in ("http", "https"):
        raise DataError(f"{url}: not an address; one that starts with http:// or https:// is expected")
    return url if url.endswith("/") else f"{url}/"


def megabytes(size_bytes: int) -> int:
    """Return whole megabytes, at least one, for a progress bar."""
    return max(1, round(size_bytes / 1e6))


def download(url: str, part: Path, size_bytes: int | None, patience: Patience) -> None:
    """Bring `part` to its full length, however often the connection breaks.

    Parameters
    ----------
    url
        Where the file is.
    part
        What is there of it is kept, and the rest appended.
    size_bytes
        Of the whole file; None where it is not known.
    patience
        How long to wait.

    Raises
    ------
    DataError
        The server refuses, has another file, or gave no byte in so many attempts; the disk cannot be written.
    """
    pause_s, failures = patience.pause_s, 0
    with progress_bar(part.stem, total=megabytes(size_bytes or 1), unit="MB") as advance, part.open("ab") as out:
        advance(out.tell() / 1e6)
        while size_bytes is None or out.tell() < size_bytes:
            before = out.tell()
            try:
                _receive(url, out, size_bytes, advance, patience)
                return
            except (_Again, OSError, HTTPException) as error:
                came = out.tell() > before and not isinstance(error, _TooSlow)
                failures = 0 if came else failures + 1
                pause_s = pause_s if failures else patience.pause_s
                if failures >= patience.attempts:
                    raise DataError(
                        f"{url}: given up after {failures} attempts in a row ({first_line(error)}); what came is kept, "
                        f"and the same command goes on from there: {WAY_OUT}"
                    ) from error
                asked_s = error.wait_s if isinstance(error, _Again) else None
                wait_s = pause_s if asked_s is None else asked_s
                log.info("%s: %s; next attempt in %.0f s", part.stem, first_line(error), wait_s)
                time.sleep(wait_s)
                pause_s = min(2 * pause_s, 60)


def _receive(url: str, out: BinaryIO, size_bytes: int | None, advance: Advance, patience: Patience) -> None:
    """Append to `out` what the server still has; a break is an `_Again`, an `OSError` or an `HTTPException`."""
    have = out.tell()
    headers = {"User-Agent": f"sentinode/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=patience.stall_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:
            _start_over(out, advance)
            raise _Again("what was there is longer than the file", 0) from error
        raise _refusal(url, error, patience) from error
    with answer:
        if have and answer.status != 206:
            log.info("%s: the server cannot go on in the middle; fetched from the beginning", Path(out.name).stem)
            _start_over(out, advance)
        elif have and not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
            raise _Again("the server sent another part than was asked for")
        expected = _expected_bytes(url, answer.headers.get("Content-Length"), out.tell(), size_bytes)
        began_s, began_at = time.monotonic(), out.tell()
        while chunk := answer.read1(CHUNK_BYTES):  # Whatever there is: a chunk that is waited for may never be whole.
            if out.tell() + len(chunk) > (expected or MOST_BYTES):
                _start_over(out, advance)
                raise DataError(
                    f"{url}: sends more than the {expected or MOST_BYTES:,} bytes that were expected; {WAY_OUT}"
                )
            _write(out, chunk)
            advance(len(chunk) / 1e6)
            if (took_s := time.monotonic() - began_s) > patience.stall_s:
                if out.tell() - began_at < LEAST_BYTES_S * took_s:
                    raise _TooSlow(f"{out.tell() - began_at:,} bytes in {took_s:.0f} s")
                began_s, began_at = time.monotonic(), out.tell()
    if expected is not None and out.tell() < expected:
        raise _Again(f"the connection ended {expected - out.tell():,} bytes early")


def _expected_bytes(url: str, length: str | None, have: int, size_bytes: int | None) -> int | None:
    """Return how long the whole file is; refuse one that says to be of another length."""
    total = have + int(length) if length is not None and _is_number(length) else None
    if None not in (total, size_bytes) and total != size_bytes:
        raise DataError(
            f"{url}: the server has {total:,} bytes under this name, where {size_bytes:,} are expected; it is another "
            f"file, or a page that says why: {WAY_OUT}"
        )
    return size_bytes if total is None else total


def _write(out: BinaryIO, chunk: bytes) -> None:
    try:
        out.write(chunk)
        out.flush()
    except OSError as error:
        raise DataError(
            f"{out.name}: cannot be written ({error.strerror}); free some room or name another folder, and the same "
            "command goes on from there"
        ) from error


def _start_over(out: BinaryIO, advance: Advance) -> None:
    advance(-out.tell() / 1e6)
    out.truncate(0)
    out.seek(0)


def _refusal(url: str, error: urllib.error.HTTPError, patience: Patience) -> Exception:
    reason = str(error.reason).splitlines()[0] if error.reason else "no reason given"
    if error.code in (408, 425, 429) or error.code >= 500:
        wait_s = _retry_after_s(error.headers.get("Retry-After"))
        if wait_s is not None and wait_s > patience.most_s:
            return DataError(f"{url}: the server asks to come back in {wait_s:,.0f} s (HTTP {error.code}); {WAY_OUT}")
        return _Again(f"HTTP {error.code} {reason}", wait_s)
    return DataError(
        f"{url}: the server refuses it (HTTP {error.code} {reason}); check the address, or name another with --mirror"
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a server asks to wait: a number, or a date."""
    if value is None:
        return None
    if _is_number(value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
