"""Tell slides, results of scans, models and patches apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sentinode.errors import ConfigError, DataError
from sentinode.external.files import is_model_file
from sentinode.samples import PRETRAINED
from sentinode.slides.find import SLIDE_ENDINGS, check_names_differ, find_slides, slide_files
from sentinode.slides.readers.flat_image import ENDINGS as FLAT_ENDINGS
from sentinode.slides.results.files import SETTINGS
from sentinode.storage import read_json
from sentinode.viewer.annotations.annotations import ENDING

# A TIFF up to this size is a patch, a larger one a slide.
_LARGEST_PATCH_PX = 512


@dataclass(frozen=True)
class Targets:
    """What the viewer shows; nothing else is read.

    Attributes
    ----------
    slides : tuple of Path
        Files of slides.
    results : tuple of Path
        Folders that `sentinode scan` wrote to, with one folder for each slide.
    model : str or None
        A run or the name of pretrained weights.
    patches : str or None
        A source of patches.
    predictions : Path or None
        A csv of predictions for them.
    """

    slides: tuple[Path, ...] = ()
    results: tuple[Path, ...] = ()
    model: str | None = None
    patches: str | None = None
    predictions: Path | None = None


def sort_targets(targets: Sequence[str | Path]) -> Targets:
    """Tell slides, results of scans, models and patches apart.

    Parameters
    ----------
    targets : sequence of str or Path
        Slides, folders of slides, folders with the results of `sentinode scan`, a run or the name of pretrained
        weights, a source of patches, and predictions for them: a csv, or the folder that `sentinode evaluate` wrote.

    Returns
    -------
    Targets

    Raises
    ------
    ConfigError
        There are two models or two sources of patches, or two slides of the same name.
    DataError
        There is nothing at a path.

    Examples
    --------
    >>> sort_targets(["slide.svs", "d4net-m", "pcam-mini"])
    Targets(slides=(PosixPath('slide.svs'),), results=(), model='d4net-m', patches='pcam-mini', predictions=None)
    """
    slides: list[Path] = []
    results: list[Path] = []
    single: dict[str, str] = {}
    for target in map(str, targets):
        path = Path(target)
        folder = _results_folder(path)
        if folder is not None:
            results.append(folder)
        if path.is_dir() and _has_slides(path):
            slides += find_slides([path])
        elif folder is not None:
            continue
        elif _is_slide(path):
            slides.append(path)
        elif target in PRETRAINED or is_model_file(path) or _is_run(path):
            _set(single, "model", target)
        elif (csv := _predictions(path)) is not None:
            _set(single, "predictions", str(csv))
        else:
            _set(single, "patches", target)
    slides = list(dict.fromkeys(path.absolute() if path.exists() else path for path in slides))
    check_names_differ(slides, "view them one after the other")
    return Targets(
        tuple(slides),
        tuple(dict.fromkeys(results)),
        single.get("model"),
        single.get("patches"),
        Path(single["predictions"]) if "predictions" in single else None,
    )


def _results_folder(path: Path) -> Path | None:
    """Return the folder that a scan wrote to, where this is one or that of one of its slides."""
    if not path.is_dir():
        return None
    path = path.absolute()
    if _is_scan(path / SETTINGS):
        return path.parent
    holds = any(map(_is_scan, path.glob(f"*/{SETTINGS}"))) or any(path.glob(f"*{ENDING}"))
    return path if holds else None


def _is_scan(settings: Path) -> bool:
    try:
        content = read_json(settings)
    except (OSError, DataError):
        return False
    return isinstance(content, dict) and {"slide", "slide_fingerprint"} <= content.keys()


def _is_run(path: Path) -> bool:
    from sentinode.training.load import is_run  # Starts slowly; most targets are slides and results.

    return is_run(path)


def _is_slide(path: Path) -> bool:
    if path.is_dir():
        return False
    ending = path.suffix.lower()
    return ending in FLAT_ENDINGS or (ending in SLIDE_ENDINGS and not _is_patch(path))


def _has_slides(folder: Path) -> bool:
    first = next(slide_files(folder), None)
    return first is not None and not _is_patch(first)


def _is_patch(path: Path) -> bool:
    if path.suffix.lower() not in (".tif", ".tiff"):
        return False
    try:
        with Image.open(path) as image:
            return max(image.size) <= _LARGEST_PATCH_PX
    except (OSError, ValueError, Image.DecompressionBombError):
        return False


def _predictions(path: Path) -> Path | None:
    """Return the csv of predictions that a path is, or that a folder holds; None where it is none."""
    if path.is_dir():
        path = path / "predictions.csv"
    if path.suffix.lower() != ".csv" or not path.is_file():
        return None
    from sentinode.evaluation.prediction_files import IDS, SCORES

    try:
        with path.open(encoding="utf-8") as file:
            columns = {name.strip().lower() for name in file.readline().split(",")}
    except (OSError, UnicodeDecodeError):
        return None
    return path if columns & set(SCORES) and columns & set(IDS) else None


def _set(single: dict[str, str], kind: str, target: str) -> None:
    if kind in single:
        what = {"model": "one model", "patches": "one source of patches", "predictions": "one csv of predictions"}[kind]
        raise ConfigError(f"{single[kind]} and {target}: the viewer accepts {what}; specify one of them")
    single[kind] = target
