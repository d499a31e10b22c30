"""Official files: fetched, verified, unpacked, and under their final names only when they are right."""

import contextlib
import gzip
import hashlib
import logging
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from sentinode.data.download.catalogue import RemoteFile
from sentinode.data.download.http import CHUNK_BYTES, WAY_OUT, Patience, check_url, download, megabytes
from sentinode.errors import DataError, first_line
from sentinode.progress import progress_bar
from sentinode.storage import TEMPORARY_PREFIX, atomic_file

log = logging.getLogger("sentinode")

PART = ".part"


def fetch(files: Sequence[RemoteFile], url: str, out: str | Path, patience: Patience | None = None) -> list[Path]:
    """Get files into a folder, each whole and verified or not at all.

    What is there already and right is left alone. What was begun is kept as ``NAME.part`` and goes on where it ended.

    Parameters
    ----------
    files
        What to get, such as those of `sentinode.data.download.catalogue.PCAM`.
    url
        Where they are: names are added to it.
    out
        The folder; made when missing.
    patience
        How long to wait for a server that is silent, busy or broken.

    Returns
    -------
    list of Path
        The files, unpacked.

    Raises
    ------
    DataError
        Too little room, a server that refuses or gives up, a checksum that is not right, a file of that name that is
        another one, a second process that fetches into the same folder.
    """
    folder = Path(out)
    base = check_url(url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: no folder can be made there ({error.strerror}); name another with --out") from error
    lock = FileLock(folder / f"{TEMPORARY_PREFIX}fetch.lock")
    try:
        with lock.acquire(timeout=0):
            missing = [file for file in files if not _is_there(file, folder)]
            _check_room(missing, folder)
            for file in missing:
                for stale in folder.glob(f"{TEMPORARY_PREFIX}{file.final_name[:40]}-*"):
                    stale.unlink()  # Of a process that was killed while it unpacked.
                _fetch_one(file, base, folder, patience or Patience())
            with contextlib.suppress(OSError):
                Path(lock.lock_file).unlink()
    except Timeout as error:
        raise DataError(
            f"{folder}: another process is fetching into it; wait for it, or name another folder"
        ) from error
    return [folder / file.final_name for file in files]


def _is_there(file: RemoteFile, folder: Path) -> bool:
    """Say whether a file is there already; refuse one of its name that is another."""
    final = folder / file.final_name
    if not final.exists():
        return False
    expected = file.unpacked_md5 or file.md5
    found = _md5(final)
    if found != expected:
        raise DataError(
            f"{final}: is there, but is not the official file (md5 {found}, where {expected} is expected); "
            "move it away, and the same command fetches it"
        )
    log.info("%s: there already, and right", final)
    return True


def _check_room(files: Sequence[RemoteFile], folder: Path) -> None:
    """Refuse before the first byte when the files, and the packed one of the moment, do not fit."""
    kept, most = 0, 0
    for file in files:
        part = folder / f"{file.name}{PART}"
        begun = part.stat().st_size if part.exists() else 0
        packed = max((file.size_bytes or 0) - begun, 0)
        unpacked = file.unpacked_bytes if file.name != file.final_name else 0
        most = max(most, kept + packed + unpacked)
        # Once unpacked, what had been begun is free again.
        kept += unpacked - begun if unpacked else packed
    free = shutil.disk_usage(folder).free
    if most > free:
        raise DataError(
            f"{folder}: the files need {most / 1e6:,.0f} MB at most at a time and {free / 1e6:,.0f} MB are free; "
            "free some room, name another folder with --out, or fetch fewer splits"
        )


def _fetch_one(file: RemoteFile, base: str, folder: Path, patience: Patience) -> None:
    part = folder / f"{file.name}{PART}"
    for is_last in (False, True):
        resumed = part.exists() and part.stat().st_size > 0
        download(f"{base}{file.name}", part, file.size_bytes, patience)
        digest = _md5(part)
        if digest == file.md5:
            break
        part.unlink()
        # A part that was begun elsewhere, or damaged on the disk, is no reason to give up.
        if is_last or not resumed:
            raise DataError(
                f"{base}{file.name}: what came is not the official file (md5 {digest}, where {file.md5} is expected) "
                f"and was deleted; {WAY_OUT}"
            )
        log.warning("%s: the part that was there does not fit the rest; it is fetched from the beginning", file.name)
    if file.name == file.final_name:
        part.replace(folder / file.name)
    else:
        _unpack(file, part, folder / file.final_name)
        part.unlink()
    log.info("%s: verified", folder / file.final_name)


def _unpack(file: RemoteFile, part: Path, final: Path) -> None:
    most = file.unpacked_bytes * 11 // 10 + (1 << 20)
    digest, size = hashlib.md5(usedforsecurity=False), 0
    with atomic_file(final) as beside:
        with (
            progress_bar(f"unpacking {final.name}", total=megabytes(file.unpacked_bytes), unit="MB") as advance,
            gzip.open(part) as packed,
            beside.open("wb") as out,
        ):
            try:
                while chunk := packed.read(CHUNK_BYTES * 4):
                    size += len(chunk)
                    if size > most:
                        raise DataError(
                            f"{part}: inflates beyond {most:,} bytes, so it is not what it should be; delete it"
                        )
                    out.write(chunk)
                    digest.update(chunk)
                    advance(len(chunk) / 1e6)
            except OSError as error:
                if isinstance(error, gzip.BadGzipFile):
                    raise _not_whole(part, error) from error
                raise DataError(
                    f"{final}: cannot be written ({error.strerror}); free some room, and the same command goes on"
                ) from error
            except (EOFError, zlib.error) as error:
                raise _not_whole(part, error) from error
        if file.unpacked_md5 and digest.hexdigest() != file.unpacked_md5:
            raise DataError(
                f"{part}: unpacks to another file (md5 {digest.hexdigest()}, where {file.unpacked_md5} is expected); "
                "delete it"
            )


def _not_whole(part: Path, error: Exception) -> DataError:
    return DataError(f"{part}: not a whole gzip file ({first_line(error)}); delete it and fetch again")


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    total = megabytes(path.stat().st_size)
    with progress_bar(f"checking {path.name}", total=total, unit="MB") as advance, path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES * 4):
            digest.update(chunk)
            advance(len(chunk) / 1e6)
    return digest.hexdigest()
