"""Find the slides among files and folders."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sentinode.data.io.folders import FolderFiles
from sentinode.errors import ConfigError, DataError
from sentinode.slides.dicom import series_uid
from sentinode.slides.results.files import HEATMAP, SETTINGS

# Files that a folder of slides is searched for; a PNG or JPEG must be named itself.
SLIDE_ENDINGS = (".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu", ".czi", ".dcm")


class _SlideFolder(FolderFiles):
    # Tables of an evaluation may be in the folder of the slides.
    skips_results = False


def slide_files(folder: Path) -> Iterator[Path]:
    """Yield the files of slides in a folder and below it, without the heat maps of scans.

    Links are followed, except those that lead to a folder above them. Broken links are yielded as well: opening them
    names the file.
    """
    files = _SlideFolder(folder)
    for name in sorted((*files.names, *files.ignored_links)):
        file = folder / name
        is_heatmap = file.name == HEATMAP and (file.parent / SETTINGS).is_file()
        is_broken = file.is_symlink() and not file.exists()
        if file.suffix.lower() in SLIDE_ENDINGS and not is_heatmap and (is_broken or file.is_file()):
            yield file


def find_slides(paths: Sequence[str | Path]) -> list[Path]:
    """Return the slides among files and folders.

    Parameters
    ----------
    paths : sequence of str or Path
        Files are taken as they are; of a folder all slides in it and below it without the heat maps of scans, and of
        the DICOM files of a series in a folder the first, since the others are levels of the same slide.

    Returns
    -------
    list of Path
        Each once.

    Raises
    ------
    DataError
        A folder has no slides.

    Examples
    --------
    >>> find_slides(["a.svs", "b.ndpi"])
    [PosixPath('a.svs'), PosixPath('b.ndpi')]
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        series = {_series(file): file for file in sorted(slide_files(path), reverse=True)}
        inside = sorted(series.values())
        if not inside:
            raise DataError(
                f"{path}: no slides in it or below it; slides end in {', '.join(SLIDE_ENDINGS)}. PNG and JPEG files "
                "must be named one by one"
            )
        found += inside
    return list({os.path.realpath(path): path for path in found}.values())


def check_names_differ(paths: Iterable[Path], remedy: str) -> None:
    """Check that slides differ in the name of their file without its ending, which names their results.

    Parameters
    ----------
    paths : iterable of Path
    remedy : str
        How to go on, for the message.

    Raises
    ------
    ConfigError
        Two slides have the same name.
    """
    first: dict[str, Path] = {}
    for path in paths:
        if path.stem in first:
            raise ConfigError(f"{first[path.stem]} and {path} have the same name; {remedy}")
        first[path.stem] = path


def _series(file: Path) -> tuple[Path, bytes]:
    """Return what the files of one slide share: folder and series of DICOM files; of others the file itself."""
    uid = series_uid(file) if file.suffix.lower() == ".dcm" else None
    return (file, b"") if uid is None else (file.parent, uid)
