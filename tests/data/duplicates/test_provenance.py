"""Provenance matching: one to one, by pixels, never guessed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.concat import concat
from sentinode.data.duplicates.provenance import PROVENANCE_COLUMNS, match_provenance


@pytest.fixture(scope="module")
def reference(mini, tmp_path_factory) -> PatchSet:
    files, _ = forms.pcam_hdf5(mini.select(range(0, len(mini), 20)))
    return open_patches(forms.write(files, tmp_path_factory.mktemp("reference"))).cached()


@pytest.fixture(scope="module")
def lossy(reference, tmp_path_factory) -> PatchSet:
    """The reference's patches as pcam-small has them: JPEG, class folders, numbered by row."""
    files = {}
    for name, label, pixels in zip(reference.table["id"], reference.labels, reference.read(), strict=True):
        split, row = name.split("/")
        files[f"{split}/{label}/patch{int(row):07}.jpg"] = forms.encode(pixels, "jpg", quality=75, subsampling=2)
    return open_patches(forms.write(files, tmp_path_factory.mktemp("lossy"))).cached()


def without_provenance(patches: PatchSet) -> PatchSet:
    return replace(patches, table=patches.table.assign(**dict.fromkeys(PROVENANCE_COLUMNS)))


def with_rows(patches: PatchSet, rows: list[int], **columns) -> PatchSet:
    chosen = patches.select(rows)
    return replace(chosen, table=chosen.table.assign(id=[f"{n}.png" for n in range(len(rows))], **columns))


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_matches_are_one_to_one(reference, lossy, data):
    places = st.integers(0, len(reference) - 1)
    ours = data.draw(st.lists(places, min_size=1, max_size=30), label="ours")
    theirs = data.draw(st.lists(places, min_size=1, max_size=30, unique=True), label="theirs")
    is_lossy = data.draw(st.booleans(), label="lossy")
    patches = without_provenance((lossy if is_lossy else reference).select(ours))
    there = reference.select(theirs)
    found = match_provenance(patches, there).table
    partner = {(h, r) for h, r in zip(patches.table["sha1"], found["reference"], strict=True) if pd.notna(r)}
    assert len({h for h, _ in partner}) == len(partner) == len({r for _, r in partner})
    if is_lossy:
        number = patches.table["id"].str.extract(r"(\w+)/./patch0*(\d+)\.jpg")
        truth = (number[0] + "/" + number[1]).tolist()
    else:
        truth = patches.table["id"].tolist()
    expected = [name if name in set(there.table["id"]) else None for name in truth]
    assert [name if pd.notna(name) else None for name in found["reference"]] == expected
    back = match_provenance(there, with_slides(patches, found)).table if found["slide"].notna().any() else None
    if back is not None:
        named = dict(zip(patches.table["id"], found["reference"], strict=True))
        for there_id, our_id in zip(there.table["id"], back["reference"], strict=True):
            assert pd.isna(our_id) or named[our_id] == there_id


def with_slides(patches: PatchSet, found: pd.DataFrame) -> PatchSet:
    return replace(patches, table=patches.table.assign(**{name: found[name] for name in PROVENANCE_COLUMNS}))


def test_slide_and_position_come_from_the_reference(reference, lossy):
    for patches, how in ((reference, "sha1"), (lossy, "near_duplicate")):
        found = match_provenance(without_provenance(patches), reference)
        assert found.counts == {how: len(patches)}
        assert found.different_labels == 0
        known = (
            reference.table.set_index("id")
            .loc[found.table["reference"], list(PROVENANCE_COLUMNS)]
            .reset_index(drop=True)
        )
        pd.testing.assert_frame_equal(found.table[list(PROVENANCE_COLUMNS)], known)


def test_duplicates_get_the_values_that_all_duplicates_in_the_reference_share(reference):
    slides = ["s1", "s1", "s2", "s3"]
    there = with_rows(reference, [0, 0, 1, 1], slide=slides, x=pd.array([1, 2, 3, 3], "Int64"))
    found = match_provenance(without_provenance(reference.select([0, 1])), there).table
    assert found["slide"].fillna("?").tolist() == ["s1", "?"]
    assert found["x"].fillna(-1).tolist() == [-1, 3]
    assert found["match"].tolist() == ["sha1", "sha1"]


