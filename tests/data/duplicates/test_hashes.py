"""SHA-1 hashes of patches, and file names that are such hashes."""

import numpy as np
import pytest
from tests import forms

from sentinode import open_patches
from sentinode.data.duplicates.hashes import compare_hashes, pixel_sha1


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 40))


def test_files_named_by_their_hash_are_verified(few, tmp_path):
    files, rows = forms.kaggle(few)
    assert compare_hashes(open_patches(forms.write(files, tmp_path / "whole")).cached()).verified == len(rows)
    name = min(name for name in files if name.endswith(".tif"))
    pixels = forms.decode(files[name]).copy()
    pixels[50, 50, 1] ^= 1
    files[name] = forms.encode(pixels, "tif")
    found = compare_hashes(open_patches(forms.write(files, tmp_path / "altered")).cached())
    assert (found.verified, found.mismatched, found.unverifiable) == (len(rows) - 1, [name], 0)


def test_jpeg_files_named_by_another_hash_are_unverifiable(few, tmp_path):
    files = {f"{forms.sha1(pixels)}.jpg": forms.encode(pixels, "jpg") for pixels in few.read()}
    found = compare_hashes(open_patches(forms.write(files, tmp_path)).cached())
    assert (found.verified, found.mismatched, found.unverifiable) == (0, [], len(few))


def test_other_names_are_ignored(few, tmp_path):
    files, _ = forms.class_folders(few, "png")
    found = compare_hashes(open_patches(forms.write(files, tmp_path)).cached())
    assert (found.verified, found.mismatched, found.unverifiable) == (0, [], 0)


def test_the_hash_covers_the_raw_rgb_bytes(few):
    assert pixel_sha1(few.read()) == [forms.sha1(np.ascontiguousarray(each)) for each in few.read()]
    assert pixel_sha1(few.read()) == few.table["sha1"].tolist()
