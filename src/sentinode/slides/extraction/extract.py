"""Extract labeled patches from annotated slides as training data."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from glob import escape
from operator import call
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from sentinode.data.grouping import check_read_options, patient_and_slide
from sentinode.data.labels import Classes
from sentinode.data.types import PATCH_SHAPE, PATCH_SPACING_UM_PX, ReadOptions
from sentinode.errors import ConfigError, DataError, OutputError
from sentinode.extras import optional
from sentinode.output_paths import check_free_space, check_output_folder
from sentinode.progress import progress_bar
from sentinode.slides.extraction.candidates import KINDS, Candidates, find_candidates
from sentinode.slides.extraction.choice import choose
from sentinode.slides.extraction.config import ExtractConfig
from sentinode.slides.extraction.known_slides import known_slides
from sentinode.slides.extraction.patch_files import write_patches
from sentinode.slides.find import check_names_differ
from sentinode.slides.isolation import IsolatedWorker, WorkerError, reason
from sentinode.storage import TEMPORARY_PREFIX, atomic_folder, write_json
from sentinode.version import __version__

if TYPE_CHECKING:
    from sentinode.inference.predictor import Predictor

SOURCES = "extract.json"


@dataclass(frozen=True)
class Extraction:
    """Extracted patches.

    Attributes
    ----------
    folder : Path
        The folder with ``…_x.h5``, ``…_y.h5``, ``…_meta.csv`` and ``extract.json``; `open_patches` opens it.
    slides : list of dict
        For each slide its annotations, tissue area, candidates and patches of each kind.
    failures : list of (str, str)
        Slides that could not be used, and why.
    known_slides : dict of str to str, or None
        Slides that the model was trained on, and how that is known; None where no model was given or nothing is known
        of its training patches.
    table : DataFrame
        One row per patch: ``wsi``, ``patient``, ``kind``, ``center_tumor_patch``, coordinates in level-0 px.
    """

    folder: Path
    slides: list[dict[str, Any]]
    failures: list[tuple[str, str]]
    known_slides: dict[str, str] | None
    table: pd.DataFrame = field(metadata={"json": False})

    @property
    def counts(self) -> dict[str, int]:
        """Number of patches of each kind: ``tumour``, ``hard`` (negatives) and ``random`` (normal)."""
        return {kind: int((self.table["kind"] == kind).sum()) for kind in KINDS}


def extract_patches(
    slides: Sequence[str | Path],
    out: str | Path,
    *,
    annotations: str | Path | None = None,
    classes: Classes = (),
    hard_negatives: str | Path | None = None,
    spacing_um_px: float | Callable[[Path], float | None] | None = None,
    patient_from: str | None = None,
    model: "Predictor | None" = None,
    config: ExtractConfig | None = None,
    isolated: bool = False,
) -> Extraction:
    """Extract labeled patches of 96 × 96 px at 0.972 µm per pixel from annotated slides.

    A patch is tumour (1) if a tumour pixel lies in its central 32 × 32 px, and normal (0) if none does. Its center lies
    on tissue. The same slides, annotations and settings give the same files.

    Parameters
    ----------
    slides : sequence of str or Path
        The slides' files, with different names.
    out : str or Path
        The folder to write; it must not exist, or be empty.
    annotations : str, Path or None
        A folder with annotations named like the slides, or the annotations of a single slide; see `read_annotations`.
    classes : tuple of (str, {0, 1}), optional
        Class names of the annotations, from `parse_classes`.
    hard_negatives : str, Path or None
        The output folder of a scan of these slides, or of one of them.
    spacing_um_px : float, callable or None
        µm per level-0 pixel, instead of what the files say; or a function that returns it for a slide's path.
    patient_from : str or None
        Regular expression that is searched in the name of each slide; its first group is the patient. Without it,
        CAMELYON17's and TCGA's names are recognized.
    model : Predictor or None
        Slides that it was trained on are named in the result.
    config : ExtractConfig or None
        Which patches are extracted.
    isolated : bool
        Read the slides in a process of its own, which a damaged file may crash.

    Returns
    -------
    Extraction

    Raises
    ------
    DataError
        No slide can be used, or there is no patch of one class to balance the other with.
    ConfigError
        Two slides have the same name, or an option is not possible.
    OutputError
        `out` is not empty, or the disk is too small.

    Examples
    --------
    >>> from sentinode.slides import extract_patches
    >>> extract_patches(["tumor_001.tif"], "patches", annotations="xml")  # doctest: +SKIP
    """
    optional("shapely", "slides")
    config = config or ExtractConfig()
    paths = [Path(path) for path in slides]
    spacings = {path: spacing_um_px(path) if callable(spacing_um_px) else spacing_um_px for path in paths}
    patients = _patients(paths, patient_from)
    folder = check_new_folder(out)
    for given in (annotations, hard_negatives):
        if given is not None and not Path(given).exists():
            raise DataError(f"{given}: there is no such file or folder")
    if annotations is not None and Path(annotations).is_file() and len(paths) > 1:
        raise ConfigError(
            f"{annotations}: the annotations of one slide, but {len(paths)} slides are given; specify a folder with "
            "--annotations"
        )
    with _alone(folder), IsolatedWorker(_caller) if isolated else nullcontext() as worker:
        run = call if worker is None else worker.call
        return _extract(paths, folder, (annotations, classes, hard_negatives), spacings, patients, model, config, run)


def _extract(
    paths: Sequence[Path],
    folder: Path,
    sources: tuple[str | Path | None, Classes, str | Path | None],
    spacings: Mapping[Path, float | None],
    patients: Mapping[str, str],
    model: "Predictor | None",
    config: ExtractConfig,
    run: Callable[[Callable[[], Any]], Any],
) -> Extraction:
    annotations, classes, hard_negatives = sources
    found: list[Candidates] = []
    failures: list[tuple[str, str]] = []
    with progress_bar("finding candidates", total=len(paths), unit="slides") as advance:
        for path in paths:
            try:
                found.append(
                    run(partial(find_candidates, path, annotations, classes, hard_negatives, spacings[path], config))
                )
            except (DataError, WorkerError) as error:
                failures.append((path.name, reason(path, error)))
            advance(1)
    if not found:
        more = f" (and {len(failures) - 1} more slides)" if len(failures) > 1 else ""
        raise DataError(f"no slide can be used{more}: {failures[0][1]}" if failures else "no slides are given")
    if hard_negatives is not None and not any(each.about["scan"] for each in found):
        raise DataError(
            f"{hard_negatives}: contains no finished scan of these slides; run sentinode scan on them first"
        )
    chosen = choose(found, config)
    count = sum(len(places) for each in chosen for places in each.values())
    check_free_space(folder, count * int(np.prod(PATCH_SHAPE)), "free some space, or lower --max-per-slide")
    with atomic_folder(folder) as temporary:
        table, sha1, broken = write_patches(temporary, folder.name, found, chosen, patients, spacings, run)
        failures += broken
        if table.empty:
            raise DataError(f"no patch could be read: {failures[-1][1]}")
        known = None if model is None else known_slides(model, table["wsi"], sha1)
        used = [_summary(each, table) for each in found if each.path.name not in dict(broken)]
        write_json(
            temporary / SOURCES,
            {
                "settings": asdict(config) | {"classes": dict(classes), "spacing_um_px": PATCH_SPACING_UM_PX},
                "slides": used,
                "failures": [{"slide": name, "reason": reason} for name, reason in failures],
                "model": None if model is None else model.name,
                "known_slides": known,
                "sentinode": __version__,
            },
        )
    return Extraction(folder, used, failures, known, table)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other extractions out of a folder, and remove what killed ones left beside it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    name = f"{TEMPORARY_PREFIX}{folder.name[:40]}"
    lock = FileLock(folder.with_name(f"{name}.lock"))
    try:
        with lock.acquire(timeout=0):
            check_new_folder(folder)  # Another process may have filled it just now.
            for stale in folder.parent.glob(f"{escape(name)}-????????"):
                shutil.rmtree(stale, ignore_errors=True)
            try:
                yield
            finally:
                with suppress(OSError):
                    Path(lock.lock_file).unlink()
    except Timeout as error:
        raise OutputError(
            f"{folder}: another process is extracting into it; wait, or choose another folder with --out"
        ) from error


def _caller() -> Callable[[Callable[[], Any]], Any]:
    return call


def check_new_folder(out: str | Path) -> Path:
    """Check that a folder can be written and holds nothing yet.

    Raises
    ------
    OutputError
        It cannot be written, or is not empty.
    """
    folder = check_output_folder(out)
    if folder.suffix.lower() in (".h5", ".hdf5"):
        raise OutputError(f"{out}: three files are written; specify a folder for them, such as {folder.stem}")
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{out}: is not empty; choose another folder with --out, or delete it")
    return folder


def _patients(paths: Sequence[Path], pattern: str | None) -> dict[str, str]:
    """Return the patient of each slide whose patient is known."""
    check_names_differ(paths, "rename one, or their patches could not be told apart")
    stems = [path.stem for path in paths]
    if pattern is None:
        return {stem: patient for stem in stems if (patient := patient_and_slide(stem)[0])}
    check_read_options(ReadOptions(patient_from=pattern))
    found = {stem: match for stem in stems if (match := re.search(pattern, stem))}
    if missing := [stem for stem in stems if stem not in found]:
        raise ConfigError(f"--patient-from {pattern!r} finds no patient in the name of slide {missing[0]}")
    return {stem: match.groupdict().get("patient", match[1]) for stem, match in found.items()}


def _summary(candidates: Candidates, table: pd.DataFrame) -> dict[str, Any]:
    kinds = table["kind"][table["wsi"] == candidates.path.stem]
    return {**candidates.about, "patches": {kind: int((kinds == kind).sum()) for kind in KINDS}}
