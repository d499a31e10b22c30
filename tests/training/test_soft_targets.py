"""Training on probabilities instead of labels."""

import numpy as np
import pytest

from sentinode import TrainConfig, build_model, open_patches, train
from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError, DataError, RunError
from sentinode.inference.predict import predict_logits
from sentinode.models.build import origin
from sentinode.training.recipe.soft_targets import SoftAccuracy, SoftAuc

CONFIG = TrainConfig(epochs=3, optimizer="adam", learning_rate=0.001, metrics=("accuracy", "auc"))


@pytest.fixture(scope="module")
def few() -> PatchSet:
    """Some real patches, train and valid."""
    patches = open_patches("pcam-mini")
    return patches.select(range(0, len(patches), 4))


@pytest.mark.parametrize(
    ("targets", "message"),
    [([0.5], "expected"), ("nan", "got nan"), ("above", r"got 1\.5")],
    ids=["too few", "not a number", "above 1"],
)
def test_targets_that_are_no_probabilities_are_refused(few: PatchSet, tmp_path, targets, message: str) -> None:
    """Before the run directory is made."""
    if isinstance(targets, str):
        targets = np.where(np.arange(len(few)) == 3, np.nan if targets == "nan" else 1.5, 0.5)
    with pytest.raises(DataError, match=message):
        train(build_model("mlp"), few, CONFIG, out=tmp_path / "run", targets=targets)
    assert not (tmp_path / "run").exists()


def test_targets_and_weights_of_classes_exclude_each_other(few: PatchSet, tmp_path) -> None:
    """The weight of a class has no meaning for probabilities."""
    config = TrainConfig(class_weight="balanced")
    with pytest.raises(ConfigError, match="targets replace the labels"):
        train(build_model("mlp"), few, config, out=tmp_path / "run", targets=np.full(len(few), 0.5))


def test_metrics_round_targets() -> None:
    """Three of four predictions are on the side of their target; the AUC is that of labels 1, 1, 0, 0."""
    targets, predictions = np.array([[0.9], [0.6], [0.4], [0.0]]), np.array([[0.8], [0.3], [0.2], [0.1]])
    accuracy, auc = SoftAccuracy(), SoftAuc(name="auc")
    for metric in (accuracy, auc):
        metric.update_state(targets, predictions)
    assert float(accuracy.result()) == 0.75
    assert float(auc.result()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_a_network_follows_targets_where_labels_say_the_opposite(few: PatchSet, tmp_path, output: str) -> None:
    """The AUC on the training patches is against the targets, and another call with other targets is refused."""
    targets = 0.9 - 0.8 * few.labels
    run = train(build_model("cnn", output=output), few, CONFIG, out=tmp_path / "run", targets=targets)
    training = few.split("train")
    logits = predict_logits(run.load_model("final"), training)
    assert np.corrcoef(logits, training.labels)[0, 1] < -0.3
    assert run.history["auc"].iloc[-1] > 0.5
    assert run.history["val_auc"].iloc[-1] < 0.5
    assert run.provenance.sentences()[0].endswith("with stored predictions as targets.")
    assert origin(run.starting_model()).starting_weights["targets_sha256"]
    with pytest.raises(RunError, match="its targets"):
        train(build_model("cnn", output=output), few, CONFIG, out=tmp_path / "run", targets=targets**2)
