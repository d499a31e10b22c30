"""Scan a slide: the probability of tumour for every patch of a dense grid over its tissue."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sentinode.data.parallel import ordered_map
from sentinode.data.types import PATCH_SIZE_PX, UInt8Array
from sentinode.errors import ConfigError, DataError, ModelError
from sentinode.inference.engines import REGION_ENGINES, check_options
from sentinode.inference.logits import tumour_logit
from sentinode.inference.predictor import BATCH_SIZE
from sentinode.inference.regions import open_region_engine
from sentinode.progress import progress_bar
from sentinode.slides.blocks import BLOCK_PX, Block, plan_blocks
from sentinode.slides.heatmap import Heatmap
from sentinode.slides.slide import LevelSelection, Slide
from sentinode.slides.tissue import Tissue, find_tissue
from sentinode.storage import atomic_file

if TYPE_CHECKING:
    from sentinode.inference.predictor import Predictor, Session

log = logging.getLogger("sentinode")

# µm per pixel of the training patches.
SPACING_UM_PX = 0.972
STEP_PX = 8
# Step of models that are computed patch by patch, at the least.
_PATCH_STEP_PX = 32
# JAX compiles anew for each shape, which takes seconds; sides of blocks are padded to a multiple of this.
_JAX_MULTIPLE_PX = 256
# TensorFlow uses the processors better with two images of half the height than with one; below this height the margin
# that both need outweighs it.
_TENSORFLOW_STRIP_PX = 256
# Enlarged twice, 50 to 100 % of the patches of real tissue are flagged; at the right scale 0 to 12 %.
_CHECKED_PATCHES, _MOST_OUT_OF_DISTRIBUTION = 200, 0.3
# Patches with little tissue say nothing about scale, stain or focus.
_NO_TISSUE = "tissue"

# Calibrated log-odds of one block: its pixels (rows, columns, 3) and which places are wanted in, float32 of the shape
# of the places out. Other places hold anything.
BlockNetwork = Callable[[UInt8Array, NDArray[np.bool_]], NDArray[np.float32]]


@dataclass(frozen=True)
class Scanner:
    """A model that is loaded for scanning, so that the slides of a folder share it.

    Attributes
    ----------
    model : Predictor
        The model.
    step_px : int
        Distance of neighboring patches in pixels of 0.972 µm.
    network : str
        ``"dense"`` where overlapping patches share their computation, ``"patches"`` where each is computed by itself.
    compute : callable
        Pixels of a block, uint8 ``(rows, columns, 3)``, and which of its places are wanted, a bool array, in; float32
        calibrated log-odds of its places out.
    engine : str
        What computes.
    precision : str
        Of its arithmetic.
    """

    model: "Predictor"
    step_px: int
    network: str
    compute: BlockNetwork
    engine: str = "keras"
    precision: str = "float32"


def load_scanner(
    model: "Predictor", step_px: int = STEP_PX, *, engine: str = "keras", precision: str = "float32"
) -> Scanner:
    """Load a model for scanning.

    A d4net computes all patches of a block at once. Any other model computes patch by patch, at a step of at least
    32 px.

    Parameters
    ----------
    model : Predictor
        The model, such as a `Run`.
    step_px : int
        Distance of neighboring patches in pixels of 0.972 µm, a multiple of 8.
    engine : {"keras", "openvino"}
        What computes. OpenVINO starts faster and needs less memory; the network is exported once, into the user's
        cache, and Keras is not imported after that.
    precision : {"float32", "bfloat16", "int8"}
        See `predict`.

    Returns
    -------
    Scanner

    Raises
    ------
    ModelError
        `step_px` is no multiple of 8, the engine is not installed, or does not compute in `precision`.
    ConfigError
        The engine or precision is unknown.
    """
    if step_px < STEP_PX or step_px % STEP_PX:
        raise ModelError(f"step {step_px} px: it must be a multiple of {STEP_PX}")
    check_options(engine, "none", precision)
    if engine not in REGION_ENGINES:
        raise ConfigError(f"engine {engine} does not scan; use one of {', '.join(REGION_ENGINES)}")
    load = _dense_openvino if engine == "openvino" else _dense_keras
    try:
        return Scanner(model, step_px, "dense", load(model, step_px, precision), engine, precision)
    except ModelError as error:
        log.info("%s is computed patch by patch: %s", model.name, error)
    step_px = max(step_px, _PATCH_STEP_PX)
    compute = _patch_by_patch(model.predictor(engine, precision=precision), step_px)
    return Scanner(model, step_px, "patches", compute, engine, precision)


def _dense_keras(model: "Predictor", step_px: int, precision: str) -> BlockNetwork:
    import keras

    from sentinode.models.backend import silence_retracing_warning
    from sentinode.models.plain import plain_network
    from sentinode.models.precision import mixed_precision

    network, calibration = plain_network(model.model, step_px=step_px), model.calibration
    backend = keras.backend.backend()
    multiple_px = _JAX_MULTIPLE_PX if backend == "jax" else 1

    def predict(pixels: UInt8Array) -> NDArray[np.float32]:
        with silence_retracing_warning(), mixed_precision(network, precision):
            outputs = network.predict_on_batch(pixels)
        logits = calibration(tumour_logit(outputs.reshape(-1, outputs.shape[-1])))
        return logits.astype(np.float32).reshape(outputs.shape[:3])

    def compute(pixels: UInt8Array, wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
        rows, columns = wanted.shape  # All places share their computation.
        if backend == "tensorflow" and rows * step_px >= _TENSORFLOW_STRIP_PX:
            half = -(-rows // 2)
            height, second = (half - 1) * step_px + PATCH_SIZE_PX, (rows - half) * step_px
            upper, lower = predict(np.stack([pixels[:height], pixels[second : second + height]]))
            return np.concatenate([upper[: rows - half], lower])
        pixels = np.pad(pixels, [*((0, -side % multiple_px) for side in pixels.shape[:2]), (0, 0)])
        return predict(pixels[None])[0, :rows, :columns]

    return compute


def _dense_openvino(model: "Predictor", step_px: int, precision: str) -> BlockNetwork:
    file = model.network_file("openvino", precision)
    region = open_region_engine(file, step_px, precision)
    return lambda pixels, wanted: region(pixels).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Scan:
    """A scanned slide.

    Attributes
    ----------
    heatmap : Heatmap
    tissue : Tissue
    selection : LevelSelection
        The resolution that was scanned.
    network : str
        ``"dense"`` where overlapping patches share their computation, ``"patches"`` where each is computed by itself.
    out_of_distribution : float or None
        Fraction of sampled tissue patches unlike the training patches in stain, brightness, focus or scale; None where
        nothing is known of these.
    warnings : tuple of str
        What may be wrong with the result.
    duration_s, waiting_s : float
        Seconds that the scan took in this process, and of these the seconds for which the network waited for pixels.
    """

    heatmap: Heatmap
    tissue: Tissue
    selection: LevelSelection
    network: str
    out_of_distribution: float | None
    warnings: tuple[str, ...]
    duration_s: float
    waiting_s: float


def scan_slide(
    slide: Slide,
    scanner: "Scanner | Predictor",
    *,
    tissue: Tissue | None = None,
    force: bool = False,
    work_folder: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> Scan:
    """Compute the probability of tumour on a dense grid over the tissue of a slide.

    Parameters
    ----------
    slide : Slide
        An open slide.
    scanner : Scanner or Predictor
        From `load_scanner`; a model, such as a `Run`, is loaded with a step of 8 px.
    tissue : Tissue or None
        Where to scan; found by `find_tissue` where None.
    force : bool
        Scan although much of the tissue is unlike the training patches.
    work_folder : str, Path or None
        Where finished rows of blocks are kept, so that an interrupted scan can continue; none are kept where None.
    progress : callable, optional
        Called with the fraction of the tissue that is done, after each row of blocks.

    Returns
    -------
    Scan

    Raises
    ------
    DataError
        There is no tissue, much of it is unlike the training patches, or the file is damaged.

    Examples
    --------
    >>> from sentinode import load_run
    >>> from sentinode.slides import open_slide, scan_slide
    >>> with open_slide("slide.svs") as slide:  # doctest: +SKIP
    ...     scan = scan_slide(slide, load_run("d4net-m"))
    """
    began = time.monotonic()
    selection = slide.select_level(SPACING_UM_PX)
    tissue = tissue or find_tissue(slide)
    scanner = scanner if isinstance(scanner, Scanner) else load_scanner(scanner)
    grid = _Grid(slide, selection, tissue, scanner.step_px)
    share, warnings = _check_distribution(slide, scanner.model, grid, force)
    log_odds, waited = np.full(grid.shape, np.nan, np.float32), list[float]()
    folder = Path(work_folder) if work_folder is not None else None
    done_mm2 = 0.0
    with progress_bar("scanning", total=round(grid.area_mm2), unit="mm²") as advance:
        for row, values in _rows(slide, scanner.compute, grid, folder, waited):
            place = row * grid.block
            band = log_odds[place : place + grid.block]
            band[:] = values[: len(band), : grid.shape[1]]
            advance(grid.row_area_mm2(row))
            done_mm2 += grid.row_area_mm2(row)
            if progress is not None:
                progress(min(1.0, done_mm2 / grid.area_mm2))
    log_odds[~grid.wanted] = np.nan
    heatmap = Heatmap(log_odds, grid.origin_px, grid.step_level0_px, grid.step_px * selection.effective_um_px)
    return Scan(heatmap, tissue, selection, scanner.network, share, warnings, time.monotonic() - began, sum(waited))


class _Grid:
    """The places of a scan: which there are, which are on tissue, and the blocks that they are computed in."""

    def __init__(self, slide: Slide, selection: LevelSelection, tissue: Tissue, step_px: int) -> None:
        self.selection, self.step_px = selection, step_px
        self.block = max(1, BLOCK_PX // step_px)  # Rows of places in a row of blocks.
        self.scale = selection.effective_um_px / slide.spacing_um_px  # Level-0 px along a scanned pixel.
        full = slide.levels[0]
        size = (int(full.height_px / self.scale), int(full.width_px / self.scale))
        rows, columns = (max(1, (side - PATCH_SIZE_PX) // step_px + 1) for side in size)
        self.shape = rows, columns
        self.origin_px = PATCH_SIZE_PX / 2 * self.scale
        self.step_level0_px = step_px * self.scale
        self.place_mm2 = (step_px * selection.effective_um_px) ** 2 / 1e6
        down, across = (
            np.minimum(
                ((self.origin_px + np.arange(count) * self.step_level0_px) / tissue.pixel_level0_px).astype(int),
                most - 1,
            )
            for count, most in zip(self.shape, tissue.mask.shape, strict=True)
        )
        self.wanted = tissue.mask[np.ix_(down, across)]

    @property
    def area_mm2(self) -> float:
        """Area of the tissue that is scanned."""
        return float(self.wanted.sum()) * self.place_mm2

    def row_area_mm2(self, row: int) -> float:
        """Area of the tissue in a row of blocks."""
        return float(self.wanted[row * self.block : (row + 1) * self.block].sum()) * self.place_mm2

    def wanted_in(self, block: Block) -> NDArray[np.bool_]:
        """Return which places of a block are on tissue."""
        inside = self.wanted[block.row : block.row + block.rows, block.column : block.column + block.columns]
        return np.pad(inside, [(0, block.rows - inside.shape[0]), (0, block.columns - inside.shape[1])])

    def read(self, slide: Slide, block: Block) -> UInt8Array:
        """Read the pixels of a block, up to the end of its last patches."""
        x, y = block.column * self.step_px, block.row * self.step_px
        width, height = ((count - 1) * self.step_px + PATCH_SIZE_PX for count in (block.columns, block.rows))
        return slide.read(self.selection, x, y, width, height)


def _rows(
    slide: Slide, network: BlockNetwork, grid: _Grid, folder: Path | None, waited: list[float]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Compute rows of blocks, or take them from an interrupted scan; give each with its number.

    `waited` gets the seconds for which the network waited for each block.
    """
    places = grid.block
    width = grid.shape[1] + places
    blocks = plan_blocks(grid.wanted, grid.step_px)
    kept = {row: _kept_row(folder, row, (places, width)) for row in blocks} if folder else {}
    todo = [block for row, inside in blocks.items() if kept.get(row) is None for block in inside]
    pixels = ordered_map(lambda block: grid.read(slide, block), todo)
    for row, inside in blocks.items():
        values = kept.get(row)
        if values is None:
            values = np.full((places, width), np.nan, np.float32)
            for block in inside:
                began = time.monotonic()
                region = next(pixels)
                waited.append(time.monotonic() - began)
                top = block.row - row * places
                values[top : top + block.rows, block.column : block.column + block.columns] = network(
                    region, grid.wanted_in(block)
                )
            if folder:
                with atomic_file(folder / f"row-{row:05}.npy") as temporary:
                    np.save(temporary, values)
        yield row, values


