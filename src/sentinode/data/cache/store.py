"""Store expensive results in a cache folder: decoded patches, and models exported for an inference engine.

An entry is a folder named by a hash of everything that went into it, so no entry has to be invalidated. It appears
whole or not at all, and of several processes that want the same entry one builds it while the others wait.
"""

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from sentinode.errors import DataError
from sentinode.storage import read_json, write_json

log = logging.getLogger("sentinode")

Kind = Literal["patches", "exports"]
KINDS: tuple[Kind, ...] = ("patches", "exports")
ENTRY_FILE = "entry.json"
# Folders of any other name are not ours and are never deleted.
_ENTRY_NAME = re.compile(r"[0-9a-f]{32}(\.part)?")


@dataclass(frozen=True)
class CacheEntry:
    """An entry of the cache.

    Attributes
    ----------
    kind : {"patches", "exports"}
        Decoded patches, or a model exported for an inference engine.
    path : Path
        Folder of the entry.
    source : str
        Data set or run that the entry was made from; ``"damaged"`` when its description cannot be read.
    patches : int
        Number of decoded patches; 0 for an exported model.
    size_bytes : int
        Size of all files.
    last_used : float
        Seconds since 1970.
    """

    kind: Kind
    path: Path
    source: str
    patches: int
    size_bytes: int
    last_used: float


def cache_folder(folder: str | Path | None = None) -> Path:
    """Return the cache folder: `folder`, else ``$SENTINODE_CACHE``, else the cache folder of the user.

    Parameters
    ----------
    folder : str or Path, optional
        Folder to use instead of the default.

    Returns
    -------
    Path
        The folder, which need not exist.
    """
    if folder is not None:
        return Path(folder)
    if os.environ.get("SENTINODE_CACHE"):
        return Path(os.environ["SENTINODE_CACHE"])
    from platformdirs import user_cache_path

    return user_cache_path("sentinode", appauthor=False)


def entry_path(kind: Kind, key: str, folder: str | Path | None = None) -> Path:
    """Return the folder of an entry, whether it exists or not.

    Parameters
    ----------
    kind : {"patches", "exports"}
        Kind of the entry.
    key : str
        32 hexadecimal digits: a hash of everything that the entry is made from.
    folder : str or Path, optional
        See `cache_folder`.
    """
    return cache_folder(folder) / kind / key


def build_entry(entry: Path, fill: Callable[[Path], Mapping[str, Any]], is_whole: Callable[[], bool]) -> None:
    """Build an entry, unless another process has built it meanwhile.

    Parameters
    ----------
    entry : Path
        What `entry_path` returned.
    fill : callable
        Writes all files into the empty folder that it is given, and returns the description of the entry: ``source``,
        ``patches`` (where they are patches), and anything else that JSON can hold.
    is_whole : callable
        Tells whether the entry exists and can be used.

    Raises
    ------
    DataError
        The cache cannot be written.
    """
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{entry}.lock"):
            if is_whole():
                return
            part = entry.with_name(f"{entry.name}.part")
            for stale in (part, entry):
                if stale.exists():
                    shutil.rmtree(stale)
            part.mkdir()
            try:
                write_json(part / ENTRY_FILE, fill(part))
                part.replace(entry)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
    except OSError as error:
        raise DataError(
            f"{entry.parent}: the cache cannot be written ({error.strerror or error}); use another folder with --cache "
            "or $SENTINODE_CACHE"
        ) from error


def mark_used(entry: Path) -> None:
    """Record that an entry was used now; `list_cache` sorts by it."""
    with contextlib.suppress(OSError):  # A read-only cache can be used as well.
        os.utime(entry / ENTRY_FILE)


def list_cache(folder: str | Path | None = None) -> list[CacheEntry]:
    """List the entries of the cache, the last used first.

    Parameters
    ----------
    folder : str or Path, optional
        See `cache_folder`.

    Returns
    -------
    list of CacheEntry
        Decoded patches and exported models.
    """
    entries = []
    for kind in KINDS:
        for file in cache_folder(folder).glob(f"{kind}/*/{ENTRY_FILE}"):
            with contextlib.suppress(FileNotFoundError):  # Another process has renamed or deleted it meanwhile.
                entries.append(_described(kind, file))
    return sorted(entries, key=lambda entry: -entry.last_used)


def clear_cache(folder: str | Path | None = None) -> int:
    """Delete every entry of the cache that no process is building.

    Parameters
    ----------
    folder : str or Path, optional
        See `cache_folder`. Files and folders that are not entries stay.

    Returns
    -------
    int
        Bytes that were freed.
    """
    freed = 0
    for entry in [path for kind in KINDS for path in cache_folder(folder).glob(f"{kind}/*") if path.is_dir()]:
        if not _ENTRY_NAME.fullmatch(entry.name):
            continue
        lock = FileLock(entry.with_name(f"{entry.name.removesuffix('.part')}.lock"))
        try:
            with lock.acquire(timeout=0):
                part = entry.with_name(f"{entry.name.removesuffix('.part')}.part")
                for each in dict.fromkeys((part, entry)):
                    if each.is_dir():  # Another process may have built or deleted it just now.
                        freed += _size_bytes(each)
                        # Renamed first, so that a partly deleted folder does not pass for an entry.
                        shutil.rmtree(each.replace(part))
                with contextlib.suppress(OSError):  # Windows keeps a file that is open.
                    Path(lock.lock_file).unlink()
        except Timeout:
            log.info("%s: not deleted, another process is building it", entry)
    return freed


def _described(kind: Kind, file: Path) -> CacheEntry:
    try:
        about = read_json(file)
        source, patches = str(about["source"]), int(about.get("patches", 0))
    except (DataError, AttributeError, KeyError, TypeError, ValueError):
        source, patches = "damaged", 0
    return CacheEntry(kind, file.parent, source, patches, _size_bytes(file.parent), file.stat().st_mtime)


def _size_bytes(entry: Path) -> int:
    return sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
