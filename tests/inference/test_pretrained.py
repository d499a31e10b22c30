"""The weights that ship: there, whole, symmetric, and good at what they are for."""

import shutil

import keras
import numpy as np
import pytest
from tests.commands import sentinode, succeeded

from sentinode import evaluate, load_run, predict
from sentinode.errors import RunError
from sentinode.inference.logits import logit_model
from sentinode.layers.d4 import apply_symmetry
from sentinode.models.plain import plain_network
from sentinode.samples import DEFAULT_MODEL, PRETRAINED, pretrained_path
from sentinode.training import load as opening


@pytest.mark.parametrize("name", PRETRAINED)
def test_weights_that_ship_are_whole_small_and_have_a_card(name):
    run = load_run(name)
    assert run.pretrained
    assert run.calibration.temperature > 0
    assert 0 < run.threshold < 1
    assert sum(path.stat().st_size for path in run.path.iterdir()) < 2_500_000
    assert "# " in (run.path / "README.md").read_text(encoding="utf-8")
    assert name in run.describe()


def test_a_folder_of_the_same_name_comes_first(tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_run.path, tmp_path / DEFAULT_MODEL)
    assert load_run(DEFAULT_MODEL).config == tiny_run.config


def test_what_evaluations_of_it_left_is_not_taken_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEFAULT_MODEL / "evaluations").mkdir(parents=True)
    assert load_run(DEFAULT_MODEL).pretrained


@pytest.mark.parametrize("name", ["best.weights.h5", "summary.json", "ood.json", "model.json", "valid_sha1.npy"])
def test_a_run_with_a_file_that_was_changed_or_is_missing_is_refused(name, tmp_path, monkeypatch):
    shutil.copytree(pretrained_path(DEFAULT_MODEL), tmp_path / DEFAULT_MODEL)
    monkeypatch.setattr(opening, "pretrained_path", lambda name: tmp_path / name)
    assert load_run(DEFAULT_MODEL).threshold > 0
    file = tmp_path / DEFAULT_MODEL / name
    file.write_bytes(file.read_bytes()[:-2] + b"??")
    with pytest.raises(RunError, match="were changed; reinstall sentinode"):
        load_run(DEFAULT_MODEL)
    file.unlink()
    with pytest.raises(RunError, match="were changed; reinstall sentinode"):
        load_run(DEFAULT_MODEL)
    shutil.rmtree(tmp_path / DEFAULT_MODEL)
    with pytest.raises(RunError, match="missing in the package"):
        load_run(DEFAULT_MODEL)


@pytest.mark.parametrize("name", PRETRAINED)
def test_they_tell_tumour_from_normal_on_slides_that_they_were_not_fitted_on(name, mini, tmp_path):
    evaluation = evaluate(load_run(name), mini, out=tmp_path / "it")
    assert evaluation.auc > 0.93
    assert evaluation.operating_point.accuracy.low > 0.84
    assert not load_run(name).trained_on(mini.split("test").table["sha1"]).any()


@pytest.mark.parametrize("name", PRETRAINED)
def test_their_logit_is_the_same_for_all_orientations_and_written_out(name, mini):
    pixels = mini.read(range(0, 1600, 50))
    model = load_run(name).model
    network = logit_model(model)
    said = network.predict_on_batch(pixels)
    for symmetry in range(1, 8):
        np.testing.assert_allclose(network.predict_on_batch(apply_symmetry(pixels, symmetry)), said, atol=1e-4)
    np.testing.assert_allclose(plain_network(model).predict_on_batch(pixels), said, atol=1e-4)


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_scan_of_a_region_says_what_its_patches_say(name, mini):
    model, pixels = load_run(name).model, mini.read(range(0, 1660, 140))
    region = np.concatenate([np.concatenate(list(row), axis=1) for row in pixels.reshape(3, 4, 96, 96, 3)])
    scan = plain_network(model, step_px=8)
    inputs = [region[None], np.ones((1, 1, 1, 1), np.float32)][: len(scan.inputs)]
    scanned = np.asarray(scan.predict_on_batch(inputs))[0]
    assert scanned.shape == (25, 37, 1)
    places = [(row, column) for row in range(0, 25, 3) for column in range(0, 37, 3)]
    cut = np.stack([region[8 * row : 8 * row + 96, 8 * column : 8 * column + 96] for row, column in places])
    alone = logit_model(model).predict_on_batch(cut)
    assert np.ptp(alone) > 1
    np.testing.assert_allclose([scanned[place] for place in places], alone, atol=1e-4)


@pytest.mark.slow
def test_evaluations_of_pretrained_weights_are_not_written_into_the_package(mini, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(pretrained_path(DEFAULT_MODEL).rglob("*"))
    succeeded(sentinode("evaluate", "pcam-mini", "--model", DEFAULT_MODEL))
    assert (tmp_path / DEFAULT_MODEL / "evaluations" / "test" / "metrics.json").is_file()
    assert sorted(pretrained_path(DEFAULT_MODEL).rglob("*")) == before


def test_few_real_patches_are_warned_of(mini):
    warnings = predict(load_run(DEFAULT_MODEL), mini.split("test")).table["warning"]
    assert (warnings != "").mean() < 0.08


def test_the_dropout_of_a_training_that_starts_from_them_follows_its_seed():
    run = load_run(DEFAULT_MODEL)

    def dropout(seed):
        states = [variable for variable in run.starting_model(seed).non_trainable_variables if "seed" in variable.path]
        assert states
        return [keras.ops.convert_to_numpy(state).tolist() for state in states]

    assert dropout(1) == dropout(1) != dropout(2)
