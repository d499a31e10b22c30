"""Held-out patches: a partition that separates neither copies nor slides, drawn by seed alone."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tests import forms

from sentinode import PatchSet
from sentinode.data.splitting.hold_out import hold_out
from sentinode.errors import DataError

# Only the slide between the other two has both classes: taking one for each class leaves a class empty.
UNEVEN = [
    (slide, f"{row:040x}", label)
    for row, (slide, label) in enumerate([("s1", 0)] * 2 + [("s2", 0)] * 3 + [("s2", 1)] * 4 + [("s3", 1)] * 9)
]
SLIDES = st.sampled_from(["s1", "s2", "s3", "s4", "s5"])
SHA1 = st.integers(0, 12).map(lambda number: f"{number:040x}")
# All slides known, none, or some: sets of several origins are joined.
TABLES = st.one_of(
    st.lists(st.tuples(SLIDES, SHA1, st.integers(0, 1)), min_size=2, max_size=30),
    st.lists(st.tuples(st.none(), SHA1, st.integers(0, 1)), min_size=2, max_size=30),
    st.lists(st.tuples(st.none() | SLIDES, SHA1, st.integers(0, 1)), min_size=2, max_size=30),
)


@pytest.fixture(scope="module")
def with_table(mini) -> Callable[[list[tuple[str | None, str, int]]], PatchSet]:
    """Return a maker of real patches whose slides, hashes and labels are those given."""

    def make(rows):
        few = mini.select(range(len(rows)))
        slides, hashes, labels = zip(*rows, strict=True)
        table = few.table.astype({"slide": object}).assign(slide=slides, sha1=hashes)
        return replace(few, table=table.assign(label=np.array(labels)).astype({"label": "Int8", "slide": "str"}))

    return make


def groups_of(rows: list[tuple[str | None, str, int]]) -> list[int]:
    """Give one number to all patches that a slide or a hash ties together."""
    groups = list(range(len(rows)))
    for place, (slide, digest, _) in enumerate(rows):
        for other, (other_slide, other_digest, _) in enumerate(rows[:place]):
            if digest == other_digest or (slide is not None and slide == other_slide):
                groups = [groups[place] if group == groups[other] else group for group in groups]
    return groups


def draw(patches: PatchSet, fraction: float, seed: int) -> tuple[list[str], list[str]] | None:
    try:
        stay, out = hold_out(patches, fraction, seed)
    except DataError:
        return None
    assert np.array_equal(stay.table["id"], patches.table["id"][patches.table["id"].isin(stay.table["id"])])
    assert np.array_equal(out.table["id"], patches.table["id"][patches.table["id"].isin(out.table["id"])])
    return stay.table["id"].tolist(), out.table["id"].tolist()


@settings(max_examples=150, deadline=None)
@given(rows=TABLES, fraction=st.sampled_from([0.1, 0.25, 0.5]), seed=st.integers(0, 5))
@example(rows=UNEVEN, fraction=0.1, seed=0)
def test_parts_are_a_partition_with_whole_groups_and_both_classes_or_there_is_no_such(with_table, rows, fraction, seed):
    patches, groups = with_table(rows), np.array(groups_of(rows))
    labels = patches.labels
    is_possible = all(len(set(groups[labels == label])) >= 2 for label in (0, 1))
    parts = draw(patches, fraction, seed)
    assert (parts is not None) == is_possible, "a class of two groups or more can be on both sides"
    assume(parts is not None)
    stay, out = parts
    assert sorted(stay + out) == sorted(patches.table["id"])
    is_out = patches.table["id"].isin(out).to_numpy()
    assert not set(groups[is_out]) & set(groups[~is_out]), "a slide, or copies of one patch, were separated"
    assert set(labels[is_out]) == set(labels[~is_out]) == {0, 1}
    assert draw(patches, fraction, seed) == parts


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.1, 0.2, 0.5]))
def test_without_copies_each_class_gives_its_exact_part(with_table, seed, fraction):
    few = with_table([(None, f"{row:040x}", row % 3 // 2) for row in range(100)])
    out = hold_out(few, fraction, seed)[1]
    for label in (0, 1):
        assert (out.labels == label).sum() == round(fraction * (few.labels == label).sum())


def test_another_seed_draws_other_patches(mini):
    drawn = {tuple(hold_out(mini.split("test"), seed=seed)[1].table["id"]) for seed in range(5)}
    assert len(drawn) == 5


def test_the_patches_held_out_keep_pixels_labels_and_hashes(mini):
    few = mini.select(range(0, len(mini), 40))
    for part in hold_out(few):
        assert [forms.sha1(pixels) for pixels in part.read()] == part.table["sha1"].tolist()
        known = few.table.set_index("id")["label"]
        assert part.table.set_index("id")["label"].equals(known[part.table["id"]])


@pytest.mark.parametrize("rows", [[(None, "a", 0), (None, "a", 0), (None, "b", 1)], [("s1", "a", 0), ("s1", "b", 1)]])
def test_too_few_groups_of_a_class_are_refused(with_table, rows):
    forms.refused(lambda: hold_out(with_table(rows)), "pcam-mini", "too few", "label 0", "--valid")
