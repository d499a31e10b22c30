"""Selection and checks of the patches that an evaluation uses."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sentinode import TrainConfig, build_model, evaluate, open_patches, stress, train
from sentinode.errors import DataError
from sentinode.evaluation.selection import choose_split, select_patches


@pytest.fixture(scope="module")
def held_out_run(mini, tmp_path_factory):
    """A run on a source without a validation split."""
    patches = mini.split("train").select(range(0, 1080, 18))
    out = tmp_path_factory.mktemp("runs") / "held-out"
    return train(build_model("mlp", dense_units=1), patches, TrainConfig(epochs=1), out=out), patches


def in_splits(patches, names):
    return patches.select(np.flatnonzero(patches.table["split"].isin(names)))


def test_the_test_split_comes_first_then_the_validation_split(tiny_run, mini):
    assert choose_split([tiny_run], mini)[0] == "test"
    assert choose_split([tiny_run], in_splits(mini, ["train", "valid"]))[0] == "valid"
    name, chosen = choose_split([tiny_run], mini, "train")
    assert (name, set(chosen.table["split"])) == ("train", {"train"})


def test_an_unlabeled_test_split_is_skipped_and_refused_by_name(tiny_run, mini):
    table = mini.table.assign(label=mini.table["label"].mask(mini.table["split"] == "test"))
    unlabeled = replace(mini, table=table)
    assert choose_split([tiny_run], unlabeled)[0] == "valid"
    with pytest.raises(DataError, match="no label for 400 of 400 patches"):
        select_patches([tiny_run], unlabeled, "test")


def test_an_unlabeled_source_is_used_whole_if_labels_are_not_needed(tiny_run, mini):
    few = mini.select(range(0, 1000, 100))
    unlabeled = replace(few, table=few.table.assign(label=None))
    selected = select_patches([tiny_run], unlabeled, labeled=False)
    assert (selected.split, len(selected.patches)) == ("all", 10)


@pytest.mark.parametrize("split", [None, "valid"])
def test_the_held_out_patches_are_used_if_there_is_no_split(held_out_run, split):
    run, patches = held_out_run
    name, chosen = choose_split([run], patches, split)
    assert name == "valid"
    assert set(chosen.table["sha1"]) == run.held_out()
    renamed = replace(patches, table=patches.table.assign(id="deeper/" + patches.table["id"]))
    assert set(choose_split([run], renamed, split)[1].table["sha1"]) == run.held_out()


def test_a_source_without_splits_is_used_whole(tiny_run, mini):
    name, chosen = choose_split([tiny_run], replace(mini, table=mini.table.assign(split=None)))
    assert (name, len(chosen)) == ("all", len(mini))


def test_without_a_labeled_split_the_splits_are_named(tiny_run, mini):
    with pytest.raises(DataError, match=r"\(splits: train\)"):
        choose_split([tiny_run], mini.split("train"))
    with pytest.raises(DataError, match="'tset'"):
        choose_split([tiny_run], mini, "tset")


def test_training_and_validation_patches_are_reported_in_any_set(tiny_run, mini, caplog):
    few = mini.select(range(0, len(mini), 10))
    selected = select_patches([tiny_run], few, "train")
    assert (selected.overlaps[0].trained_on, selected.overlaps[0].validated_on) == (54, 0)
    assert "split train: tiny was trained on 54 of these patches" in caplog.text
    assert "optimistic bias" in caplog.text
    caplog.clear()
    selected = select_patches([tiny_run], few, "valid")
    assert selected.overlaps[0].trained_on == 0 and selected.overlaps[0].validated_on > 0
    assert "were used to choose the threshold and best epoch of tiny" in caplog.text
    caplog.clear()
    assert select_patches([tiny_run], few, "test").overlaps[0].warnings == []
    assert not caplog.text


def test_altered_files_are_refused_by_every_evaluation(tiny_run, mini, tmp_path):
    folder = tmp_path / "data"
    for row, (pixels, label) in enumerate(zip(mini.split("test").read([0, 1, 398, 399]), (0, 0, 1, 1), strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        name = hashlib.sha1((pixels if row else pixels[::-1]).tobytes()).hexdigest()
        Image.fromarray(pixels).save(folder / str(label) / f"{name}.png")
    patches = open_patches(folder)
    for work in (
        lambda: select_patches([tiny_run], patches),
        lambda: evaluate(tiny_run, patches),
        lambda: stress(tiny_run, patches),
    ):
        with pytest.raises(DataError, match="1 file"):
            work()


def test_a_draw_per_class_is_balanced_and_fixed_by_the_seed(tiny_run, mini):
    one, again, other = (
        select_patches([tiny_run], mini, "train", per_class=25, seed=seed, warn=False).patches for seed in (0, 0, 1)
    )
    assert (one.labels.sum(), len(one)) == (25, 50)
    assert one.table["id"].equals(again.table["id"]) and not one.table["id"].equals(other.table["id"])
