"""One call for any source of patches."""

import glob
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sentinode.data.concat import concat
from sentinode.data.io.files import Files, FolderFiles, ListedFiles, is_image
from sentinode.data.io.images import Resize, check_resize
from sentinode.data.io.zips import ZipFiles
from sentinode.data.patchset import PatchSet
from sentinode.data.sources import SOURCES, images
from sentinode.data.sources.table import open_table
from sentinode.data.tables import is_patch_table, open_patch_table
from sentinode.errors import DataError
from sentinode.samples import SAMPLES, sample_path

# Files that are a source by themselves.
ALONE = (".h5", ".h5.gz", ".npy", ".npz", ".csv")

log = logging.getLogger("sentinode")

Path_ = str | Path


def open_patches(
    path: Path_ | Sequence[Path_],
    split: str | None = None,
    *,
    resize: str = "error",
    table: Path_ | None = None,
    skip_bad: bool = False,
) -> PatchSet:
    """Open patches of any form; nothing is decoded yet.

    Parameters
    ----------
    path
        A folder, a zip, an HDF5 file, NumPy's ``.npy`` or ``.npz``, a csv that names images, a table that ``sentinode
        data split`` or ``data join`` wrote, an image, a glob such as ``"slides/*.png"``, a list of images, or the name
        of a sample that ships with the package: ``"pcam-mini"``. What it holds is recognised in the order of `SOURCES`.
    split
        Keep one split only, such as ``"train"``.
    resize
        What to do with images that are not 96 × 96 px: ``"error"``, ``"crop"`` (the centre) or ``"resample"``.
    table
        A csv that names the images of `path` and says what is known of them, in place of the layout.
    skip_bad
        Leave out what cannot be used, now and when pixels are read, and remember it in ``skipped``; when false the
        first such patch is refused.

    Returns
    -------
    PatchSet
        ``print`` it to see what was recognised.

    Raises
    ------
    DataError
        Nothing there, nothing recognised, or labels and files that do not belong together.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> open_patches("pcam-mini", split="test")
    <PatchSet pcam-mini: class folders in a zip; ... patches (test ... normal + ... tumour)>
    """
    fitting = check_resize(resize)
    patches = _opened(path, fitting, table, skip_bad)
    for note in patches.notes:
        log.warning("%s: %s", patches.path, note)
    if patches.skipped and not skip_bad:
        raise DataError(f"{patches.skipped[0].reason}; --skip-bad goes on without")
    if len(patches) == 0:
        raise DataError(
            f"{patches.path}: no patches; {patches.skipped[0].reason if patches.skipped else 'it is empty'}"
        )
    if fitting != "error":
        patches = replace(patches, kind=f"{patches.kind} (other sizes: {fitting})")
    patches = replace(patches, skip_bad=skip_bad)
    return patches if split is None else patches.split(split)


def _opened(path: Path_ | Sequence[Path_], resize: Resize, table: Path_ | None, skip_bad: bool) -> PatchSet:
    if isinstance(path, str | Path) and table is None and is_patch_table(path):
        return open_patch_table(path, resize, skip_bad)
    files = _files(path)
    return _recognise(files, resize) if table is None else open_table(files, table, resize)


def _recognise(files: Files, resize: Resize) -> PatchSet:
    # Of files that were named one by one, the folders above say nothing: they may be called "cancer" for all we know.
    listed = isinstance(files, ListedFiles) and is_image(files.names[0])
    for open_source in (images.open_source,) if listed else [opening for _, opening in SOURCES]:
        patches = open_source(files, resize)
        if patches is not None:
            return patches
    known = "; ".join(form for form, _ in SOURCES)
    raise DataError(f"{files.where}: no patches recognised among {len(files.names):,} files; known forms: {known}")


def open_sources(paths: Sequence[Path_], *, resize: str = "error", skip_bad: bool = False) -> PatchSet:
    """Open several sources as one set.

    Parameters
    ----------
    paths
        What `open_patches` takes, one or more. Images named one by one or by patterns keep their names as ids and
        stand together; of several other sources each id starts with its source.
    resize, skip_bad
        See `open_patches`.

    Raises
    ------
    DataError
        See `open_patches`.
    """
    parts = open_each(paths, resize=resize, skip_bad=skip_bad)
    return parts[0] if len(parts) == 1 else concat(parts)


def open_each(paths: Sequence[Path_], *, resize: str = "error", skip_bad: bool = False) -> list[PatchSet]:
    """Open several sources as a set each; images named one by one or by patterns are one set.

    Raises
    ------
    DataError
        See `open_patches`.
    """
    if not paths:
        return [open_patches(paths, resize=resize, skip_bad=skip_bad)]  # Refused there.
    listed: list[Path_] = []
    parts: list[PatchSet] = []
    place = 0  # Of the images that were named one by one.
    for path in paths:
        place = place if listed else len(parts)
        if len(paths) > 1 and _is_pattern(path):
            listed += _matching(path)
        elif is_image(str(path)) and Path(path).is_file():
            listed.append(path)
        else:
            parts.append(open_patches(path, resize=resize, skip_bad=skip_bad))
    if listed:
        parts.insert(place, open_patches(listed, resize=resize, skip_bad=skip_bad))
    return parts


def _files(path: Path_ | Sequence[Path_]) -> Files:
    if not isinstance(path, str | Path):
        return _listed([Path(each) for each in path])
    if str(path) in SAMPLES:
        return ZipFiles(sample_path(str(path)), where=str(path))
    there = Path(path)
    if there.is_dir():
        return FolderFiles(there)
    if there.is_file():
        return ZipFiles(there) if there.suffix.lower() == ".zip" else _listed([there])
    if _is_pattern(path):
        return _listed(_matching(path))
    raise DataError(
        f"{path}: there is no such file or folder (samples that ship with the package: {', '.join(SAMPLES)})"
    )


def _is_pattern(path: Path_) -> bool:
    return glob.has_magic(str(path)) and not Path(path).exists()


def _matching(pattern: Path_) -> list[Path]:
    found = sorted(Path(each) for each in glob.glob(str(pattern), recursive=True))  # noqa: PTH207
    if not found:
        raise DataError(f"{pattern}: no file matches this pattern")
    return found


def _listed(paths: list[Path]) -> Files:
    if not paths:
        raise DataError("an empty list of files: there is nothing to open")
    seen: set[str] = set()
    for each in paths:
        if os.path.realpath(each) in seen:
            raise DataError(f"{each} comes twice in the list; name each file once")
        seen.add(os.path.realpath(each))
        if each.is_dir():
            raise DataError(f"{each}: a folder among files; name it on its own, or use a pattern of images")
        if not each.is_file():
            raise DataError(f"{each}: there is no such file")
        if not is_image(each.name) and not (len(paths) == 1 and each.name.lower().endswith(ALONE)):
            raise DataError(f"{each}: neither a folder, a zip, a jpg, png, tif, nor any of {', '.join(ALONE)}")
    return ListedFiles(paths)
