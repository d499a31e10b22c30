"""What a scan will need: time and disk space."""

import math
import time

from sentinode.data.types import PATCH_SPACING_UM_PX
from sentinode.machine import processor_count
from sentinode.slides.blocks import Block
from sentinode.slides.grid import ScanGrid
from sentinode.slides.scanning.scanner import Scanner
from sentinode.slides.slide import Slide
from sentinode.slides.tissue import Tissue

# Blocks that are read and computed to measure the speed; before them one, since engines prepare themselves.
_MEASURED_BLOCKS = 3


class DurationEstimate:
    """Estimate how long scans take.

    A few blocks of the first slide are read and computed, and of each that has to be shrunk more or less than those
    before.

    Parameters
    ----------
    scanner : Scanner
        From `load_scanner`.
    """

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._speeds: dict[float, float] = {}  # By how much pixels are shrunk, which decides what reading costs.

    def __call__(self, slide: Slide, tissue: Tissue) -> float:
        """Estimate the duration of a scan.

        Parameters
        ----------
        slide : Slide
            An open slide.
        tissue : Tissue

        Returns
        -------
        float
            Seconds, without finding tissue and writing results.
        """
        grid = ScanGrid(slide, tissue, self._scanner.step_px)
        blocks = [block for row in grid.blocks().values() for block in row]
        if not blocks:
            return 0.0
        shrink = round(grid.selection.shrink, 1)
        if shrink not in self._speeds:
            self._speeds[shrink] = self._measured_speed(slide, grid, blocks)
        return sum(self._work(grid, block) for block in blocks) / self._speeds[shrink]

    def _work(self, grid: ScanGrid, block: Block) -> int:
        """Return what the time is proportional to: pixels, or patches of a network that computes each by itself."""
        patches = self._scanner.network == "patches"
        return int(grid.wanted_in(block).sum()) if patches else math.prod(grid.size_px(block))

    def _measured_speed(self, slide: Slide, grid: ScanGrid, blocks: list[Block]) -> float:
        """Return the work done in a second."""
        blocks = sorted(blocks, key=lambda block: self._work(grid, block))
        middles = ((2 * number + 1) * len(blocks) // (2 * _MEASURED_BLOCKS) for number in range(_MEASURED_BLOCKS))
        chosen = [blocks[middle] for middle in middles]
        reading_s = computing_s = 0.0
        for number, block in enumerate([blocks[0], *chosen]):
            began = time.monotonic()
            pixels = grid.read(slide, block)
            read = time.monotonic()
            self._scanner.compute(pixels, grid.wanted_in(block))
            if number:
                reading_s += read - began
                computing_s += time.monotonic() - read
        # Blocks are read ahead by threads, one for each processor.
        return sum(self._work(grid, block) for block in chosen) / max(computing_s, reading_s / processor_count())


def bytes_needed(slide: Slide, tissue: Tissue, step_px: int) -> int:
    """Estimate the disk space that a scan needs at the most, without tables.

    Parameters
    ----------
    slide : Slide
    tissue : Tissue
    step_px : int
        Distance of neighboring patches in pixels of 0.972 µm.

    Returns
    -------
    int
        Bytes: the log-odds of the whole grid, those of unfinished rows with tissue, and room for maps and pictures.
    """
    full, scale = slide.levels[0], step_px * PATCH_SPACING_UM_PX / slide.spacing_um_px
    grid = full.width_px / scale * full.height_px / scale
    rows_with_tissue = tissue.mask.any(axis=1).mean()
    return int(grid * (4 + 4 * rows_with_tissue + 1.4)) + 20_000_000
