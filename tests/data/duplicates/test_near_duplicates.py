"""Near duplicates: recompressed, rotated and mirrored patches are found, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.duplicates.near_duplicates import (
    MAX_DISTANCE,
    MIN_SIMILARITY,
    describe_pixels,
    near_duplicates_between,
    near_duplicates_within,
    similarity,
)


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 20))


def rotated(pixels: np.ndarray, view: int) -> np.ndarray:
    square = np.rot90(pixels, view % 4, axes=(-3, -2))
    return np.ascontiguousarray(square.swapaxes(-3, -2) if view >= 4 else square)


def compressed(pixels: np.ndarray, quality: int = 75) -> np.ndarray:
    return np.stack([forms.decode(forms.encode(patch, "jpg", quality=quality, subsampling=2)) for patch in pixels])


def opened(pixels: np.ndarray, path) -> PatchSet:
    return open_patches(forms.write({f"{n:03}.png": forms.encode(p) for n, p in enumerate(pixels)}, path)).cached()


@settings(max_examples=40, deadline=None)
@given(row=st.integers(0, 82), view=st.integers(0, 7))
def test_rotation_and_mirroring_do_not_change_descriptors(few, row, view):
    pixels = few.read([row])
    assert np.allclose(describe_pixels(pixels), describe_pixels(rotated(pixels, view)), atol=0.01)
    assert similarity(pixels, rotated(pixels, view))[0] > 0.999


@settings(max_examples=40, deadline=None)
@given(first=st.integers(0, 82), second=st.integers(0, 82))
def test_similarity_is_symmetric_and_at_most_1(few, first, second):
    a, b = few.read([first]), few.read([second])
    assert similarity(a, b)[0] == pytest.approx(similarity(b, a)[0], abs=1e-4)
    assert similarity(a, b)[0] < 1.0001


def test_jpeg_compression_stays_within_the_limits(few):
    pixels = few.read()
    again = compressed(pixels)
    assert np.linalg.norm(describe_pixels(pixels) - describe_pixels(again), axis=1).max() < MAX_DISTANCE
    assert similarity(pixels, again).min() > MIN_SIMILARITY


def test_patches_without_detail_are_similar_to_none():
    glass = np.full((2, 96, 96, 3), 240, np.uint8)
    assert similarity(glass, glass).tolist() == [0, 0]
    assert similarity(glass[:0], glass[:0]).tolist() == []


def test_compressed_and_rotated_patches_are_found_and_nothing_else(few, tmp_path):
    pixels = few.read()[:40]
    planted = np.concatenate([compressed(pixels[:5]), [rotated(pixels[5 + view], view) for view in range(1, 8)]])
    found = near_duplicates_between(opened(planted, tmp_path / "planted"), few)
    assert found["first"].tolist() == list(range(12))
    assert found["second"].tolist() == [*range(5), *range(6, 13)]
    within = near_duplicates_within(opened(np.concatenate([pixels, planted]), tmp_path / "all"))
    pairs = sorted(zip(within["first"], within["second"], strict=True))
    assert pairs == sorted(zip([*range(5), *range(6, 13)], range(40, 52), strict=True))


def test_different_real_patches_are_no_pairs(mini):
    assert len(near_duplicates_within(mini)) == 0


def test_exact_duplicates_are_not_reported(few):
    twice = few.select([0, 0, 1])
    again = replace(twice, table=twice.table.assign(id=["a", "b", "c"]))
    assert len(near_duplicates_within(again)) == 0


def test_empty_sets_and_single_patches_have_no_pairs(few):
    assert len(near_duplicates_within(few.select([0]))) == len(near_duplicates_between(few.select([]), few)) == 0
