"""Cut a grid of places into the blocks that a network computes at a time."""

import math
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from sentinode.data.types import PATCH_SIZE_PX

# Rows of blocks are this high, and no block has places on more pixels than a square of it. The last patches reach 88 px
# or so beyond.
BLOCK_PX = 1024
# Blocks are cut apart at multiples of the first, and are up to eight times as wide as that. Their sides are multiples
# of the second, since an engine prepares itself for each new shape.
_CUT_PX, _MOST_CUTS_ACROSS, _ROUND_PX = 256, 8, 64
# What the call of a network costs beside its pixels.
_CALL_PX = 5000


@dataclass(frozen=True)
class Block:
    """Places that are computed together.

    Attributes
    ----------
    row, column : int
        Of its first place in the grid.
    rows, columns : int
        Places down and across.
    """

    row: int
    column: int
    rows: int
    columns: int


def plan_blocks(wanted: NDArray[np.bool_], step_px: int) -> dict[int, list[Block]]:
    """Cover the places on tissue with blocks.

    A patch reaches beyond its place, so neighboring blocks compute a margin twice, while a block with places off the
    tissue computes these in vain. Among the coverings that cut a row of blocks from side to side, again and again, the
    one with the fewest pixels is taken.

    Parameters
    ----------
    wanted : ndarray of bool, shape (rows, columns)
        Which places are on tissue.
    step_px : int
        Distance of neighboring places.

    Returns
    -------
    dict of int to list of Block
        For each row of blocks with tissue; each has ``BLOCK_PX // step_px`` rows of places. No two blocks overlap,
        except where sides are rounded up.

    Examples
    --------
    >>> wanted = np.zeros((300, 300), bool)
    >>> wanted[10:20, 10:50] = wanted[200, 290] = True
    >>> plan_blocks(wanted, step_px=8)
    {0: [Block(row=10, column=10, rows=16, columns=40)], 1: [Block(row=200, column=290, rows=8, columns=8)]}
    """
    height = max(1, BLOCK_PX // step_px)
    found = {}
    for row, first in enumerate(range(0, len(wanted), height)):
        band = wanted[first : first + height]
        if band.any():
            found[row] = _cover(band, first, height, step_px)
    return found


def _cover(band: NDArray[np.bool_], first_row: int, height: int, step_px: int) -> list[Block]:
    """Cover a row of blocks."""
    cut, side = max(1, _CUT_PX // step_px), max(1, _ROUND_PX // step_px)
    down, across = (-(-places // cut) for places in band.shape)

    def block(top: int, bottom: int, left: int, right: int) -> Block | None:
        """Return the smallest block with the tissue between four cuts; None where there is none."""
        inside = band[top * cut : bottom * cut, left * cut : right * cut]
        rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return None
        count, width = (-(-int(each[-1] - each[0] + 1) // side) * side for each in (rows, columns))
        # Rounded up, it might end below the row of blocks.
        first = min(top * cut + int(rows[0]), max(0, height - count))
        return Block(first_row + first, left * cut + int(columns[0]), min(count, height), width)

    @cache
    def best(top: int, bottom: int, left: int, right: int) -> _Covering:
        """Return the best covering between four cuts."""
        whole = block(top, bottom, left, right)
        if whole is None:
            return _Covering()
        coverings = []
        if whole.rows * whole.columns * step_px**2 <= BLOCK_PX**2 or (bottom - top, right - left) == (1, 1):
            sides_px = (count * step_px + PATCH_SIZE_PX - step_px for count in (whole.rows, whole.columns))
            coverings.append(_Covering(math.prod(sides_px) + _CALL_PX, (whole,)))
        coverings += [best(top, row, left, right) + best(row, bottom, left, right) for row in range(top + 1, bottom)]
        coverings += [best(top, bottom, left, at) + best(top, bottom, at, right) for at in range(left + 1, right)]
        return min(coverings, key=attrgetter("pixels"))

    up_to = [_Covering()]  # Each cut across.
    for right in range(1, across + 1):
        lefts = range(max(0, right - _MOST_CUTS_ACROSS), right)
        up_to.append(min((up_to[left] + best(0, down, left, right) for left in lefts), key=attrgetter("pixels")))
    return list(up_to[-1].blocks)


@dataclass(frozen=True)
class _Covering:
    """Blocks, and what it costs to compute them."""

    pixels: int = 0
    blocks: tuple[Block, ...] = ()

    def __add__(self, other: "_Covering") -> "_Covering":
        return _Covering(self.pixels + other.pixels, self.blocks + other.blocks)
