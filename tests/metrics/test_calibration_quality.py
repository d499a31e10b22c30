"""Probabilities that come true, and those that do not: Brier score, line, error, selective calls, prediction sets."""

import json
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import foldnorm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from sentinode.errors import ConfigError, DataError
from sentinode.metrics import (
    brier_score,
    calibration_error,
    conformal_coverage,
    coverage_at_risk,
    fit_conformal,
    recalibration_line,
    reliability_curve,
    risk_coverage,
)
from sentinode.serialize import to_json

random_cases = run_path(str(Path(__file__).with_name("cases.py")))["random_cases"]


def drawn(patches, seed, temperature=1.0, offset=0.0):
    """Return labels, and probabilities whose log-odds are wrong by a temperature and an offset."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 2, patches)
    return (rng.random(patches) < expit(odds)).astype(int), expit(odds * temperature + offset)


def debiased_one_by_one(labels, probabilities):
    """Return the calibration error from its definition, bin by bin, by the folded normal's mean."""
    order, error = np.argsort(probabilities, kind="stable"), 0.0
    for part in (part for part in np.array_split(order, 15) if len(part)):
        frequency = labels[part].mean()
        distance = abs(frequency - probabilities[part].mean())
        spread = np.sqrt(frequency * (1 - frequency) / len(part))
        likely = np.sqrt(max(distance**2 - spread**2, 0.0))
        seen = foldnorm.mean(likely / spread, scale=spread) if spread else likely
        error += len(part) * (distance - (seen - likely))
    return error / len(labels)


def test_brier_is_scikit_learns_and_its_parts_add_up():
    for labels, scores, clusters in random_cases(500, 1, 5):
        probabilities = expit(scores - 2)
        found = brier_score(labels, probabilities, clusters if len(np.unique(clusters)) > 1 else None)
        assert found.score.estimate == pytest.approx(brier_score_loss(labels, probabilities))
        assert found.miscalibration - found.discrimination + found.uncertainty == pytest.approx(found.score.estimate)
        assert found.miscalibration >= -1e-12 and found.discrimination >= -1e-12
        assert found.score.low <= found.score.estimate <= found.score.high
    json.dumps(to_json(found), allow_nan=False)


def test_a_perfect_brier_score_of_0_has_a_confidence_interval():
    score = brier_score([0, 1] * 20, [0, 1] * 20).score
    assert score.estimate == score.low == 0 and 0.05 < score.high < 0.15


def test_the_recalibration_line_is_recovered():
    line = recalibration_line(*drawn(20_000, 2, temperature=2.0))
    assert line.slope.low < 0.5 < line.slope.high and line.slope.high - line.slope.low < 0.05
    line = recalibration_line(*drawn(20_000, 3, offset=-0.5))
    assert line.slope.low < 1 < line.slope.high and line.intercept.low < 0.5 < line.intercept.high


def test_the_slope_is_that_of_logistic_regression():
    labels, probabilities = drawn(300, 4, temperature=1.5)
    fitted = LogisticRegression(C=1e9, tol=1e-9).fit(logit(probabilities)[:, None], labels)
    assert recalibration_line(labels, probabilities).slope.estimate == pytest.approx(fitted.coef_[0, 0], rel=1e-4)


@pytest.mark.parametrize("probabilities", [[0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1], [0.5] * 4, [0.0, 0.0, 1.0, 1.0]])
def test_separable_classes_have_no_calibration_slope(probabilities):
    line = recalibration_line([0, 0, 1, 1], probabilities)
    assert line.slope is None and np.isfinite(line.intercept.estimate)
    json.dumps(to_json(line), allow_nan=False)


def test_the_error_is_the_debiased_one():
    for seed in range(20):
        labels, probabilities = drawn(int(50 + 30 * seed), seed, temperature=1.3)
        found = calibration_error(labels, probabilities, draws=10)
        assert found.estimate == pytest.approx(debiased_one_by_one(labels, probabilities), abs=1e-12)


@pytest.mark.parametrize("clustered", [False, True])
def test_calibrated_probabilities_are_rarely_rejected_and_miscalibrated_ones_always(clustered):
    rng = np.random.default_rng(5)
    slides = np.repeat(np.arange(60), 20)
    right, wrong = [], []
    for seed in range(150):
        labels, probabilities = drawn(1200, seed)
        if clustered:  # Labels that follow the slide beyond the probability, and are right on the whole.
            odds, shift = rng.normal(0, 1, 1200), rng.choice([-1, 1], 60)[slides]
            labels, probabilities = (
                (rng.random(1200) < np.clip(expit(odds) + 0.1 * shift, 0, 1)).astype(int),
                expit(odds),
            )
        groups = slides if clustered else None
        right.append(calibration_error(labels, probabilities, groups, draws=100).p_value < 0.05)
        wrong.append(calibration_error(labels, expit(logit(probabilities) + 0.8), groups, draws=100).p_value < 0.05)
    assert np.mean(right) < 0.11 and np.mean(wrong) > 0.95


def test_a_reliability_curve_has_all_patches_and_its_limits():
    labels, probabilities = drawn(1000, 6)
    curve = reliability_curve(labels, probabilities, np.arange(1000) % 40)
    assert sum(each.frequency.patches for each in curve) == 1000
    assert all(each.frequency.low <= each.frequency.estimate <= each.frequency.high for each in curve)
    assert [each.probability for each in curve] == sorted(each.probability for each in curve)