def _kept_row(folder: Path, row: int, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    file = folder / f"row-{row:05}.npy"
    with suppress(OSError, ValueError, EOFError):
        values = np.load(file, allow_pickle=False)
        if values.shape == shape and values.dtype == np.float32:
            return values
    return None


def _patch_by_patch(session: "Session", step_px: int) -> BlockNetwork:
    def compute(pixels: UInt8Array, wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (PATCH_SIZE_PX, PATCH_SIZE_PX), axis=(0, 1))
        grid, places = windows[::step_px, ::step_px].transpose(0, 1, 3, 4, 2), np.argwhere(wanted)
        out = np.full(wanted.shape, np.nan, np.float32)
        for start in range(0, len(places), BATCH_SIZE):
            rows, columns = places[start : start + BATCH_SIZE].T
            out[rows, columns] = session.compute(grid[rows, columns])
        return out

    return compute


def _check_distribution(
    slide: Slide, model: "Predictor", grid: _Grid, force: bool
) -> tuple[float | None, tuple[str, ...]]:
    """Compare sampled tissue with the training patches; refuse to scan where much of it is unlike them."""
    places = np.argwhere(grid.wanted)
    if len(places) == 0:
        raise DataError(f"{slide.path}: its tissue is smaller than one patch of {PATCH_SIZE_PX} px")
    chosen = np.random.default_rng(0).choice(len(places), min(len(places), _CHECKED_PATCHES), replace=False)
    pixels = np.stack(
        [
            slide.read(grid.selection, int(x) * grid.step_px, int(y) * grid.step_px, PATCH_SIZE_PX, PATCH_SIZE_PX)
            for y, x in places[np.sort(chosen)]
        ]
    )
    warnings = model.warnings(pixels)
    if warnings is None:
        return None, ("nothing is known of the training patches of this model: scale and stain were not checked",)
    flagged = [[kind for kind in each.split(", ") if kind] for each in warnings]
    judged = [kinds for kinds in flagged if _NO_TISSUE not in kinds]
    share = float(np.mean([bool(kinds) for kinds in judged])) if judged else 0.0
    if share <= _MOST_OUT_OF_DISTRIBUTION:
        return share, ()
    kinds = sorted(kind for each in judged for kind in each)
    most = max(kinds, key=kinds.count)
    message = (
        f"{slide.path}: {share:.0%} of {len(judged)} sampled tissue patches are unlike the training patches, "
        f"most often in {most}; is {slide.spacing_um_px:.4g} µm per pixel right ({slide.spacing_source})?"
    )
    if not force:
        raise DataError(f"{message} State it with --mpp, or scan all the same with --force")
    log.warning(message)
    return share, (message,)
