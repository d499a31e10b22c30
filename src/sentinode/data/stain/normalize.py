"""Patches written anew with the stain of a target: a zip of images, and a table that every command reads as DATA."""

import hashlib
import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from sentinode.data.io.files import is_image
from sentinode.data.io.images import decode_image
from sentinode.data.open import open_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.stain.normalizers import Macenko, Reinhard
from sentinode.data.tables import write_patch_table
from sentinode.data.types import UInt8Array
from sentinode.errors import ConfigError
from sentinode.progress import progress_bar
from sentinode.storage import atomic_file

METHODS = {"macenko": Macenko, "reinhard": Reinhard}
TARGET_PATCHES = 64
BATCH = 64


def read_target(like: str | Path, resize: str = "error", skip_bad: bool = False) -> UInt8Array:
    """Return the pixels whose stain is to be reached.

    Parameters
    ----------
    like
        An image of any size up to 4096 px a side; or patches, as `open_patches` takes them, of which 64 are taken,
        evenly over all of them.
    resize, skip_bad
        Of patches; see `open_patches`.

    Returns
    -------
    numpy.ndarray
        uint8, ``(h, w, 3)`` or ``(n, 96, 96, 3)``.

    Raises
    ------
    DataError
        Nothing is there, or it cannot be read.

    Examples
    --------
    >>> read_target("pcam-mini").shape
    (64, 96, 96, 3)
    """
    if Path(like).is_file() and is_image(str(like)):
        return decode_image(Path(like).read_bytes(), str(like))
    patches = open_patches(like, resize=resize, skip_bad=skip_bad).readable()
    return patches.read(np.linspace(0, len(patches) - 1, min(TARGET_PATCHES, len(patches))).astype(np.int64))


def write_normalized(patches: PatchSet, normalizer: Macenko | Reinhard, out: str | Path) -> int:
    """Write patches with the stain of a normaliser's target.

    Parameters
    ----------
    patches
        What to write; labels, splits, slides and positions are kept.
    normaliser
        Fitted to its target.
    out
        The table to write, a csv. The patches lie beside it as png in a zip of the same name; the column ``original``
        has the ids that they came from.

    Returns
    -------
    int
        How many patches came out as they were: with too little tissue to measure, of a single colour, or with the
        target's stain already.

    Raises
    ------
    ConfigError
        `out` is not called ``….csv``, or it or the zip is there already.
    DataError
        A patch cannot be read, or the normaliser has no target.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     unchanged = write_normalized(patches, Macenko().fit(read_target("pcam-mini")), f"{folder}/alike.csv")
    ...     len(open_patches(f"{folder}/alike.csv"))
    8
    """
    table, archive = names_to_write(out)
    originals = patches.table["id"].tolist()
    names = [_name(number, original) for number, original in enumerate(originals)]
    sha1, unchanged = [], 0
    with (
        atomic_file(archive) as beside,
        zipfile.ZipFile(beside, "w") as images,
        progress_bar("normalising", len(patches)) as advance,
    ):
        for start in range(0, len(patches), BATCH):
            rows = range(start, min(start + BATCH, len(patches)))
            before = patches.read(rows)
            after = normalizer.transform(before)
            unchanged += int((before == after).all(axis=(1, 2, 3)).sum())
            for row, pixels in zip(rows, after, strict=True):
                # A name without the time of writing: the same patches give the same bytes.
                images.writestr(zipfile.ZipInfo(names[row]), _png(pixels))
                sha1.append(hashlib.sha1(pixels.tobytes()).hexdigest())
            advance(len(rows))
    written = replace(patches, table=patches.table.assign(id=names, sha1=sha1))
    try:
        write_patch_table(written, str(archive.resolve()), table, original=originals)
    except BaseException:
        archive.unlink()
        raise
    return unchanged


def names_to_write(out: str | Path) -> tuple[Path, Path]:
    """Return the table and the zip that `write_normalized` writes.

    Raises
    ------
    ConfigError
        `out` is not called ``….csv``, or one of them is there already.
    """
    table = Path(out)
    if table.suffix.lower() != ".csv":
        raise ConfigError(f"{out}: a table is written; give the name the ending .csv")
    archive = table.with_suffix(".zip")
    for there in (table, archive):
        if there.exists():  # It may be what the patches are read from, or the user's own images.
            raise ConfigError(f"{there} is there already; name another table to write, or delete it")
    return table, archive


def _name(number: int, original: str) -> str:
    """Return a name that no other patch has, and in which the original's can be recognised."""
    return f"{number:07d}-{re.sub(r'[^A-Za-z0-9_-]', '_', PurePosixPath(original).stem)[:60]}.png"


def _png(pixels: UInt8Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
