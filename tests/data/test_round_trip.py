"""For any patches and labels: what the cache gives back is what the format held, in every format."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.patchset import patch_table

FORMS = {**forms.FORMS, "npz, stored": lambda patches: forms.npz(patches, np.savez), "table": forms.table}


@st.composite
def patch_sets(draw) -> PatchSet:
    """Draw one to six patches of noise and flat colors with labels and splits, no two alike."""
    count = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels = rng.integers(0, 256, (count, 96, 96, 3), np.uint8)
    for row in range(count):
        if draw(st.booleans()):
            pixels[row] = rng.integers(0, 256, 3, np.uint8)
    labels = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    # One for training at least: what says its splits by folders alone is told by them.
    splits = [
        "train",
        *draw(st.lists(st.sampled_from(["train", "valid", "test"]), min_size=count - 1, max_size=count - 1)),
    ]
    order = np.argsort([["train", "valid", "test"].index(split) for split in splits], kind="stable")
    table = patch_table([str(n) for n in range(count)], [labels[n] for n in order], [splits[n] for n in order])
    return PatchSet("drawn", "drawn", table, forms.Drawn(pixels), np.arange(count))


@pytest.mark.parametrize("container", ["folder", "tar"])
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(drawn=patch_sets())
def test_the_cache_gives_back_what_the_format_held(form, container, drawn):
    with tempfile.TemporaryDirectory() as folder:
        files, rows = FORMS[form](drawn)
        path = forms.write(files, Path(folder) / "source", container)
        table = Path(folder) / "patches.csv" if form == "table" else None
        if table:
            table.write_bytes(files["patches.csv"])
        cached = open_patches(path, table=table).cached(Path(folder) / "cache")
        assert sorted(forms.rows_of(cached), key=str) == sorted(rows, key=str)
        assert cached.table["sha1"].tolist() == [forms.sha1(patch) for patch in cached.read()]
        again = open_patches(path, table=table).cached(Path(folder) / "cache")
        assert np.array_equal(again.read(), cached.read())
        assert again.table.equals(cached.table)
