"""Temperature and calibration error: found where they are known, and refused where they cannot be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from sentinode.errors import DataError
from sentinode.metrics import Calibration, calibration_error, fit_calibration, reliability_curve


def drawn(count: int, seed: int, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and log-odds that are `temperature` times what is true of them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count)
    return (rng.random(count) < expit(logits)).astype(int), logits * temperature


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("offset", [-1.0, 0.0, 0.5])
def test_the_inverse_of_a_known_miscalibration_is_fitted(temperature, offset):
    labels, true = drawn(40_000, 1)
    found = fit_calibration(labels, (true - offset) * temperature)
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert found.offset == pytest.approx(offset, abs=0.05)


def test_the_fit_of_many_patches_equals_logistic_regression():
    labels, true = drawn(40_000, 4)
    logits = 2 * true + 1
    line = LogisticRegression(C=1e9, tol=1e-8).fit(logits[:, None], labels)
    found = fit_calibration(labels, logits)
    assert 1 / found.temperature == pytest.approx(float(line.coef_[0, 0]), rel=5e-3)
    assert found.offset == pytest.approx(float(line.intercept_[0]), abs=5e-3)


@pytest.mark.parametrize("count", [4, 20, 100])
def test_a_few_separable_patches_do_not_make_probabilities_certain(count):
    labels = np.arange(count) % 2
    found = fit_calibration(labels, np.where(labels == 1, 1.0, -1.0))
    assert 0.2 < found.temperature < 1
    assert found.offset == pytest.approx(0, abs=0.01)


def test_with_few_patches_the_log_loss_on_others_is_near_that_of_many():
    few = []
    for seed in range(50):
        labels, logits = drawn(4_010, seed, temperature=2.0)
        found = fit_calibration(labels[:10], logits[:10])
        margin = np.where(labels == 1, -1, 1)[10:] * found(logits[10:])
        few.append(np.logaddexp(0, margin).mean())
    labels, logits = drawn(40_000, 50)
    best = np.logaddexp(0, np.where(labels == 1, -1, 1) * logits).mean()
    assert np.mean(few) < 1.25 * best


def test_uninformative_logits_give_a_finite_calibration():
    found = fit_calibration([0, 1, 0, 1], [3, 3, -3, -3])
    assert 1 < found.temperature < 64
    many = fit_calibration([0, 1, 0, 1] * 10_000, [3, 3, -3, -3] * 10_000)
    assert many([3.0]) == pytest.approx(0.0, abs=0.1)


@given(st.floats(1 / 64, 64), st.floats(-16, 16), st.lists(st.floats(-50, 50), min_size=2))
def test_calibration_keeps_the_order_of_patches(temperature, offset, logits):
    before, after = np.array(logits), Calibration(temperature, offset)(logits)
    assert (np.diff(after[np.argsort(before, kind="stable")]) >= 0).all()


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 99))
def test_bins_hold_every_patch_once_and_differ_by_one(count, bins, seed):
    labels, logits = drawn(count, seed)
    found = reliability_curve(labels, expit(logits), bins=bins)
    sizes = [each.frequency.patches for each in found]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1
    assert sum(each.frequency.patches * each.frequency.estimate for each in found) == pytest.approx(labels.sum())


def test_the_debiased_calibration_error_of_perfect_probabilities_is_zero_on_average():
    plain, debiased = [], []
    for seed in range(200):
        labels, logits = drawn(600, seed)
        found = reliability_curve(labels, expit(logits))
        plain.append(
            sum(each.frequency.patches * abs(each.frequency.estimate - each.probability) for each in found) / 600
        )
        debiased.append(calibration_error(labels, expit(logits), draws=1).estimate)
    assert np.mean(plain) > 0.03
    assert abs(np.mean(debiased)) < 0.3 * np.mean(plain)


def test_a_known_calibration_error_is_measured():
    labels, logits = drawn(20_000, 3)
    wrong = np.clip(expit(logits) + 0.1, 0, 1)
    assert calibration_error(labels, wrong, draws=1).estimate == pytest.approx(
        np.abs(wrong - expit(logits)).mean(), abs=0.01
    )


@pytest.mark.parametrize("function", [fit_calibration, calibration_error])
@pytest.mark.parametrize(("labels", "scores"), [([0, 1], [0.5]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, np.nan])])
def test_what_cannot_be_measured_is_refused(function, labels, scores):
    with pytest.raises(DataError):
        function(labels, scores)
