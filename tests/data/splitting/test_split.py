"""Splits that do not leak: no group on two sides, classes in proportion, drawn by seed alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.splitting.groups import connected_groups, leaks
from sentinode.data.splitting.split import UNLABELLED, fold, folds, split_patches
from sentinode.errors import ConfigError, DataError

NAMES = st.none() | st.sampled_from([f"n{number}" for number in range(8)])
ROWS = st.lists(
    st.tuples(NAMES, NAMES, st.integers(0, 30), st.sampled_from([0, 0, 1, 1, None])), min_size=4, max_size=60
)


def with_rows(mini: PatchSet, rows) -> PatchSet:
    """Return real patches whose slides, patients, hashes and labels are those given."""
    few = mini.select(range(len(rows)))
    slides, patients, hashes, labels = (list(column) for column in zip(*rows, strict=True))
    table = few.table.assign(slide=slides, patient=patients, label=labels, sha1=[f"{h:040x}" for h in hashes])
    return replace(few, table=table.astype({"slide": "str", "patient": "str", "label": "Int8"}))


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 3), shares=st.sampled_from([(0.5, 0.5), (0.7, 0.1, 0.2), (0.2,) * 5]))
def test_a_split_never_crosses_a_group(mini, rows, seed, shares):
    patches = with_rows(mini, rows)
    parts = {f"part{number}": share for number, share in enumerate(shares)}
    try:
        division = split_patches(patches, parts, seed)
    except DataError:
        return
    table = division.patches.table
    assert table["id"].equals(patches.table["id"])
    labelled = table[table["split"] != UNLABELLED]
    assert labelled["label"].notna().all() and len(labelled) == patches.table["label"].notna().sum()
    for column in ("slide", "patient", "sha1"):
        assert (labelled.groupby(column)["split"].nunique() <= 1).all(), column
    assert leaks(replace(division.patches, table=labelled)) == []
    assert set(labelled["split"]) == set(parts)
    assert (labelled.groupby("split")["label"].nunique() == 2).all()
    again = split_patches(patches, parts, seed)
    assert again.patches.table["split"].equals(table["split"])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_without_groups_each_class_is_divided_exactly(mini, seed):
    patches = with_rows(mini, [(None, None, row, row % 4 // 3) for row in range(200)])
    counts = split_patches(patches, {"train": 0.7, "valid": 0.1, "test": 0.2}, seed).patches.counts()
    assert counts.loc["train", ["normal", "tumour"]].tolist() == [105, 35]
    assert counts.loc["valid", ["normal", "tumour"]].tolist() == [15, 5]
    assert counts.loc["test", ["normal", "tumour"]].tolist() == [30, 10]


def test_parts_of_many_slides_are_near_their_shares(mini):
    rng = np.random.default_rng(0)
    slides = rng.integers(0, 60, 1200)
    labels = rng.random(1200) < np.linspace(0, 1, 60)[slides]
    patches = with_rows(
        mini, [(f"s{s}", None, row, int(x)) for row, (s, x) in enumerate(zip(slides, labels, strict=True))]
    )
    counts = split_patches(patches, {"a": 0.5, "b": 0.25, "c": 0.25}).patches.counts().loc[["a", "b", "c"]]
    for kind in ("normal", "tumour"):
        assert np.allclose(counts[kind] / counts[kind].sum(), [0.5, 0.25, 0.25], atol=0.03)


def test_a_small_part_gets_a_slide_however_large_slides_are(mini):
    patches = with_rows(mini, [(f"s{row // 40}", None, row, row % 2) for row in range(200)])
    counts = split_patches(patches, {"train": 0.7, "valid": 0.1, "test": 0.2}).patches.counts()
    assert counts.loc[["train", "valid", "test"], "tumour"].tolist() == [60, 20, 20]


def test_each_fold_is_the_validation_once(mini):
    patches = with_rows(mini, [(f"s{row // 5}", None, row, row % 2) for row in range(100)])
    division = folds(patches, 4, seed=1)
    seen = []
    for number in range(1, 5):
        split = fold(division, number).table["split"]
        assert set(split) == {"train", "valid"}
        seen += np.flatnonzero(split == "valid").tolist()
    assert sorted(seen) == list(range(100))


def test_another_seed_makes_other_splits(mini):
    patches = with_rows(mini, [(None, None, row, row % 2) for row in range(60)])
    drawn = {tuple(split_patches(patches, {"a": 0.5, "b": 0.5}, seed).patches.table["split"]) for seed in range(4)}
    assert len(drawn) == 4


def test_where_nothing_is_known_near_copies_stay_together(mini, tmp_path):
    pixels = mini.read(range(0, 1080, 27))
    labels = mini.labels[range(0, 1080, 27)]
    files = {}
    for number, (patch, label) in enumerate(zip(pixels, labels, strict=True)):
        files[f"{label}/{number}.png"] = forms.encode(patch)
        files[f"{label}/{number}-jpg.jpg"] = forms.encode(patch, "jpg", quality=75)
        files[f"{label}/{number}-turned.png"] = forms.encode(np.ascontiguousarray(np.rot90(patch)))
    patches = open_patches(forms.write(files, tmp_path / "copies")).cached()
    division = split_patches(patches, {"train": 0.6, "valid": 0.4})
    assert (division.unknown, division.by) == (120, ("copies",))
    number = division.patches.table["id"].str.extract(r"/(\d+)")[0]
    assert (division.patches.table["split"].groupby(number).nunique() == 1).all()


def test_what_cannot_be_divided_without_splitting_a_slide_is_refused(mini):
    rows = [("s1", None, row, row % 2) for row in range(20)]
    forms.refused(
        lambda: split_patches(with_rows(mini, rows), {"train": 0.5, "valid": 0.5}), "pcam-mini", "without splitting"
    )


@pytest.mark.parametrize("parts", [{"a": 0.5}, {"a": 0.7, "b": 0.7}, {"a": 1.2, "b": -0.2}, {}])
def test_shares_that_are_no_whole_are_refused(mini, parts):
    forms.refused(lambda: split_patches(mini, parts), "add up to 1", error=ConfigError)
    forms.refused(lambda: folds(mini, 1), "at least 2; got 1", error=ConfigError)


def test_slides_and_patients_in_two_splits_are_named(mini):
    patches = with_rows(mini, [("s1", "p1", 0, 0), ("s1", "p1", 1, 0), ("s2", "p1", 2, 0), ("s3", None, 3, 1)])
    split = ["train", "valid", "valid", "valid"]
    found = leaks(replace(patches, table=patches.table.assign(split=split)))
    assert [(each.what, each.name, each.patches) for each in found] == [
        ("slide", "s1", {"train": 1, "valid": 1}),
        ("patient", "p1", {"train": 1, "valid": 2}),
    ]
    assert connected_groups(patches, ["slide"]).tolist() == [0, 0, 1, 2]
    assert connected_groups(patches, ["slide", "patient"]).tolist() == [0, 0, 0, 1]
