"""Several runs together: what they say, from where they call tumour, and what they were trained and chosen on."""

import json
import shutil

import numpy as np
import pytest
from scipy.special import logit

from sentinode import Ensemble, build_model, evaluate, load_run, predict
from sentinode.errors import ConfigError, RunError
from sentinode.inference.keras_predictor import KerasPredictor
from sentinode.training.load import load_predictor


@pytest.fixture(scope="module")
def warm_run(other_run, tmp_path_factory):
    """The second run with a temperature and a threshold that are far from those of the first."""
    folder = shutil.copytree(other_run.path, tmp_path_factory.mktemp("runs") / "warm")
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(
        json.dumps({**summary, "calibration": {"temperature": 0.5, "offset": 0.25}, "threshold": 0.9})
    )
    return load_run(folder)


@pytest.fixture(scope="module")
def both(tiny_run, warm_run):
    return Ensemble((tiny_run, warm_run))


@pytest.fixture(scope="module")
def few(mini):
    return mini.split("test").select(range(0, 400, 25))


def test_the_log_odds_are_the_mean_of_the_calibrated_ones(both, few):
    each = [predict(run, few).table["logit"].to_numpy() for run in both.members]
    assert np.abs(each[0] - each[1]).max() > 1e-3
    assert predict(both, few).table["logit"].to_numpy() == pytest.approx(np.mean(each, axis=0), abs=1e-12)
    raw = predict(both.members[1].model, few).table["logit"].to_numpy()
    assert each[1] == pytest.approx(raw / 0.5 + 0.25, abs=1e-12)


def test_an_ensemble_of_one_predicts_what_its_run_predicts(tiny_run, few):
    alone = Ensemble((tiny_run,))
    assert np.array_equal(predict(alone, few).table["logit"], predict(tiny_run, few).table["logit"])
    assert alone.threshold == pytest.approx(tiny_run.threshold, abs=1e-12)


def test_the_threshold_is_the_mean_on_the_logit_scale(both, tiny_run):
    assert logit(both.threshold) == pytest.approx((logit(tiny_run.threshold) + logit(0.9)) / 2)
    assert min(tiny_run.threshold, 0.9) < both.threshold < max(tiny_run.threshold, 0.9)


@pytest.mark.parametrize(("one", "other"), [(0.0, 0.5), (1.0, 0.0)])
def test_thresholds_without_log_odds_give_a_number(one, other):
    class Given:
        def __init__(self, threshold):
            self.threshold, self.path = threshold, object()
            self.identity = {"weights_sha256": threshold, "model": "it"}

    assert 0 < Ensemble((Given(one), Given(other))).threshold < 1


def test_predictions_of_an_ensemble_record_every_run(both, few, tiny_run, warm_run):
    made = predict(both, few).made_by
    assert made["ensemble"] == [tiny_run.identity, warm_run.identity]
    assert (made["threshold"], made["threshold_rule"]) == (
        both.threshold,
        "mean of the members' thresholds on the logit scale",
    )


def test_a_patch_that_any_run_has_seen_counts_once(both, mini, tiny_run, warm_run):
    sha1 = mini.split("train").table["sha1"]
    one, other = tiny_run.trained_on(sha1), warm_run.trained_on(sha1)
    assert one.sum() == other.sum() == 54
    assert both.trained_on(sha1).sum() == (one | other).sum() == 108


def test_what_a_model_of_unknown_training_has_seen_stays_unknown(tiny_run, mini):
    mixed = Ensemble((tiny_run, KerasPredictor(build_model("mlp", seed=1))))
    seen, unseen = mini.split("train").table["sha1"], mini.split("test").table["sha1"]
    assert mixed.trained_on(seen).sum() == tiny_run.trained_on(seen).sum() == 54
    assert tiny_run.trained_on(unseen).sum() == 0
    assert mixed.trained_on(unseen) is None
    assert mixed.validated_on(unseen) is None


def test_patches_that_one_run_was_chosen_on_are_met_with_a_warning(both, mini, tmp_path, caplog):
    valid_of_the_second = mini.select(range(1, len(mini), 20))
    evaluate(both, valid_of_the_second, "valid", out=tmp_path)
    assert "9 of these patches were used to choose the threshold and best epoch of an ensemble" in caplog.text


def test_an_evaluation_of_several_runs_records_each(both, mini):
    found = evaluate(both, mini.select(range(0, len(mini), 20)))
    assert found.operating_point.threshold == both.threshold
    assert found.made_by["ensemble"][1]["calibration"]["offset"] == 0.25


def test_what_was_held_out_is_known_only_if_all_held_out_the_same(tiny_run, warm_run, monkeypatch):
    held = {tiny_run.path: {"a", "b"}, warm_run.path: {"a", "b"}}
    monkeypatch.setattr(type(tiny_run), "held_out", lambda run: held[run.path])
    assert Ensemble((tiny_run, warm_run)).held_out() == {"a", "b"}
    held[warm_run.path] = {"a"}
    assert Ensemble((tiny_run, warm_run)).held_out() == set()


def test_the_same_weights_twice_are_refused(tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run.path, tmp_path / "copy")
    with pytest.raises(ConfigError, match=f"{copy} and {tiny_run.path} have the same weights"):
        load_predictor([tiny_run.path, copy])
    with pytest.raises(ConfigError, match="have the same weights"):
        load_predictor([tiny_run.path, tiny_run.path])
    with pytest.raises(ConfigError, match="at least one model; got none"):
        Ensemble(())


def test_one_path_is_a_run_and_a_wrong_one_is_named(tiny_run, tmp_path):
    assert load_predictor([tiny_run.path]).path == tiny_run.path
    with pytest.raises(RunError, match="no-run: no such run directory"):
        load_predictor([tiny_run.path, tmp_path / "no-run"])
    (tmp_path / "model.pth.tar").write_bytes(b"weights")
    with pytest.raises(RunError, match=r"model.pth.tar: neither a run directory nor a model file, .*\.onnx"):
        load_predictor([tmp_path / "model.pth.tar"])


def test_what_describes_model_files_of_other_origin_is_refused_for_runs(tiny_run):
    with pytest.raises(ConfigError, match=f"--input-scale .* and --model-output .* {tiny_run.name} is not one"):
        load_predictor([tiny_run.path], input_scale="1/255", model_output="logit")
