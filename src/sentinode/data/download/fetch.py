"""Download files, verify and unpack them; a file has its final name only when it is correct."""

import contextlib
import gzip
import hashlib
import logging
import zlib
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from sentinode.data.download.catalogue import RemoteFile
from sentinode.data.download.http import CHUNK_BYTES, WAY_OUT, Patience, check_url, download, megabytes
from sentinode.errors import DataError, first_line
from sentinode.output_paths import check_free_space
from sentinode.progress import progress_bar
from sentinode.storage import TEMPORARY_PREFIX, atomic_file

log = logging.getLogger("sentinode")

PART = ".part"


def fetch(files: Sequence[RemoteFile], url: str, out: str | Path, patience: Patience | None = None) -> list[Path]:
    """Download files into a folder; each appears whole and verified, or not at all.

    Correct files that exist are kept. A download that was interrupted is kept as ``NAME.part`` and continued.

    Parameters
    ----------
    files : sequence of RemoteFile
        The files, such as those of `sentinode.data.download.catalogue.PCAM`.
    url : str
        Address that names are appended to.
    out : str or Path
        The folder, which is created if needed.
    patience : Patience, optional
        How long to wait for a server that is silent, busy or broken.

    Returns
    -------
    list of Path
        The files, unpacked.

    Raises
    ------
    DataError
        The disk has too little space, the server refuses or does not answer, a checksum is wrong, another file has
        that name, or another process downloads into the folder.
    """
    folder = Path(out)
    base = check_url(url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be created ({error.strerror}); use another with --out") from error
    lock = FileLock(folder / f"{TEMPORARY_PREFIX}fetch.lock")
    try:
        with lock.acquire(timeout=0):
            missing = [file for file in files if not _is_there(file, folder)]
            for file in set(files) - set(missing):  # Left if it was killed between its last two steps.
                (folder / f"{file.name}{PART}").unlink(missing_ok=True)
            _check_space(missing, folder)
            for file in missing:
                for stale in folder.glob(f"{TEMPORARY_PREFIX}{file.final_name[:40]}-*"):
                    stale.unlink()  # Left by a process that was killed while it unpacked.
                _fetch_one(file, base, folder, patience or Patience())
            with contextlib.suppress(OSError):
                Path(lock.lock_file).unlink()
    except Timeout as error:
        raise DataError(
            f"{folder}: another process is downloading into this folder; wait for it, or use another folder"
        ) from error
    return [folder / file.final_name for file in files]


def _is_there(file: RemoteFile, folder: Path) -> bool:
    """Tell whether the file exists; a different file of its name is an error."""
    final = folder / file.final_name
    if not final.exists():
        return False
    expected = file.unpacked_md5 or file.md5
    found = _md5(final)
    if found != expected:
        raise DataError(
            f"{final}: exists, but differs from the official file (md5 {found}, expected {expected}); "
            "move it away and run the same command again"
        )
    log.info("%s: exists and is correct", final)
    return True


def _check_space(files: Sequence[RemoteFile], folder: Path) -> None:
    """Check that the files fit, with the packed one that is unpacked at the time."""
    kept, most = 0, 0
    for file in files:
        part = folder / f"{file.name}{PART}"
        begun = part.stat().st_size if part.exists() else 0
        packed = max((file.size_bytes or 0) - begun, 0)
        unpacked = file.unpacked_bytes if file.name != file.final_name else 0
        most = max(most, kept + packed + unpacked)
        # The packed file is deleted once it is unpacked.
        kept += unpacked - begun if unpacked else packed
    remedy = "free some space, use another folder with --out, or download fewer splits"
    check_free_space(folder, most, remedy)


def _fetch_one(file: RemoteFile, base: str, folder: Path, patience: Patience) -> None:
    part = folder / f"{file.name}{PART}"
    for is_last in (False, True):
        resumed = part.exists() and part.stat().st_size > 0
        download(f"{base}{file.name}", part, file.size_bytes, patience)
        digest = _md5(part)
        if digest == file.md5:
            break
        part.unlink()
        # A part from elsewhere, or damaged on disk, is discarded once.
        if is_last or not resumed:
            raise DataError(
                f"{base}{file.name}: the download differs from the official file (md5 {digest}, expected "
                f"{file.md5}) and was deleted; {WAY_OUT}"
            )
        log.warning("%s: the partial download does not fit the rest; starting again", file.name)
    if file.name == file.final_name:
        part.replace(folder / file.name)
    else:
        _unpack(file, part, folder / file.final_name)
        part.unlink()
    log.info("%s: verified", folder / file.final_name)


def _unpack(file: RemoteFile, part: Path, final: Path) -> None:
    most = file.unpacked_bytes * 11 // 10 + (1 << 20)
    digest, size = hashlib.md5(usedforsecurity=False), 0
    with atomic_file(final) as temporary:
        with (
            progress_bar(f"unpacking {final.name}", total=megabytes(file.unpacked_bytes), unit="MB") as advance,
            gzip.open(part) as packed,
            temporary.open("wb") as out,
        ):
            try:
                while chunk := packed.read(CHUNK_BYTES * 4):
                    size += len(chunk)
                    if size > most:
                        raise DataError(
                            f"{part}: unpacks to more than {most:,} bytes, so it is not the official file; delete it"
                        )
                    out.write(chunk)
                    digest.update(chunk)
                    advance(len(chunk) / 1e6)
            except OSError as error:
                if isinstance(error, gzip.BadGzipFile):
                    raise _not_whole(part, error) from error
                raise DataError(
                    f"{final}: cannot be written ({error.strerror}); free some space and run the same command again"
                ) from error
            except (EOFError, zlib.error) as error:
                raise _not_whole(part, error) from error
        if file.unpacked_md5 and digest.hexdigest() != file.unpacked_md5:
            raise DataError(
                f"{part}: the unpacked file is wrong (md5 {digest.hexdigest()}, expected "
                f"{file.unpacked_md5}); delete it"
            )


def _not_whole(part: Path, error: Exception) -> DataError:
    return DataError(f"{part}: not a complete gzip file ({first_line(error)}); delete it and download it again")


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    total = megabytes(path.stat().st_size)
    with progress_bar(f"checking {path.name}", total=total, unit="MB") as advance, path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES * 4):
            digest.update(chunk)
            advance(len(chunk) / 1e6)
    return digest.hexdigest()
