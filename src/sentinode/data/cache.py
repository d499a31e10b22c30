"""Patches decoded once: a memory-mapped file of uint8 pixels, and the SHA-1 of every patch.

An entry is a folder ``KEY/`` with ``pixels.npy``, ``sha1.npy`` and ``entry.json``. The key is a hash of the state of
every file that went in, so an entry never has to be invalidated. It appears whole or not at all, and two
processes that want the same one build it once.
"""

import contextlib
import hashlib
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from sentinode.data.joined import JoinedPixels
from sentinode.data.patchset import PATCH_BYTES, PATCH_SHAPE, STATED, PatchSet, Rows, Uint8
from sentinode.errors import DataError
from sentinode.progress import progress_bar
from sentinode.storage import read_json, write_json

log = logging.getLogger("sentinode")

VERSION = 1
CHUNK_PATCHES = 256
# Patches of an entry that are compared with their SHA-1s whenever it is opened.
COMPARED = 64
# Whatever has another name was not made here and is never deleted.
_NAME = re.compile(r"[0-9a-f]{32}(\.part)?")


@dataclass(frozen=True)
class MappedPixels:
    """Patches in a memory-mapped array, shape ``(n, 96, 96, 3)``, uint8."""

    mapped: Uint8
    key: str

    def read(self, rows: Rows) -> Uint8:
        """Copy `rows` out of the map."""
        return self.mapped[rows]

    def stamps(self, rows: Rows) -> list[str]:
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
    return _as_stated(replace(patches, table=table, pixels=JoinedPixels(parts), rows=back).without(reasons))


def _as_stated(patches: PatchSet) -> PatchSet:
    """Return the set without the SHA-1s that a table states, once they are compared with those of the pixels."""
    if STATED not in patches.table:
        return patches
    stated = patches.table[STATED]
    wrong = np.flatnonzero(stated.notna() & (stated != "") & (stated != patches.table["sha1"]))
    if len(wrong):
        raise DataError(
            f"{patches.path}: {len(wrong):,} patches are not those that the table was made of, the first is "
            f"{patches.table['id'].iloc[wrong[0]]!r}; make it anew, or open it with the --fit that it was made with"
        )
    return replace(patches, table=patches.table.drop(columns=STATED))


def _cached_entry(patches: PatchSet, root: Path) -> tuple[PatchSet, dict[int, str]]:
    """Return all patches, read from their entry, and the rows that could not be read, with the reasons."""
    key = _key(patches)
    entry = root / key
    opened = _open(entry, len(patches))
    if opened is None:
        _build(patches, root, key)
        opened = _open(entry, len(patches))
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


def _open(entry: Path, count: int) -> tuple[Uint8, Uint8, list[int]] | None:
    """Return pixels, SHA-1s and unreadable rows of an entry; None where it is not there, not whole, or damaged.

    A sample of the patches is compared with their SHA-1s. All of them would be seven gigabytes of a large set.
    """
    if not (entry / "entry.json").is_file():
        return None
    try:
        mapped = np.asarray(np.load(entry / "pixels.npy", mmap_mode="r", allow_pickle=False))
        sha1 = np.load(entry / "sha1.npy", allow_pickle=False)
        bad = [int(row) for row in read_json(entry / "entry.json")["bad"]]
        rows = np.linspace(0, count - 1, min(count, COMPARED), dtype=np.int64)
        sound = (
            mapped.shape == (count, *PATCH_SHAPE)
            and sha1.shape == (count, 20)
            and mapped.dtype == sha1.dtype == np.uint8
            and all(0 <= row < count for row in bad)
            and all(hashlib.sha1(mapped[row].tobytes()).digest() == sha1[row].tobytes() for row in rows)
        )
    except Exception:  # A damaged header is Python's to read, and raises a dozen kinds.
        sound = False
    if not sound:
        log.warning("%s: damaged; the patches are decoded again", entry)
        return None
    return mapped, sha1, bad


def _array_bytes(count: int) -> int:
    # NumPy pads the header of a .npy file to a multiple of 64 bytes; a shape like ours fits in 128.
    return 128 + count * PATCH_BYTES


def _build(patches: PatchSet, root: Path, key: str) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{key}.lock"):
            if _open(root / key, len(patches)) is not None:
                return  # Another process built it while we waited.
            part = root / f"{key}.part"
            for stale in (part, root / key):
                if stale.exists():
                    shutil.rmtree(stale)
            _check_room(patches, root)
            part.mkdir()
            try:
                _fill(patches, part)
                part.replace(root / key)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
    except OSError as error:
        raise DataError(
            f"{root}: the cache cannot be written ({error.strerror or error}); name another folder with --cache "
            "or $SENTINODE_CACHE"
        ) from error


def _check_room(patches: PatchSet, root: Path) -> None:
    need = _array_bytes(len(patches))
    free = shutil.disk_usage(root).free
    if need * 1.01 > free:
        raise DataError(
            f"{root}: {len(patches):,} decoded patches take {need / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are free; "
            "free some room, or name another folder with --cache or $SENTINODE_CACHE"
        )
    log.info("decoding into %s, once: %s patches, %.0f MB", root, f"{len(patches):,}", need / 1e6)


def _fill(patches: PatchSet, part: Path) -> None:
    """Decode in chunks, several at a time, each straight into its place."""
    started = time.time()
    count = len(patches)
    sha1 = np.empty((count, 20), dtype=np.uint8)
    bad: list[int] = []
    writing = threading.Lock()
    # Written, not mapped: a disk that fills up is then an error, where a mapping would kill the process.
    with (part / "pixels.npy").open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(np.empty((0, *PATCH_SHAPE), np.uint8))
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (count, *PATCH_SHAPE)})
        file.truncate(_array_bytes(count))

        def decode(start: int) -> int:
            stop = min(start + CHUNK_PATCHES, count)
            pixels = _read(patches, start, stop, bad)
            with writing:
                file.seek(_array_bytes(start))
                file.write(pixels.data)
            for row, patch in enumerate(pixels, start=start):
                sha1[row] = np.frombuffer(hashlib.sha1(patch.tobytes()).digest(), dtype=np.uint8)
            return stop - start

        with progress_bar("decoding", total=count) as advance:
            for done in _in_threads(decode, range(0, count, CHUNK_PATCHES)):
                advance(done)
        file.flush()
        os.fsync(file.fileno())
    np.save(part / "sha1.npy", sha1)
    about = {
        "source": patches.path,
        "kind": patches.kind,
        "patches": count,
        "bad": sorted(bad),
        "version": VERSION,
        "seconds": round(time.time() - started, 2),
    }
    write_json(part / "entry.json", about)


def _read(patches: PatchSet, start: int, stop: int, bad: list[int]) -> Uint8:
    """Read a chunk; where patches may be skipped, one that cannot be read is black, and its row goes to `bad`."""
    try:
        return patches.read(slice(start, stop))
    except DataError:
        if not patches.skip_bad:
            raise
    pixels = np.zeros((stop - start, *PATCH_SHAPE), dtype=np.uint8)
    for row in range(start, stop):
        try:
            pixels[row - start] = patches.read([row])[0]
        except DataError:
            bad.append(row)
    return pixels


def _in_threads(work, items) -> Iterator[int]:  # type: ignore[no-untyped-def]
    """Run `work` on all items; the first error ends it and nothing more is started."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
