"""SHA-1 hashes of patches, and file names that are such hashes."""

import hashlib

import numpy as np
import pytest
from tests import forms

from sentinode import open_patches
from sentinode.data.duplicates.hashes import compare_hashes
from sentinode.data.pixels import pixel_sha1
from sentinode.inference.inputs import PixelsInMemory


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


def test_patches_are_hashed_on_a_system_that_refuses_sha1_for_security(few, tmp_path, monkeypatch):
    (files, rows), sha1 = forms.kaggle(few), hashlib.sha1

    def refuse(content=b"", *, usedforsecurity=True):
        if usedforsecurity:
            raise ValueError("[digital envelope routines] unsupported")
        return sha1(content, usedforsecurity=False)

    monkeypatch.setattr(hashlib, "sha1", refuse)
    cached = open_patches(forms.write(files, tmp_path / "source")).cached(tmp_path / "cache")
    assert compare_hashes(cached).verified == len(rows)
    assert len(PixelsInMemory(few.read()).stamps(np.arange(len(few)))) == len(few)


def test_the_hash_covers_the_raw_rgb_bytes(few):
    assert pixel_sha1(few.read()) == [forms.sha1(np.ascontiguousarray(each)) for each in few.read()]
    assert pixel_sha1(few.read()) == few.table["sha1"].tolist()
