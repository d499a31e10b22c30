"""Test-time augmentation: the mean over the eight orientations, where it changes anything."""

import logging

import numpy as np
import pytest

from sentinode import build_model, evaluate, predict
from sentinode.errors import ConfigError
from sentinode.inference.logits import logit_model, tumour_logit
from sentinode.layers.d4 import ORDER, apply_symmetry


@pytest.fixture(scope="module")
def few(mini):
    return mini.split("test").select(range(0, 400, 25))


def test_tta_is_the_mean_of_the_logits_of_all_orientations(tiny_run, few, caplog):
    with caplog.at_level(logging.INFO, logger="sentinode"):
        found = predict(tiny_run, few, tta="d4")
    network = logit_model(tiny_run.model)
    each = [tumour_logit(network.predict_on_batch(apply_symmetry(few.read(), symmetry))) for symmetry in range(ORDER)]
    assert np.ptp(each, axis=0).max() > 1e-4
    assert found.table["logit"].to_numpy() == pytest.approx(tiny_run.calibration(np.mean(each, axis=0)), abs=1e-5)
    assert found.made_by["tta"] == {"requested": "d4", "effective": "d4"}
    assert "the mean over the eight orientations of each patch" in caplog.text


def test_predictions_with_tta_do_not_depend_on_orientation(tiny_run, few):
    pixels = few.read()
    one = predict(tiny_run, few, tta="d4").table["logit"]

    class Turned:
        def read(self, rows):
            return apply_symmetry(few.pixels.read(rows), 3)

    turned = type(few)(few.kind, few.path, few.table, Turned(), few.rows)
    assert not np.array_equal(turned.read(), pixels)
    assert predict(tiny_run, turned, tta="d4").table["logit"].to_numpy() == pytest.approx(one.to_numpy(), abs=1e-5)


@pytest.mark.parametrize("name", ["d4net", "p4m-densenet"])
def test_a_network_that_knows_the_symmetries_is_run_once(name, few, caplog):
    model = build_model(name)
    with caplog.at_level(logging.INFO, logger="sentinode"):
        augmented = predict(model, few.select(range(4)), tta="d4")
    plain = predict(model, few.select(range(4)))
    assert np.array_equal(augmented.table["logit"], plain.table["logit"])
    assert augmented.made_by["tta"] == {"requested": "d4", "effective": "none"}
    assert "tta" not in plain.made_by
    assert "tta d4 has no effect" in caplog.text


def test_an_unknown_tta_is_refused(tiny_run, few):
    with pytest.raises(ConfigError, match="tta must be one of none, d4; got 'flips'"):
        predict(tiny_run, few, tta="flips")


def test_an_evaluation_records_it_and_keeps_the_threshold(tiny_run, mini):
    augmented = evaluate(tiny_run, mini.select(range(0, len(mini), 20)), tta="d4")
    assert augmented.operating_point.threshold == tiny_run.threshold
    assert augmented.made_by["tta"] == {"requested": "d4", "effective": "d4"}
