"""What a training learns from and is validated on."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from tests import forms

from sentinode import TrainConfig, open_patches
from sentinode.errors import DataError
from sentinode.training.splits import training_and_validation


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 20))


def test_patients_are_whole_in_what_is_held_out(few):
    patients = [str(row // 3) for row in range(len(few))]
    patches = replace(few, table=few.table.assign(split=None, patient=patients))
    training, validation, held_out = training_and_validation(patches, TrainConfig(), None)
    assert held_out and len(validation) > 0
    assert not set(training.table["patient"]) & set(validation.table["patient"])


def test_slides_on_both_sides_are_met_with_a_warning(few, caplog):
    patches = replace(few, table=few.table.assign(slide=[f"s{row % 5}" for row in range(len(few))]))
    training_and_validation(patches, TrainConfig(), None)
    assert "5 slides are in training and validation, such as s0; figures flatter" in caplog.text


def test_a_file_that_is_not_what_it_is_named_is_not_trained_on(few, tmp_path):
    files, _ = forms.kaggle(few)
    name = min(name for name in files if name.startswith("train/") and name.endswith(".tif"))
    files[name] = forms.encode(255 - forms.decode(files[name]), "tif")
    patches = open_patches(forms.write(files, tmp_path / "kaggle"))
    with pytest.raises(DataError, match="1 files do not hold the pixels"):
        training_and_validation(patches, TrainConfig(), tmp_path / "cache")


def test_names_that_are_another_kind_of_hash_say_nothing(few, tmp_path):
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
    assert f"5 of {len(everything)} training patches are copies of others: left out" in caplog.text
    caplog.clear()
    training_and_validation(few, TrainConfig(deduplicate=True), None)
    assert "copies of others" not in caplog.text
    assert len(everything) == len(training) + 5
    assert once.table["sha1"].tolist() == few.split("train").table["sha1"].tolist()
    assert validation_too.fingerprint == validation.fingerprint


def test_copies_with_two_labels_are_told_and_may_not_leave_one_class_alone(few, caplog):
    training = few.split("train")
    doubled = training.select(np.repeat(np.arange(len(training)), 2))
    labels = np.tile([0, 1], len(training)).astype(np.int8)
    contradictory = replace(doubled, table=doubled.table.assign(label=labels))
    with pytest.raises(DataError, match="have label 0; both classes are needed"):
        training_and_validation(contradictory, TrainConfig(deduplicate=True), None)
    assert "training patches have copies of another label" in caplog.text
