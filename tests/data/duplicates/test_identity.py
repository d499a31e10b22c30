"""Names that are hashes are checked; copies between data sets are counted."""

from dataclasses import replace

import numpy as np
import pytest
from tests import forms

from sentinode import open_patches
from sentinode.data.duplicates.identity import check_names, copies_between


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 40))


def test_files_named_by_their_pixels_verify_themselves(few, tmp_path):
    files, rows = forms.kaggle(few)
    assert check_names(open_patches(forms.write(files, tmp_path / "whole")).cached()).verified == len(rows)
    name = min(name for name in files if name.endswith(".tif"))
    pixels = forms.decode(files[name]).copy()
    pixels[50, 50, 1] ^= 1
    files[name] = forms.encode(pixels, "tif")
    names = check_names(open_patches(forms.write(files, tmp_path / "altered")).cached())
    assert (names.verified, names.altered, names.lossy) == (len(rows) - 1, [name], 0)


def test_jpegs_named_by_the_pixels_before_are_no_damage(few, tmp_path):
    files = {f"{forms.sha1(pixels)}.jpg": forms.encode(pixels, "jpg") for pixels in few.read()}
    names = check_names(open_patches(forms.write(files, tmp_path)).cached())
    assert (names.verified, names.altered, names.lossy) == (0, [], len(few))


def test_other_names_say_nothing(few, tmp_path):
    files, _ = forms.class_folders(few, "png")
    names = check_names(open_patches(forms.write(files, tmp_path)).cached())
    assert (names.verified, names.altered, names.lossy) == (0, [], 0)


def test_patches_that_two_sets_have_in_common_are_counted_once(few):
    first, second, third = few.select([0, 0, 1, 2]), few.select([0, 1, 1, 5]), few.select([7])
    other = second.table.assign(label=1 - second.table["label"])
    found = copies_between([first, second, third, replace(second, table=other)])
    assert found["patches"].tolist() == [2, 0, 2, 0, 3, 0]
    assert found["other_labels"].tolist() == [0, 0, 2, 0, 3, 0]
    assert copies_between([first]).empty


def test_the_hash_is_that_of_the_pixels(few):
    assert [forms.sha1(np.ascontiguousarray(each)) for each in few.read()] == few.table["sha1"].tolist()
