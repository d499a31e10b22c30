"""Inspection: counts, gray levels, planted duplicates, near-blank patches."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.quality.checks import check_pixels
from sentinode.data.quality.inspection import inspect_patches


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 20))


def placed(patches: PatchSet, rows: list[tuple[int, str, int]]) -> PatchSet:
    """Return the patch, split and label of each row: copies where a patch comes again."""
    chosen = patches.select([row for row, _, _ in rows])
    table = chosen.table.assign(
        id=[f"{place}.png" for place in range(len(rows))],
        split=[split for _, split, _ in rows],
        label=[label for _, _, label in rows],
    )
    return replace(chosen, table=table.astype({"label": "Int8"}))


def test_counts_are_those_of_the_set(few):
    assert inspect_patches(few).counts.equals(few.counts())


def test_gray_levels_cover_all_pixels_of_a_split(few):
    statistics = inspect_patches(few).gray_levels
    assert list(statistics.index) == few.split_names
    for split in few.split_names:
        pixels = few.split(split).read().reshape(-1, 3).astype(np.float64)
        expected = [*pixels.mean(axis=0), *pixels.std(axis=0)]
        assert np.allclose(statistics.loc[split], expected, rtol=0, atol=0.001)
    assert list(statistics.columns) == [f"{what}_{c}" for what in ("mean", "sd") for c in ("red", "green", "blue")]


@pytest.mark.parametrize("level", [0, 127, 240, 255])
def test_patches_of_one_gray_level_have_no_deviation(level, tmp_path):
    pixels = np.full((96, 96, 3), level, np.uint8)
    path = forms.write({f"{n}.png": forms.encode(pixels) for n in range(3)}, tmp_path)
    statistics = inspect_patches(open_patches(path).cached()).gray_levels
    assert np.allclose(statistics.loc["-"], [level] * 3 + [0] * 3, rtol=0, atol=0.001)


def test_a_set_without_duplicates_has_none(few):
    found = inspect_patches(few)
    assert (
        len(found.duplicates),
        found.duplicates_within_splits,
        found.duplicates_across_splits,
        found.label_conflicts,
    ) == (0, {}, 0, 0)


def test_duplicates_are_found_within_and_across_splits(few):
    planted = [(0, "train", 1), (0, "train", 1), (0, "train", 1), (1, "train", 0), (1, "valid", 0), (2, "valid", 1)]
    planted += [(2, "valid", 1), (3, "train", 0), (4, "test", 1), (5, "valid", 0), (5, "test", 0), (5, "train", 0)]
    found = inspect_patches(placed(few, planted))
    assert found.duplicates_within_splits == {"train": 2, "valid": 1}
    assert found.duplicates_across_splits == 2
    assert found.label_conflicts == 0
    copies = {f"{place}.png" for place, (row, _, _) in enumerate(planted) if row not in (3, 4)}
    assert set(found.duplicates["id"]) == copies
    assert found.duplicates["sha1"].is_monotonic_increasing


def test_duplicates_with_both_labels_are_label_conflicts(few):
    planted = [(0, "train", 0), (0, "train", 1), (1, "train", 1), (1, "train", 1), (2, "train", 0), (2, "valid", 1)]
    found = inspect_patches(placed(few, planted))
    assert found.label_conflicts == 2
    assert found.duplicates_across_splits == 1


def test_duplicates_are_found_in_a_source_without_splits(few, tmp_path):
    files, _ = forms.class_folders(few, "png", splits=False)
    name = min(files)
    path = forms.write(files | {"0/again.png": files[name], "1/again.png": files[name]}, tmp_path)
    found = inspect_patches(open_patches(path).cached())
    assert sorted(found.duplicates["id"]) == [name, "0/again.png", "1/again.png"]
    assert (found.duplicates_within_splits, found.duplicates_across_splits, found.label_conflicts) == ({"-": 2}, 0, 1)


def glass(level: int, tint: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """Return a patch of one color with a scanner's noise."""
    noise = np.random.default_rng(0).integers(-3, 4, (96, 96, 1))
    return np.clip(level + np.array(tint) + noise, 0, 255).astype(np.uint8)


BLANK = {
    "white": np.full((96, 96, 3), 255, np.uint8),
    "black": np.zeros((96, 96, 3), np.uint8),
    "nearly black": np.random.default_rng(0).integers(0, 6, (96, 96, 3)).astype(np.uint8),
    "glass": glass(240),
    "pale pink": glass(230, (8, -4, 4)),
    "gray": glass(128),
}


def with_tissue_in_a_corner(tissue: np.ndarray) -> np.ndarray:
    pixels = BLANK["glass"].copy()
    pixels[:16, -16:] = tissue[40:56, 40:56]
    return pixels


def test_near_blank_patches_are_found_and_tissue_is_not(few, tmp_path):
    tissue = few.read([30])[0]
    stained = {
        "tissue": tissue,
        "a corner of tissue": with_tissue_in_a_corner(tissue),
        "pink": glass(200, (30, -30, 20)),
    }
    files = {f"{name}.png": forms.encode(pixels) for name, pixels in (BLANK | stained).items()}
    found = inspect_patches(open_patches(forms.write(files, tmp_path)).cached())
    assert sorted(found.near_blank) == sorted(f"{name}.png" for name in BLANK)


def test_near_blank_means_low_saturation_of_8_px_blocks(few):
    pixels = np.concatenate([few.read(), np.stack(list(BLANK.values()))])
    means = pixels.reshape(-1, 12, 8, 12, 8, 3).astype(np.float64).mean(axis=(2, 4))
    highest, lowest = means.max(axis=-1), means.min(axis=-1)
    saturation = np.where(highest > 8, 1 - lowest / np.maximum(highest, 1e-9), 0).max(axis=(1, 2))
    assert np.array_equal(check_pixels(pixels)["near_blank"], saturation < 0.07)


def test_json_holds_plain_values(few):
    planted = placed(few, [(0, "train", 0), (0, "valid", 1), (1, "valid", 1)])
    found = json.loads(json.dumps(inspect_patches(planted).to_json(), allow_nan=False))
    assert found["counts"]["valid"] == {"normal": 0, "tumour": 2, "unlabeled": 0}
    assert found["duplicates"] == {"within_splits": {}, "across_splits": 1, "label_conflicts": 1}
    assert found["near_blank"] == []