def test_the_order_of_patches_of_equal_probability_does_not_matter():
    probabilities = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 400)
    labels = np.concatenate([np.repeat([0, 1], [400 - each, each]) for each in (40, 120, 200, 280, 360)])
    order = np.argsort(labels, kind="stable")
    sorted_by_class = calibration_error(labels[order], probabilities[order])
    assert sorted_by_class.estimate == calibration_error(labels, probabilities).estimate
    assert sorted_by_class.p_value > 0.5
    curve = reliability_curve(labels[order], probabilities[order])
    assert [each.frequency.estimate for each in curve] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert [each.frequency.patches for each in curve] == [400] * 5


@pytest.mark.parametrize(
    "measure", [brier_score, recalibration_line, calibration_error, reliability_curve, risk_coverage]
)
def test_values_outside_0_to_1_are_refused(measure):
    with pytest.raises(DataError, match=r"probability 1\.5 at position 1 is not between 0 and 1"):
        measure([0, 1], [0.5, 1.5])
    with pytest.raises(DataError, match="same length"):
        measure([0, 1], [0.5])
    with pytest.raises(DataError, match="not finite"):
        measure([0, 1], [0.5, np.nan])


def slow_aurc(wrong, confidence, rng):
    orders = [np.lexsort((rng.random(len(wrong)), -confidence)) for _ in range(400)]
    return np.mean([np.mean(np.cumsum(wrong[order]) / np.arange(1, len(wrong) + 1)) for order in orders])


def test_the_area_under_risk_and_coverage_is_the_mean_over_orders_of_ties():
    rng = np.random.default_rng(7)
    for labels, scores, _ in random_cases(30, 7):
        probabilities = np.round(expit(scores - 1), 1)
        found = risk_coverage(labels, probabilities)
        wrong = ((probabilities >= 0.5) != labels).astype(float)
        assert found.aurc == pytest.approx(slow_aurc(wrong, np.round(np.abs(probabilities - 0.5), 6), rng), abs=0.03)
        assert found.aurc_optimal <= found.aurc + 1e-12
        assert found.coverage[-1] == 1 and found.risk[-1] == pytest.approx(wrong.mean())


def test_a_few_correct_patches_do_not_bound_the_risk():
    labels = np.array([0, 1] * 15)
    assert coverage_at_risk(labels, 0.2 + 0.6 * labels, risk=0.05).coverage is None
    found = coverage_at_risk(np.tile(labels, 40), np.tile(0.2 + 0.6 * labels, 40), risk=0.05)
    assert found.coverage == 1.0 and 0 < found.upper_limit <= 0.05
    json.dumps(to_json(found), allow_nan=False)


def test_the_risk_at_the_chosen_coverage_is_below_the_requested_one():
    truths = []
    for seed in range(200):
        labels, probabilities = drawn(1000, seed)
        found = coverage_at_risk(labels, probabilities, risk=0.1)
        if found.coverage is not None:
            fresh, others = drawn(20_000, 1000 + seed)
            sure = np.abs(logit(others)) >= found.confidence
            truths.append(np.mean((others[sure] >= 0.5) != fresh[sure]))
    assert len(truths) > 150 and np.mean(np.array(truths) > 0.1) < 0.05


def test_two_slides_with_the_same_error_rate_say_less_than_their_patches():
    labels = np.tile([0, 1], 500)
    wrong = np.arange(1000) % 125 == 0
    probabilities = np.where(labels.astype(bool) ^ wrong, 0.9, 0.1)
    slides = np.repeat(["a", "b"], 500)
    assert coverage_at_risk(labels, probabilities, risk=0.05).upper_limit < 0.02
    assert coverage_at_risk(labels, probabilities, risk=0.05, clusters=slides).coverage is None


@pytest.mark.parametrize("risk", [0, 1, -1])
def test_an_invalid_risk_or_miscoverage_is_refused(risk):
    with pytest.raises(ConfigError):
        coverage_at_risk([0, 1], [0.1, 0.9], risk)
    with pytest.raises(ConfigError):
        fit_conformal([0, 1], [0.1, 0.9], risk)


@pytest.mark.parametrize("patches", [30, 200, 1000])
def test_prediction_sets_have_the_requested_coverage_on_exchangeable_patches(patches):
    shares = []
    for seed in range(200):
        sets = fit_conformal(*drawn(patches, seed, temperature=3.0), miscoverage=0.1)
        found = conformal_coverage(sets, *drawn(2000, 1000 + seed, temperature=3.0))
        shares.append([found.normal.estimate, found.tumour.estimate])
    assert np.all(np.mean(shares, 0) > 0.89) and np.all(np.mean(shares, 0) < 0.9 + 4 / patches + 0.01)


def test_with_too_few_patches_every_prediction_set_has_both_labels():
    sets = fit_conformal([0, 1], [0.1, 0.9], miscoverage=0.05)
    assert sets.sets([0.0, 0.5, 1.0]).all()
    found = conformal_coverage(sets, [1, 1], [0.2, 0.3], [7, 7])
    assert (found.coverage.estimate, found.both_labels, found.normal) == (1.0, 1.0, None)
    json.dumps(to_json(found), allow_nan=False)


@pytest.mark.parametrize("clusters", [3, 4, 5])
def test_few_clusters_do_not_give_small_p_values(clusters):
    """With k clusters there are 2**k assignments of signs, so no p-value is far below 2 / 2**k."""
    units = np.repeat(np.arange(clusters), 40)
    labels, probabilities = np.ones(len(units)), np.full(len(units), 0.6)
    labels[::7] = 0
    found = calibration_error(labels, probabilities, units, bins=3)
    assert found.p_value > 0.7 / 2**clusters
