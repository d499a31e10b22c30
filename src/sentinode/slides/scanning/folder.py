"""Result folder of a scanned slide: heat map, lesions, overview and summary."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sentinode.errors import DataError, OutputError
from sentinode.output_paths import check_free_space, check_output_folder
from sentinode.serialize import to_json
from sentinode.slides.blocks import BLOCK_PX
from sentinode.slides.results.files import HEATMAP, LESIONS, LOG_ODDS, OVERVIEW, SETTINGS, SUMMARY, TIMINGS, WORK
from sentinode.slides.results.heatmap import load_heatmap
from sentinode.slides.results.lesions import find_lesions, slide_score, to_geojson
from sentinode.slides.results.tables import check_tables, write_tables
from sentinode.slides.scanning.estimate import bytes_needed
from sentinode.slides.scanning.scan import Scan, scan_rows, scan_slide
from sentinode.slides.scanning.scanner import Scanner
from sentinode.slides.slide import Slide, fingerprint
from sentinode.slides.tissue import Tissue, find_tissue
from sentinode.storage import atomic_file, read_json, remove_leftovers, write_json
from sentinode.version import __version__

# A scan that is helped begins when its tissue is found.
_BEGIN_S, _POLL_S = 10.0, 0.2


@dataclass(frozen=True)
class ScanResult:
    """What a scan found on a slide, and where its files are.

    Attributes
    ----------
    folder : Path
        The result folder.
    summary : dict
        What ``summary.json`` holds.
    """

    folder: Path
    summary: dict[str, Any]


def scan_to_folder(
    slide: Slide,
    scanner: Scanner,
    folder: str | Path,
    *,
    tissue: Tissue | None = None,
    force: bool = False,
    tables: Collection[str] = (),
    progress: Callable[[float], None] | None = None,
) -> ScanResult:
    """Scan a slide and write its result folder, or go on with an interrupted scan.

    Parameters
    ----------
    slide : Slide
        An open slide.
    scanner : Scanner
        From `load_scanner`.
    folder : str or Path
        The result folder. A finished result of the same slide, model and settings is returned as it is. No other
        process may scan to it; commands see to that.
    tissue, force, progress
        See `scan_slide`.
    tables : collection of str
        Tables to write as well; see `write_tables`.

    Returns
    -------
    ScanResult

    Raises
    ------
    ConfigError
        A table is unknown, or cannot be written since pyarrow is not installed.
    OutputError
        The folder holds a result of another slide, model or settings, or its disk has too little space.
    DataError
        See `scan_slide`.
    """
    check_tables(tables)
    folder = check_output_folder(folder)
    remove_leftovers(folder)
    settings = _settings(slide, scanner, tissue)
    identity, corner = f"{settings['slide_fingerprint']} {settings['weights_sha256']}", slide.bounds_px[:2]
    if (folder / SETTINGS).is_file():
        differing = _differing(folder, settings)
        if differing:
            raise OutputError(
                f"{folder}: contains a scan with other settings ({', '.join(differing)}); choose another folder with "
                "--out, or delete it"
            )
        if (folder / SUMMARY).is_file():
            shutil.rmtree(folder / WORK, ignore_errors=True)  # Left where a process was killed after the summary.
            if tables:
                write_tables(load_heatmap(folder), folder, tables, identity=identity, offset_px=corner)
            return ScanResult(folder, read_json(folder / SUMMARY))
    elif folder.is_dir() and any(each.name != WORK for each in folder.iterdir()):
        raise OutputError(f"{folder}: is not empty and contains no scan; choose another folder with --out")
    tissue = tissue or find_tissue(slide)
    needed = bytes_needed(slide, tissue, scanner.step_px)
    check_free_space(folder, needed, "free some space, or choose another folder with --out")
    write_json(folder / SETTINGS, settings)
    work = _work_folder(folder, settings)
    try:
        scan = scan_slide(slide, scanner, tissue=tissue, force=force, work_folder=work, progress=progress)
    except DataError:
        if not work.exists():  # Refused before the first row: a scan with other settings may follow.
            (folder / SETTINGS).unlink(missing_ok=True)
            with suppress(OSError):  # It holds something else.
                folder.rmdir()
        raise
    if not (folder / SETTINGS).is_file() or _differing(folder, settings):
        raise OutputError(f"{folder}: was deleted or replaced during the scan; run the same command again")
    write_tables(scan.heatmap, folder, tables, identity=identity, offset_px=corner)
    summary = _write(folder, slide, scan, {**settings, "forced": force}, identity)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return ScanResult(folder, summary)


def help_scan(
    slide: Slide,
    scanner: Scanner,
    folder: str | Path,
    start: float,
    *,
    tissue: Tissue | None = None,
    force: bool = False,
) -> None:
    """Compute rows of a slide for another process that scans it to a folder.

    Nothing is done where that process does not begin, is finished, or has other settings. Should this one end early,
    the other computes the rows itself.

    Parameters
    ----------
    slide, scanner, folder, tissue, force
        As in the call of `scan_to_folder` in the other process.
    start : float
        Fraction of the rows after which to begin, such as 0.5.

    Raises
    ------
    DataError
        See `scan_slide`.
    """
    folder = Path(folder)
    settings, tissue = _settings(slide, scanner, tissue), tissue or find_tissue(slide)
    until = time.monotonic() + _BEGIN_S
    while not (folder / SETTINGS).is_file() and time.monotonic() < until:
        time.sleep(_POLL_S)
    if not (folder / SETTINGS).is_file() or _differing(folder, settings):
        return
    work = _work_folder(folder, settings)
    if not _is_over(folder):
        for _ in scan_rows(slide, scanner, tissue, work, start, force=force):
            if _is_over(folder):
                break
    if _is_over(folder):
        shutil.rmtree(work, ignore_errors=True)
        for each in (folder / WORK, folder):
            with suppress(OSError):  # It holds something else.
                each.rmdir()


def _settings(slide: Slide, scanner: Scanner, tissue: Tissue | None) -> dict[str, Any]:
    members = scanner.model.identity.get("ensemble", [scanner.model.identity])
    calibrations = [each["calibration"] for each in members if "calibration" in each]
    return {
        "slide": slide.path.name,
        "slide_fingerprint": fingerprint(slide.path),
        "spacing_um_px": slide.spacing_um_px,
        "model": scanner.model.name,
        "weights_sha256": [each["weights_sha256"] for each in members],
        **({"calibration": calibrations} if calibrations else {}),
        "engine": scanner.engine,
        "precision": scanner.precision,
        "step_px": scanner.step_px,
        "tissue": "found" if tissue is None else hashlib.sha256(tissue.mask.tobytes()).hexdigest(),
    }


def _work_folder(folder: Path, settings: dict[str, Any]) -> Path:
    """Return the folder of finished rows: of these settings alone, since a worker of a stopped command may write on."""
    digest = hashlib.sha256(json.dumps(to_json(settings), sort_keys=True).encode()).hexdigest()
    return folder / WORK / digest[:16]


def _is_over(folder: Path) -> bool:
    """Tell whether the process that scans to a folder is finished, or has refused the slide."""
    return (folder / SUMMARY).is_file() or not (folder / SETTINGS).is_file()


def _differing(folder: Path, settings: dict[str, Any]) -> list[str]:
    """Return the settings in which the scan of a folder differs."""
    before = read_json(folder / SETTINGS)
    return [name for name, value in settings.items() if before.get(name) != value]


def _write(folder: Path, slide: Slide, scan: Scan, settings: dict[str, Any], identity: str) -> dict[str, Any]:
    from sentinode.slides.results.overview import draw_overview  # Takes Matplotlib along, which takes a second.

    heatmap, lesions = scan.heatmap, find_lesions(scan.heatmap)
    heatmap.save_tiff(folder / HEATMAP)
    with atomic_file(folder / LOG_ODDS) as temporary:
        np.save(temporary, heatmap.log_odds)
    with atomic_file(folder / LESIONS) as temporary:
        # QuPath shows the scanned part of a slide alone, and counts from its corner.
        annotations = to_geojson(lesions, identity=identity, offset_px=slide.bounds_px[:2])
        temporary.write_text(json.dumps(annotations, allow_nan=False), encoding="utf-8")
    with atomic_file(folder / OVERVIEW) as temporary:
        draw_overview(slide, heatmap, lesions).save(temporary)
    summary = {
        **settings,
        "slide_score": slide_score(heatmap),
        "largest_lesion_mm": max((lesion.diameter_mm for lesion in lesions), default=0.0),
        "lesions": to_json(lesions),
        "tissue_mm2": scan.tissue.area_mm2,
        "pen_mm2": scan.tissue.pen_mm2,
        "out_of_distribution": scan.out_of_distribution,
        "warnings": list(scan.warnings),
        "grid": {
            "origin_px": heatmap.origin_px,
            "step_level0_px": heatmap.step_px,
            "step_um": heatmap.step_um,
            "level": scan.selection.level,
            "requested_spacing_um_px": scan.selection.requested_um_px,
            "effective_spacing_um_px": scan.selection.effective_um_px,
            "decode_factor": slide.decode_factor(scan.selection),
            "block_px": BLOCK_PX,
        },
        "network": scan.network,
        "reader": slide.reader.name,
        "reader_notes": list(slide.notes),
        "spacing_source": slide.spacing_source,
        "bounds_px": slide.bounds_px,
        "color_profile": "embedded, not applied" if slide.metadata.has_color_profile else "none",
        "sentinode": __version__,
    }
    write_json(folder / TIMINGS, {"scan_s": scan.duration_s, "waiting_s": scan.waiting_s})
    write_json(folder / SUMMARY, summary)  # Last: it says that the scan is finished.
    return summary
