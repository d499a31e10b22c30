"""Find the places of a slide that may become training patches, label them, and choose among them.

The label rule is PatchCamelyon's: B. S. Veeling et al., "Rotation equivariant CNNs for digital pathology", MICCAI 2018.
Patches that a scan called tumour outside of the annotations can be added as hard negatives.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sentinode.data.labels import Classes
from sentinode.data.types import PATCH_SIZE_PX, PATCH_SPACING_UM_PX
from sentinode.errors import ConfigError, DataError
from sentinode.extras import optional
from sentinode.slides.annotations.read import Annotations, find_annotations, read_annotations
from sentinode.slides.slide import Slide, open_slide
from sentinode.slides.tissue import Tissue, find_tissue
from sentinode.storage import read_json

CENTER_PX = 32  # The label of a patch is that of its central square of this side.
Balance = Literal["equal", "all"]
Kind = Literal["tumour", "hard", "random"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_POINTS = 1 << 22  # Pixel centers compared with the outlines at once.
_BOXES = 1 << 17  # Patches compared with the outlines at once.

Places = NDArray[np.int64]  # x and y of top left corners in pixels of the resolution that is read, shape (n, 2).


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Which patches are extracted.

    Attributes
    ----------
    step_px : int
        Distance of neighboring candidates in pixels of 0.972 µm. At 32 px each pixel lies in the center of one patch.
    max_per_slide : int
        Most patches of each class from one slide.
    balance : {"equal", "all"}
        As many normal as tumour patches over all slides, spread evenly over them; or all up to `max_per_slide`.
    hard_fraction : float
        Fraction of hard negatives among the normal patches, as far as a scan found so many.
    hard_threshold : float
        Probability of tumour from which on a normal patch is a hard negative.
    unannotated_normal : bool
        Whether slides without annotations hold no tumour; otherwise they are failures.
    annotated_only : bool
        Whether normal patches come from annotated normal regions only, as for slides that are annotated in part;
        otherwise all tissue that is not tumour is normal.
    force : bool
        Whether given µm per pixel are taken although those of a file differ by more than a factor of 1.5.
    seed : int
        Seed of the random choice.

    Raises
    ------
    ConfigError
        A value is not possible.
    """

    step_px: int = 32
    max_per_slide: int = 1000
    balance: Balance = "equal"
    hard_fraction: float = 0.5
    hard_threshold: float = 0.5
    unannotated_normal: bool = False
    annotated_only: bool = False
    force: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("step_px", "max_per_slide"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("hard_fraction", "hard_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be between 0 and 1; got {getattr(self, name)}")
        if self.annotated_only and self.unannotated_normal:
            raise ConfigError("annotated_only and unannotated_normal contradict each other; choose one")
        if self.balance not in get_args(Balance):
            raise ConfigError(f"balance must be one of {', '.join(get_args(Balance))}; got {self.balance!r}")


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
        scale = selection.effective_um_px / slide.spacing_um_px
        grid = _grid(slide, tissue, scale, config.step_px)
        tumour = optional("shapely", "slides").MultiPolygon() if drawn is None else drawn.tumour
        is_tumour = tumour_inside(tumour, grid, scale, border_px=_border(CENTER_PX), side_px=CENTER_PX)
        sha256 = slide.fingerprint()
        scan = _scan_folder(slide, scans)
        hard, probability = _hard_negatives(slide, scan, sha256, tumour, scale, config)
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
            "slide_sha256": sha256,
            "annotations": None if drawn is None else drawn.path.name,
            "notes": [] if drawn is None else list(drawn.notes),
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
        f"{slide.path}: has no annotations {where}; if such slides hold no tumour, say so with --unannotated-normal"
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
    columns, rows = (
        np.minimum(((each + PATCH_SIZE_PX / 2) * scale / tissue.pixel_level0_px).astype(int), most - 1)
        for each, most in zip((across, down), tissue.mask.shape[::-1], strict=True)
    )
    row, column = np.nonzero(tissue.mask[np.ix_(rows, columns)])
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
    slide: Slide, scan: Path | None, sha256: str, tumour: Any, scale: float, config: ExtractConfig
) -> tuple[Places, NDArray[np.float64]]:
    """Return places without tumour that a scan called tumour, the most probable first, one for each square of the grid.

    No part of these patches is annotated as tumour: at the edge of a lesion the outline may be wrong, not the scan.
    """
    if scan is None:
        return np.empty((0, 2), np.int64), np.empty(0)
    from sentinode.slides.results.files import SETTINGS
    from sentinode.slides.results.heatmap import load_heatmap

    settings = read_json(scan / SETTINGS)
    if settings.get("slide_sha256") != sha256 or settings.get("spacing_um_px") != slide.spacing_um_px:
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
    normal = ~_touches(tumour, places, scale)
    places, values = places[normal], values[normal]
    order = np.lexsort((places[:, 0], places[:, 1], -values))
    _, first = np.unique(places[order] // config.step_px, axis=0, return_index=True)
    kept = order[np.sort(first)]
    return places[kept], values[kept]


def choose(found: Sequence[Candidates], config: ExtractConfig) -> list[dict[Kind, Places]]:
    """Choose the places of each slide."""
    most = config.max_per_slide
    there = {kind: np.array([len(each.places[kind]) for each in found]) for kind in KINDS}
    tumour = np.minimum(there["tumour"], most)
    if config.balance == "equal" and tumour.sum() == 0:
        raise DataError(
            "no tumour patch on any slide, so that there is nothing to balance normal patches with; give annotated "
            "slides with tumour, or take all with --balance all"
        )
    wanted = int(tumour.sum()) if config.balance == "equal" else most * len(found)
    hard = _spread(np.minimum(there["hard"], round(most * config.hard_fraction)), round(wanted * config.hard_fraction))
    random = _spread(np.minimum(there["random"], most - hard), wanted - int(hard.sum()))
    if config.balance == "equal":
        normal = int(hard.sum() + random.sum())
        if normal == 0:
            raise DataError(
                "no normal patch on any slide, so that there is nothing to balance tumour patches with; add slides, or "
                "take all with --balance all"
            )
        tumour = _spread(tumour, normal)
    counts: dict[Kind, NDArray[np.int64]] = {"tumour": tumour, "hard": hard, "random": random}
    chosen = [{kind: each.places[kind][: counts[kind][number]] for kind in KINDS} for number, each in enumerate(found)]
    if not any(len(places) for each in chosen for places in each.values()):
        raise DataError("no patch lies on the tissue of these slides: is it smaller than 96 px at 0.972 µm per pixel?")
    return chosen


def _spread(most: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Divide a total into shares that are as equal as their limits allow.

    >>> _spread(np.array([1, 9, 9]), 10).tolist()
    [1, 5, 4]
    """
    shares = np.zeros_like(most)
    rest = min(total, int(most.sum()))
    while rest > 0:
        unfilled = np.flatnonzero(shares < most)[:rest]
        added = np.minimum(most[unfilled] - shares[unfilled], rest // len(unfilled))
        shares[unfilled] += added
        rest -= int(added.sum())
    return shares


def tumour_inside(tumour: Any, places: Places, scale: float, *, border_px: int, side_px: int) -> NDArray[np.bool_]:
    """Tell for squares inside of patches whether they have a tumour pixel: one whose center lies in the region.

    Parameters
    ----------
    tumour : shapely geometry
        Polygons in level-0 px.
    places : ndarray of int, shape (n, 2)
        x and y of the top left corners of patches, in pixels of the resolution that is read.
    scale : float
        Level-0 px along such a pixel.
    border_px, side_px : int
        Distance of the square from the patch's edge, and its side, in the same pixels.

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> import shapely
    >>> places = np.array([[0, 0], [32, 0]])
    >>> tumour_inside(shapely.box(65, 0, 80, 96), places, 1.0, border_px=32, side_px=32)
    array([False,  True])
    """
    shapely = optional("shapely", "slides")
    found = np.zeros(len(places), bool)
    if tumour.is_empty or len(places) == 0:
        return found
    shapely.prepare(tumour)
    corners = (places + border_px) * scale
    squares = shapely.box(*corners.T, *(corners + side_px * scale).T)
    found[:] = shapely.contains_properly(tumour, squares)
    unclear = np.flatnonzero(shapely.intersects(tumour, squares) & ~found)
    offsets = (np.arange(side_px) + 0.5) * scale
    at_once = max(1, _POINTS // side_px**2)
    for start in range(0, len(unclear), at_once):
        some = unclear[start : start + at_once]
        x, y = (corners[some, axis, None] + offsets for axis in (0, 1))
        found[some] = shapely.contains_xy(tumour, x[:, None, :], y[:, :, None]).any(axis=(1, 2))
    return found


def _touches(tumour: Any, places: Places, scale: float) -> NDArray[np.bool_]:
    """Tell for patches whether any part of them touches the tumour region."""
    shapely = optional("shapely", "slides")
    shapely.prepare(tumour)
    found = np.zeros(len(places), bool)
    for start in range(0, len(places), _BOXES):
        some = slice(start, start + _BOXES)
        corners = places[some] * scale
        found[some] = shapely.intersects(tumour, shapely.box(*corners.T, *(corners + PATCH_SIZE_PX * scale).T))
    return found
