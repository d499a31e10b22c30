"""Entries of the cache that something has damaged: made again, and never believed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinode import open_patches
from sentinode.data.cache.patches import VERIFIED_PATCHES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


@pytest.fixture(scope="module")
def few():
    patches = open_patches("pcam-mini", split="test")
    return patches.select(range(0, 400, 20))


@pytest.fixture(scope="module")
def truth(few):
    return few.read()


def damage(file, rng):
    """Cut the file, or change one byte of it."""
    content = bytearray(file.read_bytes())
    if rng.random() < 0.3:
        file.write_bytes(content[: rng.integers(0, len(content))])
    else:
        content[rng.integers(0, len(content))] ^= int(rng.integers(1, 256))
        file.write_bytes(content)


@pytest.mark.slow
@settings(max_examples=60)
@given(name=st.sampled_from(["pixels.npy", "sha1.npy", "entry.json"]), seed=st.integers(0, 2**32))
def test_pixels_and_fingerprints_stay_those_of_the_source(few, truth, folder, name, seed):
    """Twenty patches: every one of them is compared."""
    few.cached(folder)
    (entry,) = folder.glob("patches/*/entry.json")
    damage(entry.parent / name, np.random.default_rng(seed))
    again = few.cached(folder)
    np.testing.assert_array_equal(again.read(), truth)
    assert again.table["sha1"].tolist() == few.cached(folder.parent / "sound").table["sha1"].tolist()


@pytest.mark.parametrize("place", [0, 10, 20, 100])
def test_a_damaged_header_is_no_traceback(few, truth, tmp_path, place, caplog):
    few.cached(tmp_path)
    (file,) = tmp_path.glob("patches/*/pixels.npy")
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(content)
    np.testing.assert_array_equal(few.cached(tmp_path).read(), truth)
    assert "damaged cache entry" in caplog.text


def test_large_cache_entries_are_verified_by_a_sample(mini, tmp_path):
    """A stretch of bad pixels is met by it, wherever it lies."""
    train = open_patches("pcam-mini", split="train")
    train.cached(tmp_path)
    (file,) = tmp_path.glob("patches/*/pixels.npy")
    size = file.stat().st_size
    with file.open("r+b") as handle:
        handle.seek(size // 3)
        handle.write(bytes(size // VERIFIED_PATCHES * 2))
    np.testing.assert_array_equal(train.cached(tmp_path).read(), mini.split("train").read())
