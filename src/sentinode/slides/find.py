"""Find the slides among files and folders."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sentinode.errors import ConfigError, DataError
from sentinode.slides.results.files import HEATMAP, SETTINGS
from sentinode.storage import TEMPORARY_PREFIX

# Files that a folder of slides is searched for; a PNG or JPEG must be named itself.
SLIDE_ENDINGS = (".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu", ".czi", ".dcm")


def slide_files(folder: Path) -> Iterator[Path]:
    """Yield the files of slides in a folder and below it, without the heat maps of scans."""
    for file in folder.rglob("*"):
        # A temporary one is being written, or was left by a process that was killed.
        is_heatmap = file.name.startswith(f"{TEMPORARY_PREFIX}{HEATMAP}-")
        is_heatmap |= file.name == HEATMAP and (file.parent / SETTINGS).is_file()
        if file.suffix.lower() in SLIDE_ENDINGS and not is_heatmap and file.is_file():
            yield file


def find_slides(paths: Sequence[str | Path]) -> list[Path]:
    """Return the slides among files and folders.

    Parameters
    ----------
    paths : sequence of str or Path
        Files are taken as they are; of a folder all slides in it and below it without the heat maps of scans, and of
        a folder with DICOM files the first, since the others are levels of the same slide.

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
        inside = sorted(slide_files(path))
        firsts = {file.parent: file for file in reversed(inside) if file.suffix.lower() == ".dcm"}
        inside = [file for file in inside if file.suffix.lower() != ".dcm" or firsts[file.parent] == file]
        if not inside:
            raise DataError(
                f"{path}: no slides in it or below it; slides end in {', '.join(SLIDE_ENDINGS)}. PNG and JPEG files "
                "must be named one by one"
            )
        found += inside
    return list({path.resolve(): path for path in found}.values())


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
