"""Scan a slide: the probability of tumour for every patch of a dense grid over its tissue."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from sentinode.data.parallel import ordered_map
from sentinode.data.types import PATCH_SIZE_PX
from sentinode.errors import DataError, plural
from sentinode.inference.ood import WARNINGS
from sentinode.progress import progress_bar
from sentinode.slides.blocks import Block
from sentinode.slides.grid import ScanGrid
from sentinode.slides.results.heatmap import Heatmap
from sentinode.slides.scanning.scanner import BlockNetwork, Scanner, load_scanner
from sentinode.slides.slide import LevelSelection, Slide
from sentinode.slides.tissue import Tissue, find_tissue
from sentinode.storage import atomic_file

if TYPE_CHECKING:
    from sentinode.inference.predictor import Predictor

Item = TypeVar("Item")

log = logging.getLogger("sentinode")

# Enlarged twice, 50 to 100 % of the patches of real tissue are flagged; at the right scale 0 to 12 %.
_CHECKED_PATCHES, _MOST_OUT_OF_DISTRIBUTION = 200, 0.3
_FEWEST_JUDGED = 20  # Less than that, a single unusual patch would decide.
# Patches with little tissue say nothing about scale, stain or focus.
_NO_TISSUE, *_, _SCALE = WARNINGS


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
        these are unknown.
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
    tissue = tissue or find_tissue(slide)
    scanner = scanner if isinstance(scanner, Scanner) else load_scanner(scanner)
    grid = ScanGrid(slide, tissue, scanner.step_px)
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
    heatmap = Heatmap(log_odds, grid.origin_px, grid.step_level0_px, grid.step_px * grid.selection.effective_um_px)
    return Scan(
        heatmap, tissue, grid.selection, scanner.network, share, warnings, time.monotonic() - began, sum(waited)
    )


def scan_rows(
    slide: Slide, scanner: Scanner, tissue: Tissue, work_folder: Path, start: float, *, force: bool = False
) -> Iterator[int]:
    """Compute rows of blocks of a slide that another process scans, which takes them from the work folder.

    Parameters
    ----------
    slide, scanner, tissue, work_folder, force
        As in the call of `scan_slide` in the other process.
    start : float
        Fraction of the rows after which to begin. Those before come last; rows that are in the folder are passed over.

    Yields
    ------
    int
        The number of each row that is finished.

    Raises
    ------
    DataError
        See `scan_slide`.
    """
    grid = ScanGrid(slide, tissue, scanner.step_px)
    if not force:  # The other process refuses the slide as well.
        _check_distribution(slide, scanner.model, grid, force)
    for row, _ in _rows(slide, scanner.compute, grid, work_folder, [], start):
        yield row


def _rows(
    slide: Slide,
    network: BlockNetwork,
    grid: ScanGrid,
    folder: Path | None,
    waited: list[float],
    start: float = 0.0,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Compute rows of blocks, or take them from an interrupted scan or another process; give each with its number.

    `waited` gets the seconds for which the network waited for each block.
    """
    places = grid.block
    shape = places, grid.shape[1] + places
    blocks = grid.blocks()
    first = int(start * len(blocks))
    taken: dict[int, NDArray[np.float32]] = {}

    def todo() -> Iterator[tuple[int, Block]]:
        for row in [*blocks][first:] + [*blocks][:first]:
            kept = _kept_row(folder, row, shape) if folder else None  # Another process may have finished it just now.
            if kept is None:
                yield from ((row, block) for block in blocks[row])
            else:
                taken[row] = kept

    pixels = ordered_map(lambda part: (*part, grid.read(slide, part[1])), todo())
    for row, parts in groupby(_timed(pixels, waited), key=itemgetter(0)):
        values = np.full(shape, np.nan, np.float32)
        for _, block, region in parts:
            top = block.row - row * places
            values[top : top + block.rows, block.column : block.column + block.columns] = network(
                region, grid.wanted_in(block)
            )
        if folder:
            with atomic_file(folder / f"row-{row:05}.npy") as temporary:
                np.save(temporary, values)
        yield row, values
        while taken:
            yield taken.popitem()
    while taken:
        yield taken.popitem()


def _timed(items: Iterator[Item], waited: list[float]) -> Iterator[Item]:
    while True:
        began = time.monotonic()
        try:
            item = next(items)
        except StopIteration:
            return
        waited.append(time.monotonic() - began)
        yield item


def _kept_row(folder: Path, row: int, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    file = folder / f"row-{row:05}.npy"
    with suppress(OSError, ValueError, EOFError):
        values = np.load(file, allow_pickle=False)
        if values.shape == shape and values.dtype == np.float32:
            return values
    return None


def _check_distribution(
    slide: Slide, model: "Predictor", grid: ScanGrid, force: bool
) -> tuple[float | None, tuple[str, ...]]:
    """Compare sampled tissue with the training patches; refuse to scan where much of it is out of distribution."""
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
        return None, ("the training patches of this model are unknown; scale and stain were not checked",)
    flagged = [[kind for kind in each.split(", ") if kind] for each in warnings]
    judged = [kinds for kinds in flagged if _NO_TISSUE not in kinds]
    if len(judged) < _FEWEST_JUDGED:
        few = f"{len(judged)} of {plural(len(flagged), 'sampled patch')} with enough tissue"
        return None, (f"only {few}; scale and stain were not checked",)
    share = float(np.mean([bool(kinds) for kinds in judged]))
    if share <= _MOST_OUT_OF_DISTRIBUTION:
        return share, ()
    kinds = sorted(kind for each in judged for kind in each)
    most = max(kinds, key=kinds.count)
    message = (
        f"{slide.path}: {100 * share:.0f} % of {len(judged)} sampled tissue patches are out of distribution, most "
        f"often in {most}"
    )
    way_out = "; use --force to scan anyway"
    if _SCALE in kinds:
        message += f"; check the pixel size ({slide.spacing_um_px:.4g} µm/px, source: {slide.spacing_source})"
        way_out = " and set it with --mpp, or use --force to scan anyway"
    if not force:
        raise DataError(message + way_out)
    log.warning(message)
    return share, (message,)
