"""Patches decoded once, in entries whose names are a hash of the state of every file that went in.

So an entry never has to be invalidated: of files that have changed, another one is made.
"""

import contextlib
import hashlib
import logging
import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from sentinode.data.cache.entry import VERSION, build_entry, open_entry
from sentinode.data.concat import ConcatPixels
from sentinode.data.patchset import PatchSet
from sentinode.data.types import EXPECTED_SHA1, IndexArray, UInt8Array
from sentinode.errors import DataError
from sentinode.storage import read_json

log = logging.getLogger("sentinode")

# Whatever has another name was not made here and is never deleted.
_NAME = re.compile(r"[0-9a-f]{32}(\.part)?")


@dataclass(frozen=True)
class MappedPixels:
    """Patches in a memory-mapped array, shape ``(n, 96, 96, 3)``, uint8."""

    mapped: UInt8Array
    key: str

    def read(self, rows: IndexArray) -> UInt8Array:
        """Copy `rows` out of the map."""
        return self.mapped[rows]

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return the entry's key and the row for each."""
        return [f"{self.key} {row}" for row in rows]


@dataclass(frozen=True)
class CacheEntry:
    """What `list_cache` says of one entry."""

    key: str
    source: str
    patches: int
    size_bytes: int
    last_used: float


def cache_folder(folder: str | Path | None = None) -> Path:
    """Return where caches live: `folder`, else ``$SENTINODE_CACHE``, else the user's cache folder."""
    if folder is not None:
        return Path(folder)
    if os.environ.get("SENTINODE_CACHE"):
        return Path(os.environ["SENTINODE_CACHE"])
    from platformdirs import user_cache_path

    return user_cache_path("sentinode", appauthor=False) / "patches"


def cached(patches: PatchSet, folder: str | Path | None = None) -> PatchSet:
    """Return `patches` read from the cache; `PatchSet.cached` says the rest.

    Each split is an entry of its own, so that looking at all of them and training on one decode nothing twice.
    """
    if "sha1" in patches.table:
        return patches
    if len(patches) == 0:
        raise DataError(f"{patches.path}: no patches to decode")
    splits, _ = pd.factorize(patches.table["split"], use_na_sentinel=False)
    order = [np.flatnonzero(splits == number) for number in range(splits.max() + 1)]
    entries = [_cached_entry(patches.select(rows), cache_folder(folder)) for rows in order]
    reasons = {int(rows[row]): why for rows, (_, bad) in zip(order, entries, strict=True) for row, why in bad.items()}
    parts = tuple(part for part, _ in entries)
    if len(parts) == 1:
        return _as_stated(parts[0].without(reasons))
    back = np.argsort(np.concatenate(order), kind="stable")
    table = pd.concat([part.table for part in parts], ignore_index=True).iloc[back].reset_index(drop=True)
    return _as_stated(replace(patches, table=table, pixels=ConcatPixels(parts), rows=back).without(reasons))


def _as_stated(patches: PatchSet) -> PatchSet:
    """Return the set without the SHA-1s that a table states, once they are compared with those of the pixels."""
    if EXPECTED_SHA1 not in patches.table:
        return patches
    stated = patches.table[EXPECTED_SHA1]
    wrong = np.flatnonzero(stated.notna() & (stated != "") & (stated != patches.table["sha1"]))
    if len(wrong):
        raise DataError(
            f"{patches.path}: {len(wrong):,} patches are not those that the table was made of, the first is "
            f"{patches.table['id'].iloc[wrong[0]]!r}; make it anew, or open it with the --resize that it was made with"
        )
    return replace(patches, table=patches.table.drop(columns=EXPECTED_SHA1))


def _cached_entry(patches: PatchSet, root: Path) -> tuple[PatchSet, dict[int, str]]:
    """Return all patches, read from their entry, and the rows that could not be read, with the reasons."""
    key = _key(patches)
    entry = root / key
    opened = open_entry(entry, len(patches))
    if opened is None:
        build_entry(patches, root, key)
        opened = open_entry(entry, len(patches))
    if opened is None:
        raise DataError(f"{entry}: what was written there a moment ago reads as something else; is the disk sound?")
    mapped, digests, unreadable = opened
    bad = _still_bad(patches, unreadable)
    if bad is None:  # What could not be read before can be now, such as after a change of rights.
        shutil.rmtree(entry, ignore_errors=True)
        return _cached_entry(patches, root)
    with contextlib.suppress(OSError):  # A cache that is only read still serves.
        os.utime(entry / "entry.json")
    sha1 = [digest.tobytes().hex() for digest in digests]
    table = patches.table.assign(sha1=np.asarray(sha1, dtype=object)).astype({"sha1": "str"})
    return replace(patches, table=table, pixels=MappedPixels(mapped, key), rows=np.arange(len(patches))), bad


def _still_bad(patches: PatchSet, unreadable: list[int]) -> dict[int, str] | None:
    """Return the rows that could not be read when the entry was built, None when one can be read by now.

    Raises
    ------
    DataError
        There are some, and `patches` does not allow to skip them.
    """
    reasons = {}
    for row in unreadable:
        try:
            patches.read([row])
        except DataError as error:
            if not patches.skip_bad:
                raise
            reasons[row] = str(error)
        else:
            return None
    return reasons


def list_cache(folder: str | Path | None = None) -> list[CacheEntry]:
    """Return the entries of the cache, the last used first."""
    entries = []
    for file in cache_folder(folder).glob("*/entry.json"):
        size = sum(part.stat().st_size for part in file.parent.iterdir())
        try:
            about = read_json(file)
            source, count = str(about["source"]), int(about["patches"])
        except (DataError, KeyError, TypeError, ValueError):
            source, count = "damaged", 0
        entries.append(CacheEntry(file.parent.name, source, count, size, last_used=file.stat().st_mtime))
    return sorted(entries, key=lambda entry: -entry.last_used)


def clear_cache(folder: str | Path | None = None) -> int:
    """Delete every entry that nobody is building; return how many bytes were freed."""
    root = cache_folder(folder)
    freed = 0
    for place in [path for path in root.glob("*") if _NAME.fullmatch(path.name) and path.is_dir()]:
        lock = FileLock(root / f"{place.name.removesuffix('.part')}.lock")
        try:
            with lock.acquire(timeout=0):
                freed += sum(part.stat().st_size for part in place.iterdir())
                shutil.rmtree(place)
                with contextlib.suppress(OSError):  # Windows keeps a file that is open.
                    Path(lock.lock_file).unlink()
        except Timeout:
            log.info("left alone, another process is building it: %s", place)
            continue
    return freed


def _key(patches: PatchSet) -> str:
    text = "\n".join([f"sentinode cache {VERSION}", *patches.pixels.stamps(patches.rows)])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
