"""Splits: no group in two of them, classes in proportion, a pure function of patches and seed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.splitting.groups import connected_groups, find_leaks
from sentinode.data.splitting.split import UNLABELED, split_folds, split_patches
from sentinode.errors import ConfigError, DataError

NAMES = st.none() | st.sampled_from([f"n{number}" for number in range(8)])
ROWS = st.lists(
    st.tuples(NAMES, NAMES, st.integers(0, 30), st.sampled_from([0, 0, 1, 1, None])), min_size=4, max_size=60
)
# Only slide s2 has both classes: a split that takes the smallest slide of each class leaves train without one.
UNEVEN = [
    (slide, None, row, label)
    for row, (slide, label) in enumerate([("s1", 0)] * 2 + [("s2", 0)] * 3 + [("s2", 1)] * 4 + [("s3", 1)] * 9)
]


def with_rows(mini: PatchSet, rows) -> PatchSet:
    """Return real patches with these slides, patients, hashes and labels."""
    few = mini.select(range(len(rows)))
    slides, patients, hashes, labels = (list(column) for column in zip(*rows, strict=True))
    table = few.table.assign(slide=slides, patient=patients, label=labels, sha1=[f"{h:040x}" for h in hashes])
    return replace(few, table=table.astype({"slide": "str", "patient": "str", "label": "Int8"}))


@settings(max_examples=80, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 3), shares=st.sampled_from([(0.5, 0.5), (0.9, 0.1), (0.7, 0.1, 0.2), (0.2,) * 5]))
@example(rows=UNEVEN, seed=0, shares=(0.9, 0.1))
def test_groups_stay_whole_and_every_split_gets_both_classes_wherever_that_is_possible(mini, rows, seed, shares):
    patches = with_rows(mini, rows)
    fractions = {f"part{number}": share for number, share in enumerate(shares)}
    groups = connected_groups(patches, ["patient", "slide", "sha1"])
    labels = patches.table["label"]
    possible = all(len(set(groups[(labels == label).fillna(False)])) >= len(shares) for label in (0, 1))
    if not possible:
        with pytest.raises(DataError, match="splits need"):
            split_patches(patches, fractions, seed)
        return
    table = split_patches(patches, fractions, seed).patches.table
    assert table["id"].equals(patches.table["id"])
    labeled = table[table["split"] != UNLABELED]
    assert labeled["label"].notna().all() and len(labeled) == labels.notna().sum()
    for column in ("slide", "patient", "sha1"):
        assert (labeled.groupby(column)["split"].nunique() <= 1).all(), column
    assert find_leaks(replace(patches, table=labeled)) == []
    assert set(labeled["split"]) == set(fractions)
    assert (labeled.groupby("split")["label"].nunique() == 2).all()
    assert split_patches(patches, fractions, seed).patches.table["split"].equals(table["split"])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_without_groups_each_class_is_divided_exactly(mini, seed):
    patches = with_rows(mini, [(None, None, row, row % 4 // 3) for row in range(200)])
    counts = split_patches(patches, {"train": 0.7, "valid": 0.1, "test": 0.2}, seed).patches.counts()
    assert counts.loc["train", ["normal", "tumour"]].tolist() == [105, 35]
    assert counts.loc["valid", ["normal", "tumour"]].tolist() == [15, 5]
    assert counts.loc["test", ["normal", "tumour"]].tolist() == [30, 10]


def test_fractions_are_nearly_met_with_many_slides(mini):
    rng = np.random.default_rng(0)
    slides = rng.integers(0, 60, 1200)
    labels = rng.random(1200) < np.linspace(0, 1, 60)[slides]
    patches = with_rows(
        mini, [(f"s{s}", None, row, int(x)) for row, (s, x) in enumerate(zip(slides, labels, strict=True))]
    )
    counts = split_patches(patches, {"a": 0.5, "b": 0.25, "c": 0.25}).patches.counts().loc[["a", "b", "c"]]
    for kind in ("normal", "tumour"):
        assert np.allclose(counts[kind] / counts[kind].sum(), [0.5, 0.25, 0.25], atol=0.03)


def test_a_small_split_gets_one_slide_however_large_slides_are(mini):
    patches = with_rows(mini, [(f"s{row // 40}", None, row, row % 2) for row in range(200)])
    counts = split_patches(patches, {"train": 0.7, "valid": 0.1, "test": 0.2}).patches.counts()
    assert counts.loc[["train", "valid", "test"], "tumour"].tolist() == [60, 20, 20]


def test_each_patch_is_in_one_validation_fold(mini):
    patches = with_rows(mini, [(f"s{row // 5}", None, row, row % 2) for row in range(100)])
    split = split_folds(patches, 4, seed=1)
    validated = []
    for number in range(1, 5):
        names = split.fold(number).table["split"]
        assert set(names) == {"train", "valid"}
        validated += np.flatnonzero(names == "valid").tolist()
    assert sorted(validated) == list(range(100))


def test_another_seed_gives_another_split(mini):
    patches = with_rows(mini, [(None, None, row, row % 2) for row in range(60)])
    drawn = {tuple(split_patches(patches, {"a": 0.5, "b": 0.5}, seed).patches.table["split"]) for seed in range(4)}
    assert len(drawn) == 4


def write_near_duplicates(mini, folder, step: int) -> PatchSet:
    rows = range(0, 1080, step)
    files = {}
    for number, (patch, label) in enumerate(zip(mini.read(rows), mini.labels[rows], strict=True)):
        files[f"{label}/{number}.png"] = forms.encode(patch)
        files[f"{label}/{number}-jpg.jpg"] = forms.encode(patch, "jpg", quality=75)
        files[f"{label}/{number}-rotated.png"] = forms.encode(np.ascontiguousarray(np.rot90(patch)))
    return open_patches(forms.write(files, folder)).cached()


def test_near_duplicates_stay_together_where_no_slides_are_known(mini, tmp_path):
    patches = write_near_duplicates(mini, tmp_path / "patches", 54)
    split = split_patches(patches, {"train": 0.6, "valid": 0.4})
    assert (split.ungrouped, split.grouped_by) == (60, ("duplicates",))
    number = split.patches.table["id"].str.extract(r"/(\d+)")[0]
    assert (split.patches.table["split"].groupby(number).nunique() == 1).all()


def test_a_split_that_would_divide_a_slide_is_refused(mini):
    patches = with_rows(mini, [("s1", None, row, row % 2) for row in range(20)])
    forms.refused(lambda: split_patches(patches, {"a": 0.5, "b": 0.5}), "pcam-mini", "2 groups", "there are 1")


@pytest.mark.parametrize("fractions", [{"a": 0.5}, {"a": 0.7, "b": 0.7}, {"a": 1.2, "b": -0.2}, {}])
def test_fractions_that_do_not_sum_to_1_are_refused(mini, fractions):
    forms.refused(lambda: split_patches(mini, fractions), "sum to 1", error=ConfigError)


def test_fractions_that_are_no_numbers_are_refused(mini):
    for wrong in ("half", None, [0.5]):
        fractions = {"a": 0.5, "b": wrong}
        with pytest.raises(ConfigError, match=r"the fraction of b must be a number; got"):
            split_patches(mini, fractions)


def test_fewer_than_two_folds_are_refused(mini):
    forms.refused(lambda: split_folds(mini, 1), "at least 2; got 1", error=ConfigError)


def test_slides_and_patients_in_two_splits_are_found(mini):
    patches = with_rows(mini, [("s1", "p1", 0, 0), ("s1", "p1", 1, 0), ("s2", "p1", 2, 0), ("s3", None, 3, 1)])
    split = ["train", "valid", "valid", "valid"]
    leaks = find_leaks(replace(patches, table=patches.table.assign(split=split)))
    assert [(each.column, each.name, each.patches) for each in leaks] == [
        ("slide", "s1", {"train": 1, "valid": 1}),
        ("patient", "p1", {"train": 1, "valid": 2}),
    ]
    assert connected_groups(patches, ["slide"]).tolist() == [0, 0, 1, 2]
    assert connected_groups(patches, ["slide", "patient"]).tolist() == [0, 0, 0, 1]
