"""Patches that data sets share."""

from dataclasses import replace

import numpy as np
from tests import forms

from sentinode import open_patches
from sentinode.data.duplicates.overlap import count_shared_patches


def test_shared_patches_are_counted_once(mini):
    few = mini.select(range(0, len(mini), 40))
    first, second, third = few.select([0, 0, 1, 2]), few.select([0, 1, 1, 5]), few.select([7])
    other = second.table.assign(label=1 - second.table["label"])
    found = count_shared_patches([first, second, third, replace(second, table=other)])
    assert found["identical"].tolist() == [2, 0, 2, 0, 3, 0]
    assert found["different_label"].tolist() == [0, 0, 2, 0, 3, 0]
    assert count_shared_patches([first]).empty


def test_recompressed_and_rotated_patches_count_as_near_duplicates(mini, tmp_path):
    few = mini.select(range(0, len(mini), 40))
    files = {f"{n}.jpg": forms.encode(np.rot90(patch), "jpg", quality=75) for n, patch in enumerate(few.read())}
    other = open_patches(forms.write(files, tmp_path)).cached()
    assert count_shared_patches([few, other])[["identical", "near_duplicates"]].to_numpy().tolist() == [[0, len(few)]]
