"""Cross-validation: each patch is predicted by a run that was not trained on it; the same call continues."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.commands import refused, sentinode, succeeded

from sentinode import CrossValidation, PatchSet, TrainConfig, build_model, cross_validate
from sentinode.errors import ConfigError, DataError, RunError

CONFIG = TrainConfig(epochs=1, batch_size=16)


def build():
    return build_model("mlp", dense_units=1)


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    few = mini.select(range(0, len(mini), 20))
    slides = pd.Series([f"s{row // 4}" for row in range(len(few))], dtype="str")
    return replace(few, table=few.table.assign(slide=slides))


@pytest.fixture(scope="module")
def found(few, tmp_path_factory) -> CrossValidation:
    return cross_validate(build, few, CONFIG, out=tmp_path_factory.mktemp("cv") / "out", folds=2)


def test_each_patch_is_predicted_once_by_a_run_that_was_not_trained_on_its_slide(found, few):
    predictions = pd.read_csv(found.runs[0].path.parent / "predictions.csv")
    assert predictions["id"].tolist() == few.table["id"].tolist()
    assert predictions["label"].tolist() == few.labels.tolist()
    for fold, run in enumerate(found.runs, 1):
        in_fold = (found.split.patches.table["split"] == str(fold)).to_numpy()
        trained_on = run.trained_on(few.table["sha1"]) | run.validated_on(few.table["sha1"])
        assert (trained_on == ~in_fold).all()
        assert not set(few.table["slide"][in_fold]) & set(few.table["slide"][~in_fold])


def test_the_pooled_evaluation_covers_all_patches_and_is_written(found, few):
    evaluation = found.evaluation
    assert evaluation.normal + evaluation.tumour == len(few) == found.folds[["normal", "tumour"]].to_numpy().sum()
    auc = evaluation.ranking.auc
    assert auc.low < auc.estimate < auc.high and auc.clusters == few.table["slide"].nunique()
    assert json.loads((found.runs[0].path.parent / "metrics.json").read_text())["split"] == "cross-validation"
    assert pd.read_csv(found.runs[0].path.parent / "folds.csv")["auc"].between(0, 1).all()


def test_the_same_call_again_trains_nothing_and_gives_the_same(found, few):
    before = [(run.path / "best.weights.h5").stat().st_mtime_ns for run in found.runs]
    again = cross_validate(build, few, CONFIG, out=found.runs[0].path.parent, folds=2)
    assert [(run.path / "best.weights.h5").stat().st_mtime_ns for run in again.runs] == before
    assert again.folds.equals(found.folds)
    with pytest.raises(RunError):
        cross_validate(build, few, replace(CONFIG, seed=1), out=found.runs[0].path.parent, folds=2)


def test_a_fold_that_learned_nothing_does_not_set_the_pooled_threshold_to_zero(found, few, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(found.runs[0].path.parent, out)
    for fold, threshold in ((1, 0.0), (2, 0.5)):
        file = out / f"fold-{fold}" / "summary.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "threshold": threshold}))
    evaluation = cross_validate(build, few, CONFIG, out=out, folds=2).evaluation
    assert 0 < evaluation.operating_points["validation"].threshold < 0.5


def test_missing_labels_and_folds_are_refused(few, tmp_path):
    unlabeled = replace(few, table=few.table.assign(label=pd.array([None] * len(few), dtype="Int8")))
    with pytest.raises(DataError, match="no patch has a label"):
        cross_validate(build, unlabeled, CONFIG, out=tmp_path / "out")
    with pytest.raises(ConfigError, match="folds must be at least 2"):
        cross_validate(build, few, CONFIG, out=tmp_path / "out", folds=1)
    with pytest.raises(ConfigError, match="makes its own splits"):
        cross_validate(build, few, replace(CONFIG, valid_split="test"), out=tmp_path / "out")
    refused(sentinode("cross-validate", "pcam-mini", "--model", "resnet", "--out", tmp_path / "x"), "not a network")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_prints_folds_and_the_pooled_evaluation(tmp_path):
    words = ["--model", "mlp", "--option", "dense_units=1", "--epochs", 1, "--folds", 2, "--split", "test"]
    output = succeeded(sentinode("cross-validate", "pcam-mini", *words, "--out", tmp_path / "cv"))
    assert "pooled predictions" in output and "WARNING: the slide and patient of 400 of 400" in output
    assert np.isfinite(pd.read_csv(tmp_path / "cv" / "folds.csv")["auc"]).all()
    assert "sentinode train pcam-mini --model mlp --option dense_units=1 --out runs/first --epochs 1\n" in output
