"""Groups by stain are found in the pixels, without a column that names them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from sentinode.data.patchset import PatchSet
from sentinode.evaluation.evaluate import evaluate
from sentinode.evaluation.stain_groups import LITTLE_TISSUE, stain_groups


@dataclass
class Pixels:
    """Pixels of another set, changed by a function of the rows."""

    patches: PatchSet
    change: object

    def read(self, rows):
        return self.change(self.patches.pixels.read(rows), np.asarray(rows))


@pytest.fixture(scope="module")
def few(mini):
    return mini.split("test")


def changed(patches, change):
    return replace(patches, pixels=Pixels(patches, change))


def test_patches_of_another_strength_are_another_group(few):
    dark = np.arange(max(few.rows) + 1) % 3 == 0

    def change(pixels, rows):
        return np.where(dark[rows][:, None, None, None], pixels * 0.3, pixels).astype(np.uint8)

    groups = stain_groups(changed(few, change))
    darkened = dark[few.rows]
    # The darkest group has darkened patches alone, and the palest has none of them.
    assert darkened[groups == "5, darkest"].all()
    assert not darkened[groups == "1, palest"].any()
    assert not set(groups[darkened]) & set(groups[~darkened])


def test_glass_is_a_group_of_its_own(few):
    glass = changed(few, lambda pixels, rows: np.where((rows % 2 == 0)[:, None, None, None], 245, pixels))
    groups = stain_groups(glass)
    assert (groups[few.rows % 2 == 0] == LITTLE_TISSUE).all()
    assert (groups[few.rows % 2 == 1] != LITTLE_TISSUE).mean() > 0.9


def test_a_single_stain_is_a_single_group(few):
    groups = stain_groups(changed(few, lambda pixels, rows: np.full_like(pixels, 120)))
    assert set(groups) == {"1"}


def test_groups_do_not_depend_on_the_order_of_patches(few):
    order = np.random.default_rng(0).permutation(len(few))
    forth, back = stain_groups(few), stain_groups(few.select(order))
    # k-means begins at random patches, so a few at the borders may change sides.
    assert (forth.to_numpy()[order] == back.to_numpy()).mean() > 0.9


def test_an_evaluation_measures_each_stain(tiny_run, few, tmp_path):
    found = evaluate(tiny_run, few, out=tmp_path, by=["stain"])
    groups = found.subgroups["stain"]
    assert {"1, palest", "5, darkest"} <= {group.name for group in groups}
    assert sum(group.normal + group.tumour for group in groups) == len(few)
    assert (tmp_path / "by-stain.png").stat().st_size > 0
    assert (tmp_path / "by-stain.csv").read_text().count("\n") == len(groups) + 1
