"""Open patches of any format."""

import glob
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sentinode.data.concat import concat
from sentinode.data.grouping import add_groups, check_read_options
from sentinode.data.io.files import IMAGE_ENDINGS, Files, is_image, matching_files
from sentinode.data.io.folders import FolderFiles, ListedFiles
from sentinode.data.io.tars import ShardedFiles, TarFiles, is_tar, without_tar_ending
from sentinode.data.io.zips import ZipFiles
from sentinode.data.patchset import PatchSet
from sentinode.data.sources import SOURCES, images
from sentinode.data.sources.table import open_table
from sentinode.data.tables import is_patch_table, open_patch_table
from sentinode.data.types import ReadOptions, evenly_spaced
from sentinode.errors import ConfigError, DataError, plural
from sentinode.samples import SAMPLES, sample_path

# Endings of files that are a source by themselves.
SINGLE_FILE_ENDINGS = (".h5", ".hdf5", ".h5.gz", ".npy", ".npz", ".csv", ".tsv", ".parquet")

log = logging.getLogger("sentinode")


def open_patches(
    path: str | Path | Iterable[str | Path],
    split: str | None = None,
    *,
    table: str | Path | None = None,
    skip_bad: bool = False,
    resize: str = "error",
    spacing_um_px: float | None = None,
    flatten: str = "error",
    gray: str = "error",
    classes: Mapping[str, int] | None = None,
    patient_from: str | None = None,
    group_by: str | None = None,
) -> PatchSet:
    """Open patches of any format; pixels are decoded later, when they are read.

    Parameters
    ----------
    path : str, Path or iterable of these
        A folder, a zip, an HDF5 file, a ``.npy`` or ``.npz`` file, a csv that names images, a patch table, an image, a
        pattern such as ``"slides/*.png"``, a list of images, or the sample ``"pcam-mini"``. The format is
        recognized; docs/data.md lists the formats in the order in which they are tried.
    split : str, optional
        Keep one split only, such as ``"train"``.
    table : str or Path, optional
        A csv with metadata of the images in `path`; it replaces what their folders say.
    skip_bad : bool, default=False
        Leave out patches that cannot be used, now and when pixels are read, and list them in ``skipped``. Otherwise the
        first such patch is an error.
    resize : {"error", "crop", "pad", "resample"}, default="error"
        Treatment of images that are not 96 × 96 px: raise an error; keep the center; keep the center and fill up with
        white; scale the whole image, which must be square.
    spacing_um_px : float, optional
        Size of a pixel of the images in µm. They are resampled to 0.972 µm per pixel, the scale of PatchCamelyon,
        before `resize` applies.
    flatten : {"error", "white"}, default="error"
        Treatment of partly transparent images: raise an error, or put them on white.
    gray : {"error", "rgb"}, default="error"
        Treatment of gray images: raise an error, or repeat the channel.
    classes : mapping of str to {0, 1}, optional
        Names of class folders and labels, instead of the usual words; ``"*"`` stands for every other name. Folders that
        are not named are left out.
    patient_from : str, optional
        Regular expression that is searched in each id; its first group is the patient.
    group_by : {"folder"}, optional
        ``"folder"``: the patient is the innermost folder that is neither a class nor a split.

    Returns
    -------
    PatchSet
        The patches; ``print`` shows what was recognized.

    Raises
    ------
    DataError
        There is nothing at `path`, no format is recognized, or labels and files contradict each other.
    ConfigError
        An option has a value that it cannot have.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> open_patches("pcam-mini", split="test")
    <PatchSet pcam-mini: class folders in a zip; ... patches (test ... normal + ... tumour)>
    """
    path = _checked(path)
    if classes is not None and not isinstance(classes, Mapping):
        raise ConfigError(f"classes must be a mapping such as {{'TUM': 1, '*': 0}}; got {classes!r}")
    options = check_read_options(
        ReadOptions(
            resize=resize,  # type: ignore[arg-type]
            spacing_um_px=spacing_um_px,
            flatten=flatten,  # type: ignore[arg-type]
            gray=gray,  # type: ignore[arg-type]
            classes=tuple((classes or {}).items()),
            patient_from=patient_from,
            group_by=group_by,  # type: ignore[arg-type]
        )
    )
    patches = _open(path, options, table, skip_bad)
    return patches if split is None else patches.split(split)


def _checked(path: Any) -> str | Path | list[str | Path]:
    """Return a path, or the paths of an iterable; refuse what is neither."""
    if isinstance(path, str | Path):
        return path
    if isinstance(path, Iterable) and not isinstance(path, Mapping) and not hasattr(path, "columns"):
        paths = list(path)
        if all(isinstance(each, str | Path) for each in paths):
            return paths
    raise ConfigError(
        f"path must be a path or a list of paths; got {type(path).__name__}: save a table as csv and pass its path; "
        "save arrays x and y with numpy.savez; only `predict` accepts arrays"
    )