def test_several_candidates_are_ambiguous(reference, lossy):
    # The same patch, once as it is and once turned: both fit the compressed one.
    pixels = reference.read([0, 0, 1])
    pixels[1] = np.rot90(pixels[1])
    slides = ["s1", "s2", "s3"]
    there = with_rows(reference, [0, 0, 1], slide=slides, sha1=[forms.sha1(each) for each in pixels])
    there = replace(there, pixels=InMemory(pixels), rows=np.arange(3))
    row = lossy.table["id"].str.contains(f"train/./patch{0:07}").to_numpy().argmax()
    found = match_provenance(without_provenance(lossy.select([row])), there).table
    assert found["match"].tolist() == ["ambiguous"]
    assert found[["slide", "reference"]].isna().all(axis=None)
    same = replace(there, table=there.table.assign(slide="s1"))
    assert match_provenance(without_provenance(lossy.select([row])), same).table["slide"].tolist() == ["s1"]


class InMemory:
    """Pixels of an array."""

    def __init__(self, pixels):
        self.pixels = pixels

    def read(self, rows):
        return self.pixels[rows]

    def stamps(self, rows):
        return [str(row) for row in rows]


def test_patches_outside_the_reference_are_not_matched(mini, reference):
    other = mini.select(range(1, len(mini), 20))
    found = match_provenance(other, reference)
    assert found.counts == {"none": len(other)}
    assert found.table[[*PROVENANCE_COLUMNS, "reference"]].isna().all(axis=None)


def test_row_numbers_decide_where_pixels_cannot_if_other_matches_confirm_them(reference, tmp_path):
    glass = np.random.default_rng(0).integers(236, 244, (3, 96, 96, 3)).astype(np.uint8)
    pixels = np.concatenate([reference.read()[:30], glass])
    slides = [f"s{row}" for row in range(33)]
    table = reference.table.iloc[:33].assign(
        id=[f"train/{row}" for row in range(33)], slide=slides, sha1=[forms.sha1(each) for each in pixels]
    )
    there = replace(reference, table=table, pixels=InMemory(pixels), rows=np.arange(33))
    files = {
        f"train/0/patch{row:07}.jpg": forms.encode(each, "jpg", quality=75, subsampling=2)
        for row, each in enumerate(pixels)
    }
    ours = open_patches(forms.write(files, tmp_path / "numbered")).cached()
    found = match_provenance(ours, there)
    assert found.counts == {"near_duplicate": 30, "row_number": 3}
    assert found.table["slide"].tolist() == slides
    two = concat([there, replace(mini_of(reference), path="other")])
    assert match_provenance(ours, two).counts == {"near_duplicate": 30, "row_number": 3}
    turned = {**files, "train/1/patch0000031.png": forms.encode(np.rot90(glass[1]), "png")}
    twice = match_provenance(open_patches(forms.write(turned, tmp_path / "twice")).cached(), there)
    assert not twice.table["reference"].dropna().duplicated().any()
    shuffled = {f"train/0/patch{40 - row:07}.jpg": files[name] for row, name in enumerate(files)}
    wrong = open_patches(forms.write(shuffled, tmp_path / "shuffled")).cached()
    assert match_provenance(wrong, there).counts == {"near_duplicate": 30, "none": 3}


def mini_of(patches):
    """Some patches with a split and numbers of their own, as a second file of a reference has them."""
    few = patches.select(range(40, 45))
    table = few.table.assign(id=[f"valid/{row}" for row in range(5)], split="valid", slide="other")
    return replace(few, table=table)


def test_different_labels_are_counted(reference):
    table = reference.table.assign(label=1 - reference.table["label"])
    assert match_provenance(replace(reference, table=table), reference).different_labels == len(reference)


def test_a_reference_without_provenance_is_refused(mini):
    forms.refused(lambda: match_provenance(mini, mini), "pcam-mini", "no slides", "meta csv")
