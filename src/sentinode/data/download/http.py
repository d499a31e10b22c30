"""Download a file over HTTP: resume broken connections, wait for busy servers, limit the size."""

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
# A slower connection is given up.
MIN_BYTES_S = 1000
# Limit for a file whose size is not known, such as a csv.
MAX_BYTES = 200_000_000
WAY_OUT = "try again later, or use another server with --mirror"


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Attributes
    ----------
    stall_s : float
        Silence, or transfer below 1 kB/s, after which a connection is given up.
    attempts : int
        Number of attempts without new data after which the download fails.
    pause_s : float
        Pause before the second attempt; it doubles each time, up to a minute.
    most_s : float
        Longest pause that a server may ask for (Retry-After).
    """

    stall_s: float = 30
    attempts: int = 6
    pause_s: float = 2
    most_s: float = 300


class _Retry(Exception):  # noqa: N818 - the download has not failed yet
    """An attempt failed for a reason that may pass."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class _TooSlow(_Retry):
    """Data arrived, but too slowly to finish."""


def check_url(url: str) -> str:
    """Return an address that names can be appended to.

    Parameters
    ----------
    url : str
        An address of HTTP or HTTPS.

    Returns
    -------
    str
        The address with a slash at its end.

    Raises
    ------
    DataError
        It is not such an address.

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
        raise DataError(f"{url}: not a web address; use one that starts with http:// or https://")
    return url if url.endswith("/") else f"{url}/"


def megabytes(size_bytes: int) -> int:
    """Return a size in whole megabytes, at least one, for a progress bar."""
    return max(1, round(size_bytes / 1e6))


def download(url: str, part: Path, size_bytes: int | None, patience: Patience) -> None:
    """Download a file, continuing a partial download however often the connection breaks.

    Parameters
    ----------
    url : str
        Address of the file.
    part : Path
        Partial download, to which the rest is appended.
    size_bytes : int or None
        Size of the whole file, where it is known.
    patience : Patience
        How long to wait.

    Raises
    ------
    DataError
        The server refuses, has another file or sends nothing in so many attempts, or the disk cannot be written.
    """
    pause_s, failures = patience.pause_s, 0
    with progress_bar(part.stem, total=megabytes(size_bytes or 1), unit="MB") as advance, part.open("ab") as out:
        advance(out.tell() / 1e6)
        while size_bytes is None or out.tell() < size_bytes:
            before = out.tell()
            try:
                _receive(url, out, size_bytes, advance, patience)
                return
            except (_Retry, OSError, HTTPException) as error:
                came = out.tell() > before and not isinstance(error, _TooSlow)
                failures = 0 if came else failures + 1
                pause_s = pause_s if failures else patience.pause_s
                if failures >= patience.attempts:
                    raise DataError(
                        f"{url}: no data in {failures} attempts ({first_line(error)}); the partial download is kept, "
                        f"and the same command continues it: {WAY_OUT}"
                    ) from error
                asked_s = error.wait_s if isinstance(error, _Retry) else None
                wait_s = pause_s if asked_s is None else asked_s
                log.info("%s: %s; next attempt in %.0f s", part.stem, first_line(error), wait_s)
                time.sleep(wait_s)
                pause_s = min(2 * pause_s, 60)


def _receive(url: str, out: BinaryIO, size_bytes: int | None, advance: Advance, patience: Patience) -> None:
    """Append the rest of the file; a broken connection raises `_Retry`, `OSError` or `HTTPException`."""
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
            raise _Retry("the partial download is longer than the file", 0) from error
        raise _refusal(url, error, patience) from error
    with answer:
        if have and answer.status != 206:
            log.info("%s: the server cannot continue a download; starting again", Path(out.name).stem)
            _start_over(out, advance)
        elif have and not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
            raise _Retry("the server sent another part of the file than requested")
        expected = _expected_bytes(url, answer.headers.get("Content-Length"), out.tell(), size_bytes)
        began_s, began_at = time.monotonic(), out.tell()
        while chunk := answer.read1(CHUNK_BYTES):  # A whole chunk may never arrive.
            if out.tell() + len(chunk) > (expected or MAX_BYTES):
                _start_over(out, advance)
                raise DataError(f"{url}: sends more than the expected {expected or MAX_BYTES:,} bytes; {WAY_OUT}")
            _write(out, chunk)
            advance(len(chunk) / 1e6)
            if (took_s := time.monotonic() - began_s) > patience.stall_s:
                if out.tell() - began_at < MIN_BYTES_S * took_s:
                    raise _TooSlow(f"{out.tell() - began_at:,} bytes in {took_s:.0f} s")
                began_s, began_at = time.monotonic(), out.tell()
    if expected is not None and out.tell() < expected:
        raise _Retry(f"the connection ended {expected - out.tell():,} bytes early")


def _expected_bytes(url: str, length: str | None, have: int, size_bytes: int | None) -> int | None:
    """Return the size of the whole file; a server that states another size is an error."""
    total = have + int(length) if length is not None and _is_number(length) else None
    if None not in (total, size_bytes) and total != size_bytes:
        raise DataError(
            f"{url}: expected {size_bytes:,} bytes; the server announces {total:,} bytes; it is another file, or a "
            f"page with a message: {WAY_OUT}"
        )
    return size_bytes if total is None else total


def _write(out: BinaryIO, chunk: bytes) -> None:
    try:
        out.write(chunk)
        out.flush()
    except OSError as error:
        raise DataError(
            f"{out.name}: cannot be written ({error.strerror}); free some space and run the same command again, which "
            "continues"
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
            return DataError(f"{url}: the server asks to wait {wait_s:,.0f} s (HTTP {error.code}); {WAY_OUT}")
        return _Retry(f"HTTP {error.code} {reason}", wait_s)
    return DataError(
        f"{url}: the server refused the request (HTTP {error.code} {reason}); check the address, or use another with "
        "--mirror"
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a server asks to wait, as a number or a date."""
    if value is None:
        return None
    if _is_number(value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
