"""Blocks of a scan."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sentinode.slides.blocks import BLOCK_PX, plan_blocks


@st.composite
def places_on_tissue(draw: st.DrawFn) -> tuple[NDArray[np.bool_], int]:
    step_px = draw(st.sampled_from([8, 16, 24, 32, 96, 1032]))
    rows, columns = (-(-draw(st.integers(1, most)) // step_px) for most in (2400, 4000))
    wanted = np.zeros((rows, columns), bool)
    for _ in range(draw(st.integers(0, 6))):
        top, left = draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))
        wanted[top : top + draw(st.integers(1, rows)), left : left + draw(st.integers(1, columns))] = True
    return wanted, step_px


@given(places=places_on_tissue())
@settings(max_examples=60, deadline=None)
def test_blocks_cover_all_places_on_tissue_and_lie_within_their_row(places: tuple[NDArray[np.bool_], int]) -> None:
    wanted, step_px = places
    height = max(1, BLOCK_PX // step_px)
    covered = np.zeros((len(wanted) + height, wanted.shape[1] + BLOCK_PX), bool)
    for row, blocks in plan_blocks(wanted, step_px).items():
        assert blocks
        for block in blocks:
            assert row * height <= block.row
            assert block.row + block.rows <= (row + 1) * height
            assert block.rows * block.columns * step_px**2 <= max(BLOCK_PX**2, step_px**2)
            inside = np.s_[block.row : block.row + block.rows, block.column : block.column + block.columns]
            assert wanted[inside].any()
            covered[inside] = True
    assert not (wanted & ~covered[: len(wanted), : wanted.shape[1]]).any()


def test_full_tissue_is_covered_without_overlap() -> None:
    blocks = [block for row in plan_blocks(np.ones((256, 512), bool), 8).values() for block in row]
    assert sum(block.rows * block.columns for block in blocks) == 256 * 512


def test_two_pieces_far_apart_in_a_row_are_not_joined() -> None:
    wanted = np.zeros((128, 256), bool)
    wanted[:40, :40] = wanted[-40:, -40:] = True
    (blocks,) = plan_blocks(wanted, 8).values()
    assert [(block.rows, block.columns) for block in blocks] == [(40, 40), (40, 40)]
