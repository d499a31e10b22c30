"""Open patches of any form."""

import glob
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from sentinode.data.concat import concat
from sentinode.data.io.files import Files, FolderFiles, ListedFiles, is_image
from sentinode.data.io.images import check_resize
from sentinode.data.io.zips import ZipFiles
from sentinode.data.patchset import PatchSet
from sentinode.data.sources import SOURCES, images
from sentinode.data.sources.table import open_table
from sentinode.data.tables import is_patch_table, open_patch_table
from sentinode.data.types import ReadOptions
from sentinode.errors import DataError
from sentinode.samples import SAMPLES, sample_path

# Endings of files that are a source by themselves.
SINGLE_FILE_ENDINGS = (".h5", ".h5.gz", ".npy", ".npz", ".csv")

log = logging.getLogger("sentinode")


def open_patches(
    path: str | Path | Sequence[str | Path],
    split: str | None = None,
    *,
    resize: str = "error",
    table: str | Path | None = None,
    skip_bad: bool = False,
) -> PatchSet:
    """Open patches of any form; pixels are decoded later, when they are read.

    Parameters
    ----------
    path : str, Path or sequence of these
        A folder, a zip, an HDF5 file, a ``.npy`` or ``.npz`` file, a csv that names images, a patch table, an image, a
        pattern such as ``"slides/*.png"``, a list of images, or the sample ``"pcam-mini"``. The form is recognized; the
        forms are tried in the order of `sentinode.data.sources.SOURCES`.
    split : str, optional
        Keep one split only, such as ``"train"``.
    resize : {"error", "crop", "resample"}, default="error"
        Treatment of images that are not 96 × 96 px: raise an error, crop the center, or resample.
    table : str or Path, optional
        A csv with metadata of the images in `path`; it replaces what their folders say.
    skip_bad : bool, default=False
        Leave out patches that cannot be used, now and when pixels are read, and list them in ``skipped``. Otherwise the
        first such patch is an error.

    Returns
    -------
    PatchSet
        The patches; ``print`` shows what was recognized.

    Raises
    ------
    DataError
        There is nothing at `path`, no form is recognized, or labels and files contradict each other.
    ConfigError
        `resize` is not one of its values.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> open_patches("pcam-mini", split="test")
    <PatchSet pcam-mini: class folders in a zip; ... patches (test ... normal + ... tumour)>
    """
    options = ReadOptions(resize=check_resize(resize))
    if isinstance(path, str | Path) and table is None and is_patch_table(path):
        patches = open_patch_table(path, partial(open_patches, resize=resize, skip_bad=skip_bad))
    else:
        files = _files(path)
        patches = _recognize(files, options) if table is None else open_table(files, table, options)
        patches = replace(patches, listed=isinstance(files, ListedFiles) and patches.kind.startswith("images"))
        for note in patches.notes:
            log.warning("%s: %s", patches.path, note)
    if patches.skipped and not skip_bad:
        raise DataError(f"{patches.skipped[0].reason}; --skip-bad leaves out what cannot be used")
    if len(patches) == 0:
        reason = patches.skipped[0].reason if patches.skipped else "it is empty"
        raise DataError(f"{patches.path}: no patches; {reason}")
    if options.resize != "error":
        patches = replace(patches, kind=f"{patches.kind} (other sizes: {options.resize})")
    patches = replace(patches, skip_bad=skip_bad, options=options)
    return patches if split is None else patches.split(split)


def _recognize(files: Files, options: ReadOptions) -> PatchSet:
    # The folders of images that were listed one by one say nothing: they may be called "cancer" for another reason.
    listed = isinstance(files, ListedFiles) and is_image(files.names[0])
    for open_source in (images.open_source,) if listed else [opening for _, opening in SOURCES]:
        patches = open_source(files, options)
        if patches is not None:
            return patches
    known = "; ".join(form for form, _ in SOURCES)
    raise DataError(f"{files.where}: no patches recognized among {len(files.names):,} files; known forms: {known}")


def open_sources(paths: Sequence[str | Path], *, resize: str = "error", skip_bad: bool = False) -> PatchSet:
    """Open several sources as one set.

    Parameters
    ----------
    paths : sequence of str or Path
        One or more of what `open_patches` takes. Images listed one by one or by patterns keep their paths as ids; ids
        of several other sources are prefixed with the source.
    resize, skip_bad
        See `open_patches`.

    Returns
    -------
    PatchSet
        The patches of all sources.

    Raises
    ------
    DataError
        See `open_patches`.
    """
    parts = open_each(paths, resize=resize, skip_bad=skip_bad)
    return parts[0] if len(parts) == 1 else concat(parts)


def open_each(paths: Sequence[str | Path], *, resize: str = "error", skip_bad: bool = False) -> list[PatchSet]:
    """Open several sources as one set each; images listed one by one or by patterns make one set.

    Parameters
    ----------
    paths, resize, skip_bad
        See `open_sources`.

    Returns
    -------
    list of PatchSet
        One set per source.

    Raises
    ------
    DataError
        See `open_patches`.
    """
    open_one = partial(open_patches, resize=resize, skip_bad=skip_bad)
    if len(paths) <= 1:
        return [open_one(paths[0] if paths else paths)]
    listed: list[str | Path] = []
    parts: list[PatchSet] = []
    position = 0  # Of the set of listed images.
    for path in paths:
        position = position if listed else len(parts)
        if _is_pattern(path):
            listed += _matches(path)
        elif is_image(str(path)) and Path(path).is_file():
            listed.append(path)
        else:
            parts.append(open_one(path))
    if listed:
        parts.insert(position, open_one(listed))
    return parts


def _files(path: str | Path | Sequence[str | Path]) -> Files:
    if not isinstance(path, str | Path):
        return _listed([Path(each) for each in path])
    if str(path) in SAMPLES:
        return ZipFiles(sample_path(str(path)), where=str(path))
    location = Path(path)
    if location.is_dir():
        return FolderFiles(location)
    if location.is_file():
        return ZipFiles(location) if location.suffix.lower() == ".zip" else _listed([location])
    if _is_pattern(path):
        return _listed(_matches(path))
    raise DataError(f"{path}: there is no such file or folder (samples of the package: {', '.join(SAMPLES)})")


def _is_pattern(path: str | Path) -> bool:
    return glob.has_magic(str(path)) and not Path(path).exists()


def _matches(pattern: str | Path) -> list[Path]:
    found = sorted(Path(each) for each in glob.glob(str(pattern), recursive=True))  # noqa: PTH207
    if not found:
        raise DataError(f"{pattern}: no file matches this pattern")
    return found


def _listed(paths: list[Path]) -> Files:
    if not paths:
        raise DataError("the list of files is empty; give one file or more")
    seen: set[str] = set()
    for each in paths:
        if os.path.realpath(each) in seen:
            raise DataError(f"{each} is listed twice; list each file once")
        seen.add(os.path.realpath(each))
        if each.is_dir():
            raise DataError(f"{each}: a folder in a list of files; give it alone, or use a pattern of images")
        if not each.is_file():
            raise DataError(f"{each}: there is no such file")
        if not is_image(each.name) and not (len(paths) == 1 and each.name.lower().endswith(SINGLE_FILE_ENDINGS)):
            raise DataError(f"{each}: not a folder, zip, jpg, png, tif, or any of {', '.join(SINGLE_FILE_ENDINGS)}")
    return ListedFiles(paths)
