"""Find the places of a slide that may become training patches, and label them.

The label rule is PatchCamelyon's: B. S. Veeling et al., "Rotation equivariant CNNs for digital pathology", MICCAI 2018.
Patches that a scan called tumour outside of the annotations can be added as hard negatives.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sentinode.data.labels import Classes
from sentinode.data.types import PATCH_SIZE_PX, PATCH_SPACING_UM_PX
from sentinode.errors import DataError, plural
from sentinode.extras import optional
from sentinode.slides.annotations.read import Annotations, find_annotations, read_annotations
from sentinode.slides.extraction.config import ExtractConfig
from sentinode.slides.extraction.regions import Places, any_part_touches, any_pixel_inside
from sentinode.slides.slide import Slide, fingerprint, open_slide
from sentinode.slides.tissue import Tissue, find_tissue
from sentinode.storage import read_json

CENTER_PX = 32  # The label of a patch is that of its central square of this side.
Kind = Literal["tumour", "hard", "random"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Candidates:
    """The places of one slide that may be extracted, those of each kind in the order of preference."""

    path: Path
    places: dict[Kind, Places]
    hard_probability: NDArray[np.float64]
    tumour: Any
    about: dict[str, Any]


def find_candidates(
    path: Path,
    annotations: str | Path | None,
    classes: Classes,
    scans: str | Path | None,
    spacing_um_px: float | None,
    config: ExtractConfig,
) -> Candidates:
    """Find the candidates of a slide.

    Parameters
    ----------
    path : Path
        The slide's file.
    annotations, classes, scans, spacing_um_px, config
        See `extract_patches`.

    Returns
    -------
    Candidates

    Raises
    ------
    DataError
        The slide, its annotations or its scan cannot be used.
    """
    with open_slide(path, spacing_um_px=spacing_um_px, force=config.force) as slide:
        drawn = _annotations(slide, annotations, classes, config)
        selection, tissue = slide.select_level(PATCH_SPACING_UM_PX), find_tissue(slide)
        scale = slide.pixel_level0_px(selection)
        grid = _grid(slide, tissue, scale, config.step_px)
        tumour = optional("shapely", "slides").MultiPolygon() if drawn is None else drawn.tumour
        is_tumour = any_pixel_inside(tumour, grid, scale, border_px=_border(CENTER_PX), side_px=CENTER_PX)
        identity = fingerprint(path)
        scan = _scan_folder(slide, scans)
        hard, probability = _hard_negatives(slide, scan, identity, tumour, scale, config)
        left_out = 0
        if drawn is not None and not drawn.excluded.is_empty:
            unknown = any_pixel_inside(drawn.excluded, grid, scale, border_px=_border(CENTER_PX), side_px=CENTER_PX)
            unknown &= ~is_tumour
            left_out = int(unknown.sum())
            grid, is_tumour = grid[~unknown], is_tumour[~unknown]
            known = ~any_part_touches(drawn.excluded, hard, scale)
            hard, probability = hard[known], probability[known]
        if config.annotated_only and drawn is not None:
            known = is_tumour | _in_normal_region(drawn, grid, scale)
            grid, is_tumour = grid[known], is_tumour[known]
            known = _in_normal_region(drawn, hard, scale)
            hard, probability = hard[known], probability[known]
        taken = {tuple(place) for place in hard.tolist()}
        normal = [place for place in grid[~is_tumour].tolist() if tuple(place) not in taken]
        # Each slide has an order of its own, so that further slides do not change it.
        digest = hashlib.sha256(f"{config.seed} {path.stem}".encode()).digest()
        rng = np.random.default_rng(list(digest))
        places: dict[Kind, Places] = {
            "tumour": rng.permutation(grid[is_tumour]),
            "hard": hard,
            "random": rng.permutation(np.array(normal, np.int64).reshape(-1, 2)),
        }
        about = {
            "slide": path.name,
            "slide_fingerprint": identity,
            "annotations": None if drawn is None else drawn.path.name,
            "notes": [*(drawn.notes if drawn else ()), *_excluded_note(left_out)],
            "scan": None if scan is None else scan.name,
            "spacing_um_px": slide.spacing_um_px,
            "spacing_source": slide.spacing_source,
            "file_spacing_um_px": slide.metadata.spacing_um_px,
            "effective_spacing_um_px": selection.effective_um_px,
            "level": selection.level,
            "scale": scale,
            "tissue_mm2": tissue.area_mm2,
            "tumour_mm2": tumour.area * slide.spacing_um_px**2 / 1e6,
            "candidates": {kind: len(each) for kind, each in places.items()},
        }
    return Candidates(path, places, probability, tumour, about)


def _excluded_note(count: int) -> list[str]:
    what = f"{plural(count, 'candidate')} in regions of class Uncertain or Ignore*"
    return [f"not extracted: {what}"] if count else []


def _annotations(
    slide: Slide, annotations: str | Path | None, classes: Classes, config: ExtractConfig
) -> Annotations | None:
    file = None
    if annotations is not None:
        given = Path(annotations)
        file = find_annotations(slide.path, given) if given.is_dir() else given
    if file is not None:
        return read_annotations(file, slide, classes)
    if config.unannotated_normal:
        return None
    where = f"in {annotations}" if annotations is not None else "(--annotations)"
    raise DataError(
        f"{slide.path}: has no annotations {where}; if such slides contain no tumour, use --unannotated-normal"
    )


def _in_normal_region(drawn: Annotations, places: Places, scale: float) -> NDArray[np.bool_]:
    """Tell which patches have their center in a region that is annotated as normal."""
    shapely = optional("shapely", "slides")
    region = shapely.union_all([drawn.regions[name] for name, label in drawn.classes.items() if label == 0])
    shapely.prepare(region)
    inside: NDArray[np.bool_] = shapely.contains_xy(region, *((places + PATCH_SIZE_PX / 2) * scale).T)
    return inside


def _border(side_px: int) -> int:
    return (PATCH_SIZE_PX - side_px) // 2


def _grid(slide: Slide, tissue: Tissue, scale: float, step_px: int) -> Places:
    """Return the places of patches that lie on the slide and have their center on tissue, row by row."""
    full = slide.levels[0]
    across, down = (
        np.arange(0, max(0, int(size / scale) - PATCH_SIZE_PX + 1), step_px) for size in (full.width_px, full.height_px)
    )
    x_px, y_px = ((corners + PATCH_SIZE_PX / 2) * scale for corners in (across, down))
    row, column = np.nonzero(tissue.covers(x_px, y_px))
    return np.stack([across[column], down[row]], axis=1).astype(np.int64)


def _scan_folder(slide: Slide, scans: str | Path | None) -> Path | None:
    """Return the folder with the scan of a slide."""
    from sentinode.slides.results.files import SETTINGS, SUMMARY

    if scans is None:
        return None
    inside = Path(scans) / slide.path.stem
    if (inside / SUMMARY).is_file():
        return inside
    is_single = (Path(scans) / SUMMARY).is_file() and read_json(Path(scans) / SETTINGS).get("slide") == slide.path.name
    return Path(scans) if is_single else None


def _hard_negatives(
    slide: Slide, scan: Path | None, identity: str, tumour: Any, scale: float, config: ExtractConfig
) -> tuple[Places, NDArray[np.float64]]:
    """Return places without tumour that a scan called tumour, the most probable first, one for each square of the grid.

    No part of these patches is annotated as tumour: at the edge of a lesion the outline may be wrong, not the scan.
    """
    if scan is None:
        return np.empty((0, 2), np.int64), np.empty(0)
    from sentinode.slides.results.files import SETTINGS
    from sentinode.slides.results.heatmap import load_heatmap

    settings = read_json(scan / SETTINGS)
    if settings.get("slide_fingerprint") != identity or settings.get("spacing_um_px") != slide.spacing_um_px:
        raise DataError(f"{scan}: is a scan of another file or at other µm per pixel than {slide.path}; scan it again")
    heatmap = load_heatmap(scan)
    probability = np.nan_to_num(heatmap.probability, nan=-1.0)
    rows, columns = np.nonzero(probability >= config.hard_threshold)
    values = probability[rows, columns].astype(np.float64)
    centers = heatmap.origin_px + np.stack([columns, rows], axis=1) * heatmap.step_px
    places = np.rint(centers / scale - PATCH_SIZE_PX / 2).astype(np.int64)
    full = slide.levels[0]
    within = (places >= 0).all(axis=1) & (
        places + PATCH_SIZE_PX <= np.array([int(full.width_px / scale), int(full.height_px / scale)])
    ).all(axis=1)
    places, values = places[within], values[within]
    normal = ~any_part_touches(tumour, places, scale)
    places, values = places[normal], values[normal]
    order = np.lexsort((places[:, 0], places[:, 1], -values))
    _, first = np.unique(places[order] // config.step_px, axis=0, return_index=True)
    kept = order[np.sort(first)]
    return places[kept], values[kept]
