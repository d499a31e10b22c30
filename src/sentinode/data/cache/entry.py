"""One entry of the cache: a memory-mapped file of uint8 pixels, the SHA-1 of every patch, and what it was made of.

An entry is a folder with ``pixels.npy``, ``sha1.npy`` and ``entry.json``. It appears whole or not at all, and two
processes that want the same one build it once.
"""

import hashlib
import logging
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
from filelock import FileLock

from sentinode.data.map_patches import CHUNK_PATCHES, ordered_map
from sentinode.data.patchset import PatchSet
from sentinode.data.types import PATCH_BYTES, PATCH_SHAPE, UInt8Array
from sentinode.errors import DataError
from sentinode.progress import progress_bar
from sentinode.storage import read_json, write_json

log = logging.getLogger("sentinode")

VERSION = 1
# Patches of an entry that are compared with their SHA-1s whenever it is opened.
COMPARED = 64


def open_entry(entry: Path, count: int) -> tuple[UInt8Array, UInt8Array, list[int]] | None:
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


def build_entry(patches: PatchSet, root: Path, key: str) -> None:
    """Decode `patches` into the entry `key`, unless another process does.

    Raises
    ------
    DataError
        A patch cannot be read and may not be skipped; the folder cannot be written or has no room.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{key}.lock"):
            if open_entry(root / key, len(patches)) is not None:
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
            for done in ordered_map(decode, range(0, count, CHUNK_PATCHES)):
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


def _read(patches: PatchSet, start: int, stop: int, bad: list[int]) -> UInt8Array:
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