def _open(
    path: str | Path | Sequence[str | Path], options: ReadOptions, table: str | Path | None, skip_bad: bool
) -> PatchSet:
    if isinstance(path, str | Path) and table is None and is_patch_table(path):
        patches = open_patch_table(path, options, lambda source, its_own: _open(source, its_own, None, skip_bad))
    else:
        files = _files(path)
        patches = _recognize(files, options) if table is None else open_table(files, table, options)
        patches = add_groups(patches, options)
        listed = isinstance(files, ListedFiles) and is_image(files.names[0])
        patches = replace(patches, listed=listed)
        for note in patches.notes:
            log.warning("%s: %s", patches.path, note)
    if patches.skipped and not skip_bad:
        raise DataError(f"{patches.skipped[0].reason}; use --skip-bad to skip unusable files and rows")
    if len(patches) == 0:
        reason = patches.skipped[0].reason if patches.skipped else "it is empty"
        raise DataError(f"{patches.path}: no patches; {reason}")
    if options.decoding:
        patches = replace(patches, kind=f"{patches.kind} ({options.decoding})")
    return replace(patches, skip_bad=skip_bad, options=options)


def _recognize(files: Files, options: ReadOptions) -> PatchSet:
    # The folders of images that were listed one by one say nothing: they may be called "cancer" for another reason.
    listed = isinstance(files, ListedFiles) and is_image(files.names[0])
    for open_source in (images.open_source,) if listed else [opening for _, opening in SOURCES]:
        patches = open_source(files, options)
        if patches is not None:
            return patches
    known = "; ".join(name for name, _ in SOURCES)
    raise DataError(
        f"{files.where}: no patches recognized among {plural(len(files.names), 'file')}; known formats: {known}"
    )


def sample_patches(split: str, count: int) -> PatchSet:
    """Return patches of the sample in the package, evenly spaced in one of its splits.

    Examples
    --------
    >>> len(sample_patches("test", 16))
    16
    """
    patches = open_patches("pcam-mini", split=split)
    return patches.select(evenly_spaced(len(patches), count))


def open_sources(paths: Sequence[str | Path], *, skip_bad: bool = False, **options: Any) -> PatchSet:
    """Open several sources as one set.

    Parameters
    ----------
    paths : sequence of str or Path
        One or more of what `open_patches` takes. Images listed one by one or by patterns keep their paths as ids; ids
        of several other sources are prefixed with the source.
    skip_bad, **options
        See `open_patches`.

    Returns
    -------
    PatchSet
        The patches of all sources.

    Raises
    ------
    DataError, ConfigError
        See `open_patches`.
    """
    parts = open_each(paths, skip_bad=skip_bad, **options)
    return parts[0] if len(parts) == 1 else concat(parts)


def open_each(paths: Sequence[str | Path], *, skip_bad: bool = False, **options: Any) -> list[PatchSet]:
    """Open several sources as one set each; images listed one by one or by patterns make one set.

    Parameters
    ----------
    paths, skip_bad, **options
        See `open_sources`.

    Returns
    -------
    list of PatchSet
        One set per source.

    Raises
    ------
    DataError, ConfigError
        See `open_patches`.
    """

    def open_one(path: str | Path | Sequence[str | Path]) -> PatchSet:
        return open_patches(path, skip_bad=skip_bad, **options)

    if len(paths) <= 1:
        return [open_one(paths[0] if paths else paths)]
    listed: list[str | Path] = []
    parts: list[PatchSet] = []
    position = 0  # Of the set of listed images.
    for path in paths:
        position = position if listed else len(parts)
        if _is_pattern(path):
            listed += matching_files(path)
        elif is_image(str(path)) and Path(path).is_file():
            listed.append(path)
        else:
            parts.append(open_one(path))
    if listed:
        parts.insert(position, open_one(listed))
    return parts


def _files(path: str | Path | Sequence[str | Path]) -> Files:
    if path == "":
        raise DataError("DATA is empty; specify a folder, zip or file (unset shell variable?)")
    if not isinstance(path, str | Path):
        return _listed([Path(each) for each in path])
    if str(path) in SAMPLES:
        return ZipFiles(sample_path(str(path)), where=str(path))
    location = Path(path)
    if location.is_dir():
        folder = FolderFiles(location)
        shards = [name for name in folder.names if is_tar(name)]
        if shards and not any(is_image(name) for name in folder.names):
            return ShardedFiles(str(path), {without_tar_ending(name): TarFiles(folder.path(name)) for name in shards})
        return folder
    if location.is_file() and is_tar(location.name):
        return TarFiles(location)
    if location.is_file():
        return ZipFiles(location) if location.suffix.lower() == ".zip" else _listed([location])
    if _is_pattern(path):
        return _listed(matching_files(path))
    raise DataError(f"{path}: there is no such file or folder (samples of the package: {', '.join(SAMPLES)})")


def _is_pattern(path: str | Path) -> bool:
    return glob.has_magic(str(path)) and not Path(path).exists()


def _listed(paths: list[Path]) -> Files:
    if not paths:
        raise DataError("the list of files is empty; specify at least one file")
    seen: set[str] = set()
    for each in paths:
        if os.path.realpath(each) in seen:
            raise DataError(f"{each} is listed twice; list each file once")
        seen.add(os.path.realpath(each))
        if each.is_dir():
            raise DataError(
                f"{each}: a folder in a list of files; specify the folder alone, or use a pattern of images"
            )
        if not each.is_file():
            raise DataError(f"{each}: there is no such file")
        if not is_image(each.name) and not (len(paths) == 1 and each.name.lower().endswith(SINGLE_FILE_ENDINGS)):
            raise DataError(
                f"{each}: not a folder, a zip, a tar, an image ({', '.join(IMAGE_ENDINGS)}), or any of "
                f"{', '.join(SINGLE_FILE_ENDINGS)}"
            )
    return ListedFiles(paths)
