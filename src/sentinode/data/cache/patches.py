"""Cache decoded patches as a memory-mapped array, with the SHA-1 of each."""

import hashlib
import logging
import os
import shutil
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sentinode.data.cache.store import build_entry, entry_path, mark_used
from sentinode.data.parallel import ordered_map
from sentinode.data.pixels import pixel_sha1
from sentinode.data.types import (
    CHUNK_PATCHES,
    PATCH_BYTES,
    PATCH_SHAPE,
    IndexArray,
    PixelReader,
    UInt8Array,
    evenly_spaced,
)
from sentinode.errors import DataError
from sentinode.output_paths import check_free_space
from sentinode.progress import progress_bar
from sentinode.storage import read_json

log = logging.getLogger("sentinode")

VERSION = 1
# Patches whose SHA-1 is verified whenever an entry is opened; all of a large set would be gigabytes.
VERIFIED_PATCHES = 64


@dataclass(frozen=True)
class MappedPixels:
    """Reader of a memory-mapped array of patches.

    Attributes
    ----------
    mapped : ndarray of uint8, shape (n, 96, 96, 3)
        The patches.
    key : str
        Key of the cache entry.
    """

    mapped: UInt8Array
    key: str

    def read(self, rows: IndexArray) -> UInt8Array:
        """Copy rows out of the array."""
        return self.mapped[rows]

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return key and row for each row."""
        return [f"{self.key} {row}" for row in rows]


@dataclass(frozen=True)
class CachedPatches:
    """Patches that are decoded in the cache.

    Attributes
    ----------
    pixels : MappedPixels
        Reader; row `i` is the `i`-th patch that was asked for.
    sha1 : list of str
        SHA-1 of the pixels of each patch, in hexadecimal digits.
    errors : dict of int to str
        Rows that cannot be read, with the error messages.
    """

    pixels: MappedPixels
    sha1: list[str]
    errors: dict[int, str]


@dataclass(frozen=True)
class PatchSource:
    """Patches to decode.

    Attributes
    ----------
    path, kind : str
        Source and its format, for the list of the cache.
    pixels : PixelReader
        Reader of the source.
    rows : ndarray of int64, shape (n,)
        Rows to decode.
    skip_bad : bool
        Whether patches that cannot be read are left out; otherwise they are an error.
    """

    path: str
    kind: str
    pixels: PixelReader
    rows: IndexArray
    skip_bad: bool

    def __len__(self) -> int:
        return len(self.rows)

    def errors_of(self, positions: list[int]) -> dict[int, str]:
        """Try to read patches one by one and return the error messages of those that cannot be read.

        Raises
        ------
        DataError
            A patch cannot be read and may not be skipped.
        """
        errors = {}
        for position in positions:
            try:
                self.pixels.read(self.rows[[position]])
            except DataError as error:
                if not self.skip_bad:
                    raise
                errors[position] = str(error)
        return errors


def cache_patches(source: PatchSource, folder: str | Path | None = None) -> CachedPatches:
    """Decode patches into the cache, unless they are there already, and open the entry.

    Parameters
    ----------
    source : PatchSource
        The patches.
    folder : str or Path, optional
        See `sentinode.data.cache.store.cache_folder`.

    Returns
    -------
    CachedPatches
        The decoded patches.

    Raises
    ------
    DataError
        A patch cannot be read and may not be skipped; the cache cannot be written; the disk has too little space.
    """
    text = "\n".join([f"sentinode cache {VERSION}", *source.pixels.stamps(source.rows)])
    key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    entry = entry_path("patches", key, folder)
    opened = _open(entry, len(source))
    if opened is None:
        build_entry(entry, partial(_fill, source), lambda: _open(entry, len(source)) is not None)
        opened = _open(entry, len(source))
    if opened is None:
        raise DataError(f"{entry}: a cache entry that was just written cannot be read back; check the disk")
    mapped, digests, unreadable = opened
    errors = source.errors_of(unreadable)
    if len(errors) < len(unreadable):  # Patches can be read by now, such as after a change of permissions.
        shutil.rmtree(entry, ignore_errors=True)
        return cache_patches(source, folder)
    mark_used(entry)
    return CachedPatches(MappedPixels(mapped, key), [digest.tobytes().hex() for digest in digests], errors)


def _open(entry: Path, count: int) -> tuple[UInt8Array, UInt8Array, list[int]] | None:
    """Return pixels, SHA-1 digests and unreadable rows; None where the entry is missing or damaged."""
    if not (entry / "entry.json").is_file():
        return None
    try:
        mapped = np.asarray(np.load(entry / "pixels.npy", mmap_mode="r", allow_pickle=False))
        sha1 = np.load(entry / "sha1.npy", allow_pickle=False)
        unreadable = [int(row) for row in read_json(entry / "entry.json")["unreadable"]]
        rows = evenly_spaced(count, VERIFIED_PATCHES)
        is_valid = (
            mapped.shape == (count, *PATCH_SHAPE)
            and sha1.shape == (count, 20)
            and mapped.dtype == sha1.dtype == np.uint8
            and all(0 <= row < count for row in unreadable)
            and pixel_sha1(mapped[rows]) == [sha1[row].tobytes().hex() for row in rows]
        )
    except Exception:  # NumPy evaluates a header as Python, and a damaged one raises a dozen kinds.
        is_valid = False
    if not is_valid:
        log.warning("%s: damaged cache entry; the patches are decoded again", entry)
        return None
    return mapped, sha1, unreadable


def _file_bytes(count: int) -> int:
    # NumPy pads the header of a .npy file to a multiple of 64 bytes; a shape like ours fits in 128.
    return 128 + count * PATCH_BYTES


def _fill(source: PatchSource, part: Path) -> dict[str, Any]:
    """Decode chunks in several threads and write each patch to its place in the file.

    Patches are decoded in the order of the source, since a compressed chunk of an HDF5 file holds many of them.
    """
    started = time.time()
    count = len(source)
    order = np.argsort(source.rows, kind="stable")
    _check_space(source, part)
    sha1 = np.empty((count, 20), dtype=np.uint8)
    unreadable: list[int] = []
    writing = threading.Lock()
    # Written, not mapped: a full disk is then an error, where a mapping would kill the process.
    with (part / "pixels.npy").open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(np.empty((0, *PATCH_SHAPE), np.uint8))
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (count, *PATCH_SHAPE)})
        file.truncate(_file_bytes(count))

        def decode(start: int) -> int:
            positions = order[start : start + CHUNK_PATCHES]
            pixels = _read(source, positions, unreadable)
            for position, patch, digest in zip(positions, pixels, pixel_sha1(pixels), strict=True):
                sha1[position] = np.frombuffer(bytes.fromhex(digest), dtype=np.uint8)
                content = patch.tobytes()
                with writing:
                    file.seek(_file_bytes(position))
                    file.write(content)
            return len(positions)

        with progress_bar("decoding", total=count) as advance:
            for decoded in ordered_map(decode, range(0, count, CHUNK_PATCHES)):
                advance(decoded)
        file.flush()
        os.fsync(file.fileno())
    np.save(part / "sha1.npy", sha1)
    return {
        "source": source.path,
        "kind": source.kind,
        "patches": count,
        "unreadable": sorted(unreadable),
        "version": VERSION,
        "duration_s": round(time.time() - started, 2),
    }


def _check_space(source: PatchSource, part: Path) -> None:
    needed = _file_bytes(len(source))
    remedy = "free some space, or use another folder with --cache or $SENTINODE_CACHE"
    check_free_space(part.parent, round(needed * 1.01), remedy)
    log.info("decoding %s patches into %s, once: %.0f MB", f"{len(source):,}", part.parent, needed / 1e6)


def _read(source: PatchSource, positions: IndexArray, unreadable: list[int]) -> UInt8Array:
    """Read patches; those that cannot be read and may be skipped are black, and their positions go to `unreadable`."""
    try:
        return source.pixels.read(source.rows[positions])
    except DataError:
        if not source.skip_bad:
            raise
    pixels = np.zeros((len(positions), *PATCH_SHAPE), dtype=np.uint8)
    for number, position in enumerate(positions):
        try:
            pixels[number] = source.pixels.read(source.rows[[position]])[0]
        except DataError:
            unreadable.append(int(position))
    return pixels
