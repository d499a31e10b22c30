"""A linear probe is an ordinary run whose last layer alone was fitted."""

import numpy as np
import pytest
from tests.commands import refused, sentinode, succeeded

from sentinode import TrainConfig, build_model, load_run, predict, train
from sentinode.errors import DataError, RunError
from sentinode.training.command import train_command
from sentinode.training.linear_probe import fit_linear_head, fit_linear_probe
from sentinode.training.state.progress import read_progress

NETWORKS = {
    "cnn": {"name": "cnn", "output": "softmax"},
    "resnet18": {"name": "resnet18", "width": 8},
    "transfer": {"name": "transfer", "backbone": "MobileNet"},
}


@pytest.fixture(scope="module")
def few(mini):
    return mini.select(range(0, len(mini), 20))


@pytest.fixture(scope="module")
def probe(few, tmp_path_factory):
    """A probe on the features of the pretrained weights; tests do not write into it."""
    return fit_linear_probe(load_run("d4net-m"), few, out=tmp_path_factory.mktemp("probe") / "run")


@pytest.mark.parametrize("name", NETWORKS)
def test_only_the_last_layer_changes(name, few, tmp_path):
    model = build_model(**NETWORKS[name])
    before = model.get_weights()
    run = fit_linear_probe(model, few, out=tmp_path / "run")
    last = len(model.layers[-1].get_weights())
    for old, new in zip(before[:-last], load_run(run.path).model.get_weights()[:-last], strict=True):
        np.testing.assert_array_equal(old, new)
    assert run.history["loss"][0] < np.log(2)  # The loss of a constant prediction.
    assert run.history["val_auc"][0] == pytest.approx(run.summary["valid_auc"])


def test_a_probe_is_a_run_like_any_other(probe, few):
    assert {"prediction", "warning"} <= set(predict(probe, few.split("test")).table.columns)
    assert (read_progress(probe.path).epochs, read_progress(probe.path).state) == (1, "finished")


def test_a_probe_states_its_provenance(probe):
    pretrained = load_run("d4net-m")
    assert probe.method == "linear probe"
    assert probe.config["model"]["trainable_parameters"] == 25
    assert probe.config["model"]["parameters"] == pretrained.model.count_params()
    assert probe.provenance.starting_weights == pretrained.provenance
    first, second = probe.provenance.sentences()
    assert "last layer was fitted on 54 patches" in first and "d4net-m" in first
    assert "mean of 4 training runs" in second and "24,000 patches" in second


def test_the_command_of_a_probe_makes_it_again(probe, tmp_path):
    command = train_command(probe, str(tmp_path))
    assert command[:6] == ["sentinode", "train", "pcam-mini", "--model", "d4net-m", "--linear-probe"]
    assert "--deduplicate" not in command


def test_a_finished_probe_is_returned_and_other_settings_are_refused(probe, few):
    before = (probe.path / "best.weights.h5").stat().st_mtime_ns
    model = load_run("d4net-m").starting_model()
    assert fit_linear_probe(model, few, out=probe.path).path == probe.path
    for ours, theirs in zip(model.get_weights(), probe.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (probe.path / "best.weights.h5").stat().st_mtime_ns == before
    with pytest.raises(RunError, match="seed 0, now 1"):
        fit_linear_probe(load_run("d4net-m"), few, out=probe.path, seed=1)
    with pytest.raises(RunError, match="its method"):
        train(load_run("d4net-m").starting_model(), few, out=probe.path)


@pytest.mark.slow
def test_patches_of_the_starting_weights_count_as_trained_on(tiny_run, mini, few, tmp_path, caplog):
    others = mini.select(range(7, 1660, 20))
    run = fit_linear_probe(tiny_run, others, out=tmp_path / "others")
    assert "used to train the other layers" not in caplog.text
    for patches in (few, others):
        assert run.trained_on(patches.split("train").table["sha1"]).all()
    assert not run.trained_on(few.split("test").table["sha1"]).any()
    fit_linear_probe(tiny_run, few, out=tmp_path / "same")
    assert "54 of the 54 training patches were used to train the other layers" in caplog.text


def test_identical_patches_count_once(few, tmp_path):
    twice = few.select([*range(len(few)), *range(0, len(few), 3)])
    runs = [
        fit_linear_probe(build_model("mlp", dense_units=8), patches, out=tmp_path / name)
        for name, patches in (("twice", twice), ("once", few))
    ]
    for one, other in zip(*(run.model.get_weights() for run in runs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_logistic_regression_recovers_its_coefficients():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(20_000, 3)) * [1, 10, 0.1] + [0, 5, -1]
    truth = features @ [2.0, 0.1, -5.0] - 6
    weights, bias, penalty = fit_linear_head(features, rng.random(len(truth)) < 1 / (1 + np.exp(-truth)))
    np.testing.assert_allclose([*weights, bias], [2.0, 0.1, -5.0, -6.0], rtol=0.15)
    assert penalty < 100
    noise = rng.normal(size=(60, 40))
    weights, _, penalty = fit_linear_head(noise, np.arange(60) % 2)
    assert penalty >= 10
    assert np.abs(weights).max() < 0.3


def test_any_seed_may_draw_the_folds():
    features = np.arange(20.0)[:, None]
    large, small = (fit_linear_head(features, features[:, 0] > 9, seed) for seed in (2**32 + 7, 7))
    assert large[1] == small[1]


def test_too_few_patches_are_refused():
    with pytest.raises(DataError, match="two different patches of each class; one class has 1"):
        fit_linear_head(np.eye(3), [0, 0, 1])


def test_the_command_fits_a_probe(tmp_path):
    out = tmp_path / "probe"
    printed = succeeded(
        sentinode("train", "pcam-mini", "--model", "mlp", "--linear-probe", "--seed", "3", "--out", out)
    )
    assert "last layer fitted" in printed
    assert (load_run(out).method, load_run(out).settings.seed) == ("linear probe", 3)


def test_options_without_an_effect_on_a_probe_are_refused(tmp_path):
    command = ("train", "pcam-mini", "--model", "d4net-m", "--linear-probe", "--out", tmp_path / "run")
    refused(sentinode(*command, "--epochs", "5", "--augment", "stain"), "--augment, --epochs", "--linear-probe")
    refused(sentinode(*command, "--teacher", "d4net-m"), "--teacher")
    assert not (tmp_path / "run").exists()


def test_settings_of_a_probe_are_its_splits_and_its_seed(probe):
    assert probe.settings == TrainConfig(deduplicate=True)
