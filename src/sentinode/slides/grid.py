"""The grid of places whose patches a scan computes."""

import numpy as np
from numpy.typing import NDArray

from sentinode.data.types import PATCH_SIZE_PX, PATCH_SPACING_UM_PX, UInt8Array
from sentinode.errors import ModelError
from sentinode.slides.blocks import BLOCK_PX, Block, plan_blocks
from sentinode.slides.slide import Slide
from sentinode.slides.tissue import Tissue

STEP_PX = 8


def check_step(step_px: int) -> None:
    """Refuse a distance of neighboring patches that no scan has.

    Raises
    ------
    ModelError
        `step_px` is no multiple of 8.
    """
    if step_px < STEP_PX or step_px % STEP_PX:
        raise ModelError(f"--step (step_px) must be a multiple of {STEP_PX}; got {step_px}")


class ScanGrid:
    """Which places of a slide are on tissue, and the blocks that they are computed in.

    Parameters
    ----------
    slide : Slide
        An open slide.
    tissue : Tissue
    step_px : int
        Distance of neighboring places in scanned pixels.

    Attributes
    ----------
    selection : LevelSelection
        The resolution that is scanned.
    shape : tuple of int
        Places down and across.
    block : int
        Rows of places in a row of blocks.
    origin_px, step_level0_px : float
        Center of the first place, and distance of neighboring ones, in level-0 pixels.
    wanted : ndarray of bool
        Which places are on tissue.
    """

    def __init__(self, slide: Slide, tissue: Tissue, step_px: int) -> None:
        self.selection, self.step_px = slide.select_level(PATCH_SPACING_UM_PX), step_px
        self.block = max(1, BLOCK_PX // step_px)
        full, pixel_px = slide.levels[0], slide.pixel_level0_px(self.selection)
        size = (int(full.height_px / pixel_px), int(full.width_px / pixel_px))
        rows, columns = (max(0, (side - PATCH_SIZE_PX) // step_px + 1) for side in size)
        self.shape = rows, columns
        self.origin_px = PATCH_SIZE_PX / 2 * pixel_px
        self.step_level0_px = step_px * pixel_px
        self.place_mm2 = (step_px * self.selection.effective_um_px) ** 2 / 1e6
        y_px, x_px = (self.origin_px + np.arange(count) * self.step_level0_px for count in self.shape)
        self.wanted = tissue.covers(x_px, y_px)

    @property
    def area_mm2(self) -> float:
        """Area of the tissue that is scanned."""
        return float(self.wanted.sum()) * self.place_mm2

    def row_area_mm2(self, row: int) -> float:
        """Area of the tissue in a row of blocks."""
        return float(self.wanted[row * self.block : (row + 1) * self.block].sum()) * self.place_mm2

    def blocks(self) -> dict[int, list[Block]]:
        """Return the blocks of each row of blocks with tissue."""
        return plan_blocks(self.wanted, self.step_px)

    def wanted_in(self, block: Block) -> NDArray[np.bool_]:
        """Return which places of a block are on tissue."""
        inside = self.wanted[block.row : block.row + block.rows, block.column : block.column + block.columns]
        return np.pad(inside, [(0, block.rows - inside.shape[0]), (0, block.columns - inside.shape[1])])

    def size_px(self, block: Block) -> tuple[int, int]:
        """Return the height and width of a block, up to the end of its last patches, in scanned pixels."""
        height, width = ((count - 1) * self.step_px + PATCH_SIZE_PX for count in (block.rows, block.columns))
        return height, width

    def read(self, slide: Slide, block: Block) -> UInt8Array:
        """Read the pixels of a block."""
        height, width = self.size_px(block)
        return slide.read(self.selection, block.column * self.step_px, block.row * self.step_px, width, height)
