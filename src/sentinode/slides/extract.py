"""Extract labeled patches from annotated slides, in the layout of PatchCamelyon's HDF5 files.

The label rule is PatchCamelyon's: B. S. Veeling et al., "Rotation equivariant CNNs for digital pathology", MICCAI 2018.
Patches that a scan called tumour outside of the annotations can be added as hard negatives.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.data.grouping import check_options, patient_and_slide
from sentinode.data.labels import Classes
from sentinode.data.parallel import ordered_map
from sentinode.data.types import PATCH_SHAPE, PATCH_SIZE_PX, ReadOptions
from sentinode.errors import ConfigError, DataError, OutputError, SentinodeError
from sentinode.inference.engines import optional
from sentinode.progress import Advance, progress_bar
from sentinode.slides.annotations import Annotations, find_annotations, read_annotations
from sentinode.slides.scan import SPACING_UM_PX
from sentinode.slides.slide import LevelSelection, Slide, open_slide
from sentinode.slides.tissue import Tissue, find_tissue
from sentinode.storage import atomic_folder, check_free_space, check_output_folder, read_json, write_json
from sentinode.version import __version__

if TYPE_CHECKING:
    from sentinode.inference.predictor import Predictor
    from sentinode.training.run import Run

CENTER_PX = 32  # The label of a patch is that of its central square of this side.
SOURCES = "extract.json"
Balance = Literal["equal", "all"]
Kind = Literal["tumour", "hard", "random"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_BATCH = 64  # Patches written at once.
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


@dataclass(frozen=True)
class _Candidates:
    """The places of one slide that may be extracted, those of each kind in the order of preference."""

    path: Path
    places: dict[Kind, Places]
    hard_probability: NDArray[np.float64]
    tumour: Any
    about: dict[str, Any]


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
            f"{annotations}: the annotations of one slide, but {len(paths)} slides are given; name a folder with "
            "--annotations"
        )
    found, failures = [], []
    with progress_bar("finding candidates", total=len(paths), unit="slides") as advance:
        for path in paths:
            try:
                found.append(_candidates(path, annotations, classes, hard_negatives, spacings[path], config))
            except DataError as error:
                failures.append((path.name, str(error)))
            advance(1)
    if not found:
        more = f" (and {len(failures) - 1} more slides)" if len(failures) > 1 else ""
        raise DataError(f"no slide can be used{more}: {failures[0][1]}" if failures else "no slides are given")
    if hard_negatives is not None and not any(each.about["scan"] for each in found):
        raise DataError(f"{hard_negatives}: holds no finished scan of these slides; run sentinode scan on them first")
    chosen = _choose(found, config)
    count = sum(len(places) for each in chosen for places in each.values())
    check_free_space(folder, count * int(np.prod(PATCH_SHAPE)), "make room, or lower --max-per-slide")
    with atomic_folder(folder) as temporary:
        table, sha1, broken = _write(temporary, folder.name, found, chosen, patients, spacings)
        failures += broken
        if table.empty:
            raise DataError(f"no patch could be read: {failures[-1][1]}")
        known = None if model is None else _known_slides(model, table["wsi"], sha1)
        used = [_summary(each, table) for each in found if each.path.name not in dict(broken)]
        write_json(
            temporary / SOURCES,
            {
                "settings": asdict(config) | {"classes": dict(classes), "spacing_um_px": SPACING_UM_PX},
                "slides": used,
                "failures": [{"slide": name, "reason": reason} for name, reason in failures],
                "model": None if model is None else model.name,
                "known_slides": known,
                "sentinode": __version__,
            },
        )
    return Extraction(folder, used, failures, known, table)


def check_new_folder(out: str | Path) -> Path:
    """Check that a folder can be written and holds nothing yet.

    Raises
    ------
    OutputError
        It cannot be written, or is not empty.
    """
    folder = check_output_folder(out)
    if folder.suffix.lower() in (".h5", ".hdf5"):
        raise OutputError(f"{out}: three files are written; name a folder for them, such as {folder.stem}")
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{out}: is not empty; name another folder with --out, or delete it")
    return folder


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


# Candidates


def _patients(paths: Sequence[Path], pattern: str | None) -> dict[str, str]:
    """Return the patient of each slide whose patient is known."""
    stems = [path.stem for path in paths]
    for path in paths:
        if stems.count(path.stem) > 1:
            raise ConfigError(f"{path}: two slides are named {path.stem}; patches could not be told apart, rename one")
    if pattern is None:
        return {stem: patient for stem in stems if (patient := patient_and_slide(stem)[0])}
    check_options(ReadOptions(patient_from=pattern))
    found = {stem: match for stem in stems if (match := re.search(pattern, stem))}
    if missing := [stem for stem in stems if stem not in found]:
        raise ConfigError(f"--patient-from {pattern!r} finds no patient in the name of slide {missing[0]}")
    return {stem: match.groupdict().get("patient", match[1]) for stem, match in found.items()}


def _candidates(
    path: Path,
    annotations: str | Path | None,
    classes: Classes,
    scans: str | Path | None,
    spacing_um_px: float | None,
    config: ExtractConfig,
) -> _Candidates:
    with open_slide(path, spacing_um_px=spacing_um_px) as slide:
        drawn = _annotations(slide, annotations, classes, config)
        selection, tissue = slide.select_level(SPACING_UM_PX), find_tissue(slide)
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
            "effective_spacing_um_px": selection.effective_um_px,
            "level": selection.level,
            "scale": scale,
            "tissue_mm2": tissue.area_mm2,
            "tumour_mm2": tumour.area * slide.spacing_um_px**2 / 1e6,
            "candidates": {kind: len(each) for kind, each in places.items()},
        }
    return _Candidates(path, places, probability, tumour, about)


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
    from sentinode.slides.results import SETTINGS, SUMMARY

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
    from sentinode.slides.results import SETTINGS, load_heatmap

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


# Choice


def _choose(found: Sequence[_Candidates], config: ExtractConfig) -> list[dict[Kind, Places]]:
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


# Files


def _write(
    folder: Path,
    name: str,
    found: Sequence[_Candidates],
    chosen: Sequence[Mapping[Kind, Places]],
    patients: Mapping[str, str],
    spacings: Mapping[Path, float | None],
) -> tuple[pd.DataFrame, pd.Series, list[tuple[str, str]]]:
    """Write pixels, labels and metadata; return the metadata, the SHA-1s, and slides that could not be read."""
    import h5py

    tables, sha1, failures = [], [], []
    total = sum(len(places) for each in chosen for places in each.values())
    with h5py.File(folder / f"{name}_x.h5", "w") as file, progress_bar("reading", total=total) as advance:
        pixels = file.create_dataset(
            "x", (0, *PATCH_SHAPE), np.uint8, maxshape=(None, *PATCH_SHAPE), chunks=(8, *PATCH_SHAPE)
        )
        for each, places in zip(found, chosen, strict=True):
            table = _table(each, places, patients)
            before = len(pixels)
            try:
                sha1 += _read(each, table, pixels, spacings[each.path], advance)
                tables.append(table)
            except DataError as error:
                pixels.resize(before, axis=0)
                failures.append((each.path.name, str(error)))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"wsi": []})
    if tables:
        with h5py.File(folder / f"{name}_y.h5", "w") as file:
            file["y"] = table["center_tumor_patch"].to_numpy(np.uint8).reshape(-1, 1, 1, 1)
        columns = table.drop(columns=["x_px", "y_px"])
        columns.to_csv(folder / f"{name}_meta.csv", lineterminator="\n", float_format="%.4f")
    return table, pd.Series(sha1, dtype="str"), failures


def _table(candidates: _Candidates, chosen: Mapping[Kind, Places], patients: Mapping[str, str]) -> pd.DataFrame:
    """Return the metadata of the chosen patches of a slide, row by row of the slide."""
    places = np.concatenate([chosen[kind] for kind in KINDS])
    kinds = np.repeat(KINDS, [len(chosen[kind]) for kind in KINDS])
    probability = np.full(len(places), np.nan)
    probability[kinds == "hard"] = candidates.hard_probability[: len(chosen["hard"])]
    order = np.lexsort((places[:, 0], places[:, 1]))
    places, kinds, probability = places[order], kinds[order], probability[order]
    scale, stem = candidates.about["scale"], candidates.path.stem
    corners, centers = (np.rint(at * scale).astype(np.int64) for at in (places, places + PATCH_SIZE_PX / 2))
    table = pd.DataFrame(
        {
            "coord_y": corners[:, 1],
            "coord_x": corners[:, 0],
            "tumor_patch": tumour_inside(candidates.tumour, places, scale, border_px=0, side_px=PATCH_SIZE_PX),
            "center_tumor_patch": kinds == "tumour",
            "wsi": stem,
            "center_x": centers[:, 0],
            "center_y": centers[:, 1],
            "kind": kinds,
            "probability": probability,
            "x_px": places[:, 0],
            "y_px": places[:, 1],
        }
    )
    if patients:
        table.insert(5, "patient", patients.get(stem, ""))
    return table


def _read(
    candidates: _Candidates, table: pd.DataFrame, pixels: Any, spacing_um_px: float | None, advance: Advance
) -> list[str]:
    """Read the patches of a slide, append them to the data set, and return their SHA-1s."""
    sha1 = []
    with open_slide(candidates.path, spacing_um_px=spacing_um_px) as slide:
        selection: LevelSelection = slide.select_level(SPACING_UM_PX)
        places = table[["x_px", "y_px"]].to_numpy().tolist()
        patches = ordered_map(lambda at: slide.read(selection, at[0], at[1], PATCH_SIZE_PX, PATCH_SIZE_PX), places)
        for start in range(0, len(places), _BATCH):
            some = np.stack([next(patches) for _ in places[start : start + _BATCH]])
            pixels.resize(len(pixels) + len(some), axis=0)
            pixels[-len(some) :] = some
            sha1 += [hashlib.sha1(patch.tobytes(), usedforsecurity=False).hexdigest() for patch in some]
            advance(len(some))
    return sha1


def _known_slides(model: "Predictor", slides: "pd.Series[str]", sha1: "pd.Series[str]") -> dict[str, str] | None:
    """Return the slides that a model was trained on, as far as its training patches tell."""
    from sentinode.training.run import Run

    trained = model.trained_on(sha1)
    if trained is None:
        return None
    counts = slides[trained].value_counts()
    known = {
        str(slide): f"{count:,} of its patches {'is a training patch' if count == 1 else 'are training patches'}"
        for slide, count in counts.items()
    }
    if isinstance(model, Run):
        path, named = str(model.config["data"]["path"]), _training_slides(model)
        known = {slide: f"patches of it in {path}" for slide in slides.unique() if slide in named} | known
    return dict(sorted(known.items()))


def _training_slides(model: "Run") -> set[str]:
    """Return the slides of a run's training patches, if its training data are still there and name their slides."""
    from sentinode.data.open import open_patches

    path = Path(model.config["data"]["path"])
    if not path.exists():
        return set()
    try:
        patches = open_patches(path)
        if patches.table["slide"].isna().all():
            return set()
        table = patches.cached().table
        return set(table["slide"][model.trained_on(table["sha1"])].dropna())
    except SentinodeError:  # They were changed or need options; then only SHA-1s tell.
        return set()


def _summary(candidates: _Candidates, table: pd.DataFrame) -> dict[str, Any]:
    kinds = table["kind"][table["wsi"] == candidates.path.stem]
    return {**candidates.about, "patches": {kind: int((kinds == kind).sum()) for kind in KINDS}}
