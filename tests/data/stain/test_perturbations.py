"""Perturbations of patches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinode import open_patches
from sentinode.data.stain.perturbations import PERTURBATIONS

ALL = [(name, level) for name, perturbation in PERTURBATIONS.items() for level in perturbation.levels]


@pytest.fixture(scope="module")
def few():
    return open_patches("pcam-mini", split="test").select(range(0, 120, 20)).read()


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_levels_rise_and_one_is_neutral(name):
    perturbation = PERTURBATIONS[name]
    assert list(perturbation.levels) == sorted(set(perturbation.levels))
    assert perturbation.neutral in perturbation.levels


@pytest.mark.parametrize(("name", "level"), ALL)
def test_every_level_gives_valid_patches(few, name, level):
    before = few.copy()
    changed = PERTURBATIONS[name](few, level)
    assert changed.shape == few.shape and changed.dtype == np.uint8
    assert (few == before).all()
    assert (changed == few).all() == (level == PERTURBATIONS[name].neutral)


# Turned or moved far enough, a patch may look like itself again.
@pytest.mark.parametrize("name", [name for name in PERTURBATIONS if name not in ("rotation", "displacement")])
def test_further_from_neutral_changes_more(few, name):
    perturbation = PERTURBATIONS[name]
    few = PERTURBATIONS["displacement"](few, 3.0)  # They are JPEG themselves; a grid of blocks elsewhere hides that.
    change = [np.abs(perturbation(few, level).astype(float) - few).mean() for level in perturbation.levels]
    middle = perturbation.levels.index(perturbation.neutral)
    assert change[: middle + 1] == sorted(change[: middle + 1], reverse=True)
    assert change[middle:] == sorted(change[middle:])


def test_each_patch_is_perturbed_on_its_own(few):
    for perturbation in PERTURBATIONS.values():
        together = perturbation(few, perturbation.levels[0])
        assert all(
            (perturbation(few[i : i + 1], perturbation.levels[0]) == together[i : i + 1]).all() for i in range(len(few))
        )


@settings(max_examples=25, deadline=None)
@given(level=st.integers(0, 255), factor=st.floats(0.5, 1.5))
def test_stain_strength_follows_the_beer_lambert_law(level, factor):
    patch = np.full((1, 4, 4, 3), level, np.uint8)
    expected = np.clip(256 * ((level + 1) / 256) ** factor - 1, 0, 255)
    assert np.abs(PERTURBATIONS["stain strength"].function(patch, factor) - expected).max() <= 0.51


def test_magnified_tissue_stays_centered():
    patch = np.zeros((1, 96, 96, 3), np.uint8)
    patch[:, 38:58, 38:58] = 255
    for factor in (0.8, 1.2):
        bright = PERTURBATIONS["resolution"](patch, factor)[0, :, :, 0] > 127
        rows, columns = np.nonzero(bright)
        assert rows.mean() == columns.mean() == 47.5
        assert abs(len(np.unique(rows)) - 20 * factor) <= 1


def test_displaced_tissue_is_shifted(few):
    assert (PERTURBATIONS["displacement"](few, 6)[:, 6:, 6:] == few[:, :-6, :-6]).all()


def test_four_quarter_rotations_are_the_identity(few):
    turned = few
    for _ in range(4):
        turned = PERTURBATIONS["rotation"](turned, 90)
    assert (turned == few).all()
