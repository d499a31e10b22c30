"""Selection of training and validation patches."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from tests import forms
from tests.data.splitting.test_split import write_near_duplicates

from sentinode import TrainConfig, open_patches
from sentinode.errors import DataError
from sentinode.training.splits import training_and_validation


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 20))


def test_a_held_out_validation_split_shares_no_patient(few):
    patients = [str(row // 3) for row in range(len(few))]
    patches = replace(few, table=few.table.assign(split=None, patient=patients))
    training, validation, held_out = training_and_validation(patches, TrainConfig(), None)
    assert held_out and len(validation) > 0
    assert not set(training.table["patient"]) & set(validation.table["patient"])


def test_a_held_out_validation_split_shares_no_near_duplicate(mini, tmp_path):
    patches = write_near_duplicates(mini, tmp_path / "patches", 36)
    for seed in range(3):
        training, validation, _ = training_and_validation(patches, TrainConfig(seed=seed), None)
        numbers = [set(part.table["id"].str.extract(r"/(\d+)")[0]) for part in (training, validation)]
        assert numbers[1] and not numbers[0] & numbers[1]


def test_a_validation_split_that_cannot_be_held_out_is_refused(mini):
    slide = replace(
        mini.select([0, 1, 200, 201]), table=mini.table.iloc[[0, 1, 200, 201]].assign(split=None, slide="s1")
    )
    both = replace(slide, table=slide.table.assign(label=[0, 0, 1, 1]).astype({"label": "Int8"}))
    with pytest.raises(DataError, match=r"2 groups with label 0.*choose a split with --valid-split"):
        training_and_validation(both, TrainConfig(), None)


def test_slides_in_both_splits_give_a_warning(few, caplog):
    patches = replace(few, table=few.table.assign(slide=[f"s{row % 5}" for row in range(len(few))]))
    training_and_validation(patches, TrainConfig(), None)
    assert "5 slides are in both the training and the validation split, such as s0" in caplog.text


def test_a_file_that_does_not_match_its_hash_is_refused(few, tmp_path):
    files, _ = forms.kaggle(few)
    name = min(name for name in files if name.startswith("train/") and name.endswith(".tif"))
    files[name] = forms.encode(255 - forms.decode(files[name]), "tif")
    patches = open_patches(forms.write(files, tmp_path / "kaggle"))
    with pytest.raises(DataError, match="1 file does not match the SHA-1"):
        training_and_validation(patches, TrainConfig(), tmp_path / "cache")


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_split_that_loses_a_class_with_its_unreadable_patches_is_refused(few, tmp_path, split):
    folder = forms.write(forms.class_folders(few, "png")[0], tmp_path / "patches")
    for file in folder.glob(f"{split}/1/*"):
        file.write_bytes(b"broken")
    patches = open_patches(folder, skip_bad=True)
    with pytest.raises(DataError, match=f"patches of split '{split}' have label 0; training needs both classes"):
        training_and_validation(patches, TrainConfig(), tmp_path / "cache")
    if split == "train":  # Without a validation split, too.
        with pytest.raises(DataError, match="training needs both classes"):
            training_and_validation(patches.split("train"), TrainConfig(), tmp_path / "cache")


def test_names_that_are_hashes_of_something_else_are_ignored(few, tmp_path):
    files, _ = forms.class_folders(few, "png")
    renamed = {f"{name.rsplit('/', 1)[0]}/{number:040x}.png": each for number, (name, each) in enumerate(files.items())}
    patches = open_patches(forms.write(renamed, tmp_path / "hashed"))
    assert len(training_and_validation(patches, TrainConfig(), tmp_path / "cache")[0]) > 0


def test_deduplication_keeps_one_of_the_copies_of_a_training_patch(few, caplog):
    caplog.set_level(logging.INFO, "sentinode")
    training = np.flatnonzero(few.table["split"] == "train")
    doubled = few.select(np.sort(np.concatenate([np.arange(len(few)), training[:5]])))
    everything, validation, _ = training_and_validation(doubled, TrainConfig(), None)
    once, validation_too, _ = training_and_validation(doubled, TrainConfig(deduplicate=True), None)
    assert f"left out 5 of {len(everything)} training patches: exact duplicates" in caplog.text
    caplog.clear()
    training_and_validation(few, TrainConfig(deduplicate=True), None)
    assert "exact duplicates" not in caplog.text
    assert len(everything) == len(training) + 5
    assert once.table["sha1"].tolist() == few.split("train").table["sha1"].tolist()
    assert validation_too.fingerprint == validation.fingerprint


def test_duplicates_with_both_labels_are_reported_and_cannot_remove_a_class(few, caplog):
    training = few.split("train")
    doubled = training.select(np.repeat(np.arange(len(training)), 2))
    labels = np.tile([0, 1], len(training)).astype(np.int8)
    contradictory = replace(doubled, table=doubled.table.assign(label=labels))
    with pytest.raises(DataError, match="have label 0; training needs both classes"):
        training_and_validation(contradictory, TrainConfig(deduplicate=True), None)
    assert "exact duplicates with the other label" in caplog.text
