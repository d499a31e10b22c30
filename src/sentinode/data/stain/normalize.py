"""Write stain-normalized patches: a zip of images, and a table that every command reads."""

import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

from PIL import Image

from sentinode.data.io.files import is_image
from sentinode.data.io.images import decode_image
from sentinode.data.open import open_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.pixels import pixel_sha1
from sentinode.data.stain.normalizers import Macenko, Reinhard
from sentinode.data.tables import write_patch_table
from sentinode.data.types import DEFAULT_OPTIONS, UInt8Array, evenly_spaced
from sentinode.errors import ConfigError
from sentinode.output_paths import check_ending
from sentinode.progress import progress_bar
from sentinode.storage import atomic_file

METHODS: dict[str, type[Macenko] | type[Reinhard]] = {"macenko": Macenko, "reinhard": Reinhard}
TARGET_PATCHES = 64
CHUNK_PATCHES = 64


def read_target(target: str | Path, resize: str = "error", skip_bad: bool = False) -> UInt8Array:
    """Read the pixels that define the wanted stain.

    Parameters
    ----------
    target : str or Path
        An image of up to 4096 px a side, or patches in any format that `open_patches` reads, of which 64 evenly spaced
        ones are used.
    resize : {"error", "crop", "pad", "resample"}
        See `open_patches`.
    skip_bad : bool
        See `open_patches`.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3) or (n, 96, 96, 3)

    Raises
    ------
    DataError
        The target does not exist or cannot be read.

    Examples
    --------
    >>> read_target("pcam-mini").shape
    (64, 96, 96, 3)
    """
    if Path(target).is_file() and is_image(str(target)):
        return decode_image(Path(target).read_bytes(), str(target))
    patches = open_patches(target, resize=resize, skip_bad=skip_bad).readable()
    return patches.read(evenly_spaced(len(patches), TARGET_PATCHES))


def write_normalized(patches: PatchSet, normalizer: Macenko | Reinhard, out: str | Path) -> int:
    """Write patches with the stain of a normalizer's target.

    Parameters
    ----------
    patches : PatchSet
        The patches; labels, splits, slides and positions are kept.
    normalizer : Macenko or Reinhard
        A fitted normalizer.
    out : str or Path
        Table to write, a csv. A zip of the same name holds the patches as PNG; the column ``original`` holds the ids
        of the original patches.

    Returns
    -------
    int
        Number of unchanged patches: too little tissue, one color only, or already the target's stain.

    Raises
    ------
    ConfigError
        `out` does not end in ``.csv``, or the csv or the zip exists.
    DataError
        A patch cannot be read, or the normalizer is not fitted.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     unchanged = write_normalized(patches, Macenko().fit(read_target("pcam-mini")), f"{folder}/out.csv")
    ...     len(open_patches(f"{folder}/out.csv"))
    8
    """
    table, archive = output_paths(out)
    originals = patches.table["id"].tolist()
    names = [_file_name(number, original) for number, original in enumerate(originals)]
    sha1: list[str] = []
    unchanged = 0
    with (
        atomic_file(archive) as temporary,
        zipfile.ZipFile(temporary, "w") as images,
        progress_bar("normalizing", len(patches)) as advance,
    ):
        for start in range(0, len(patches), CHUNK_PATCHES):
            before = patches.read(slice(start, start + CHUNK_PATCHES))
            after = normalizer.transform(before)
            unchanged += int((before == after).all(axis=(1, 2, 3)).sum())
            for name, pixels in zip(names[start : start + CHUNK_PATCHES], after, strict=True):
                # Without a modification time, the same patches give the same bytes.
                images.writestr(zipfile.ZipInfo(name), _png(pixels))
            sha1 += pixel_sha1(after)
            advance(len(before))
    written = replace(patches, table=patches.table.assign(id=names, sha1=sha1), options=DEFAULT_OPTIONS)
    try:
        write_patch_table(written, str(archive.resolve()), table, original=originals)
    except BaseException:
        archive.unlink()
        raise
    return unchanged


def output_paths(out: str | Path) -> tuple[Path, Path]:
    """Return the table and the zip that `write_normalized` writes.

    Raises
    ------
    ConfigError
        `out` does not end in ``.csv``, or the csv or the zip exists.
    """
    table = Path(out)
    check_ending(table, ".csv")
    archive = table.with_suffix(".zip")
    for path in (table, archive):
        if path.exists():  # It may be the source of the patches, or the user's own images.
            raise ConfigError(f"{path} exists; use another name, or delete it")
    return table, archive


def _file_name(number: int, original: str) -> str:
    """Return a unique name in which the original one can be recognized."""
    return f"{number:07d}-{re.sub(r'[^A-Za-z0-9_-]', '_', PurePosixPath(original).stem)[:60]}.png"


def _png(pixels: UInt8Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
