"""Knowledge distillation."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from sentinode import TrainConfig, build_model, load_run, open_patches, train
from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError, RunError
from sentinode.inference.predict import predict_logits
from sentinode.training.recipe.distillation import Distillation

CONFIG = TrainConfig(epochs=3, optimizer="adam", learning_rate=0.001, augment=("stain",))


@pytest.fixture(scope="module")
def few() -> PatchSet:
    """Some real patches, train and valid."""
    patches = open_patches("pcam-mini")
    return patches.select(range(0, len(patches), 4))


def test_the_target_of_two_teachers_is_the_probability_of_their_mean_logit() -> None:
    """A teacher that is sure counts more than in the mean of the probabilities."""

    def teacher(probability: float):
        return lambda pixels, training: np.full((len(pixels), 1), probability, np.float32)

    layer = Distillation([teacher(0.999), teacher(0.4)])
    student = np.full((2, 1), 0.7, np.float32)
    layer(np.zeros((2, 96, 96, 3), np.uint8), student, training=True)
    target = 1 / (1 + math.sqrt(0.001 / 0.999 * 0.6 / 0.4))
    expected = -target * math.log(0.7) - (1 - target) * math.log(0.3)
    assert float(layer.losses[0]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("settings", [{"class_weight": "balanced"}, {"loss": "focal"}], ids=str)
def test_settings_of_the_loss_to_the_labels_are_refused_with_a_teacher(few: PatchSet, tmp_path, settings) -> None:
    """The labels have no part in the loss."""
    with pytest.raises(ConfigError, match="the predictions of teachers replace the labels"):
        train(
            build_model("mlp", dense_units=1),
            few,
            TrainConfig(**settings),
            out=tmp_path / "run",
            teachers=[load_run("d4net-m")],
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_a_student_follows_its_teacher_where_labels_say_the_opposite(few: PatchSet, tmp_path, output: str) -> None:
    """Only the training labels are turned round."""
    table = few.table.copy()
    learned = table["split"] == "train"
    table.loc[learned, "label"] = 1 - table.loc[learned, "label"]
    wrong = dataclasses.replace(few, table=table)
    teacher = load_run("d4net-m")
    run = train(build_model("cnn", output=output), wrong, CONFIG, out=tmp_path / "run", teachers=[teacher])
    valid = few.split("valid")
    said, distilled = predict_logits(teacher.model, valid), predict_logits(run.load_model("final"), valid)
    assert np.corrcoef(said, distilled)[0, 1] > 0.3
    assert run.provenance.teachers == (teacher.provenance,)
    assert run.trained_on(few.split("train").cached().table["sha1"]).all()
    # Labels that its teacher saw reach the network through it.
    assert run.trained_on(pd.Series([bytes(sha1).hex() for sha1 in teacher.train_sha1[:9]])).all()


@pytest.mark.slow
def test_saved_files_do_not_contain_teachers(few: PatchSet, tmp_path) -> None:
    """The same architecture and the same number of weights as without; the teacher stays what it was."""
    teacher = load_run("d4net-m")
    before = [np.array(weight) for weight in teacher.model.get_weights()]
    config = dataclasses.replace(CONFIG, epochs=1)
    alone = train(build_model("cnn"), few, config, out=tmp_path / "alone")
    with pytest.raises(RunError, match="its teachers"):  # Another teacher is another run.
        train(build_model("cnn"), few, config, out=alone.path, teachers=[teacher])
    distilled = train(build_model("cnn"), few, config, out=tmp_path / "distilled", teachers=[teacher, alone])
    assert (distilled.path / "model.json").read_text() == (alone.path / "model.json").read_text()
    assert distilled.model.count_params() == alone.model.count_params()
    for old, new in zip(before, teacher.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert any(
        (old != new).any() for old, new in zip(alone.model.get_weights(), distilled.model.get_weights(), strict=True)
    )
