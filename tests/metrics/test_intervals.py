"""Areas, shares and rates with limits: against scikit-learn, SciPy and slow oracles written from the definitions."""

import json
from pathlib import Path
from runpy import run_path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from sentinode.errors import ConfigError, DataError
from sentinode.metrics import (
    Interval,
    auc,
    auc_covariance,
    average_precision,
    operating_point,
    partial_auc,
    precision_recall_curve,
    proportion,
    wilson,
)
from sentinode.metrics.intervals.proportions import proportion_of_counts
from sentinode.metrics.ranking.roc_auc import area, newcombe
from sentinode.serialize import to_json

random_cases = run_path(str(Path(__file__).with_name("cases.py")))["random_cases"]


def slow_delong(labels, scores):
    """Return DeLong's area and variance from every pair of a tumour and a normal patch."""
    tumour, normal = scores[labels == 1], scores[labels == 0]
    won = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in normal] for x in tumour])
    by_tumour, by_normal = won.mean(1), won.mean(0)
    return won.mean(), by_tumour.var(ddof=1) / len(tumour) + by_normal.var(ddof=1) / len(normal)


def slow_obuchowski(labels, scores, clusters):
    """Return Obuchowski's (1997) variance, sum by sum."""
    tumour, normal = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    won = np.array([[1.0 if scores[i] > scores[j] else 0.5 * (scores[i] == scores[j]) for j in normal] for i in tumour])
    theta, m, n = won.mean(), len(tumour), len(normal)
    names = np.unique(clusters)
    x = np.array([np.sum(won.mean(1)[clusters[tumour] == each] - theta) for each in names])
    y = np.array([np.sum(won.mean(0)[clusters[normal] == each] - theta) for each in names])
    with_x = sum((clusters[tumour] == each).any() for each in names)
    with_y = sum((clusters[normal] == each).any() for each in names)
    s10 = with_x / ((with_x - 1) * m) * np.sum(x**2)
    s01 = with_y / ((with_y - 1) * n) * np.sum(y**2)
    s11 = len(names) / (len(names) - 1) * np.sum(x * y)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def test_auc_values_equal_scikit_learns_and_lie_within_their_limits():
    for place, (labels, scores, clusters) in enumerate(random_cases(400, 1, 6)):
        if len(np.unique(clusters)) < 2:
            continue
        for found in (auc(labels, scores), auc(labels, scores, clusters)):
            assert found.estimate == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores), abs=1e-12)
            assert 0 <= found.low <= found.estimate <= found.high <= 1
            assert found.high - found.low > 0.01  # Sixty patches never know an area that well.
        if place % 3:
            continue
        part = partial_auc(labels, scores)
        standardized = (1 + (part.estimate - 0.05) / 0.95) / 2
        assert standardized == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores, max_fpr=0.1), abs=1e-9)
        assert part.low <= part.estimate + 1e-12 and part.estimate <= part.high + 1e-12
        precision = average_precision(labels, scores)
        assert precision.estimate == pytest.approx(sklearn_metrics.average_precision_score(labels, scores), abs=1e-12)
        assert 0 <= precision.low <= precision.estimate <= precision.high <= 1


def test_the_variance_is_delongs():
    for labels, scores, _ in random_cases(1000, 2):
        if min(np.bincount(labels)) < 2:
            continue
        theta, variance = slow_delong(labels, scores)
        assert area(labels, scores).estimate == pytest.approx(theta, abs=1e-12)
        assert auc_covariance(labels, {"a": scores})[0, 0] == pytest.approx(variance, abs=1e-12)


def test_the_clustered_variance_is_obuchowskis():
    for labels, scores, clusters in random_cases(120, 3, 8):
        if min(len(np.unique(clusters[labels == label])) for label in (0, 1)) < 2:
            continue
        found = auc_covariance(labels, {"a": scores}, clusters)[0, 0]
        assert found == pytest.approx(slow_obuchowski(labels, scores, clusters), abs=1e-12)


def test_each_patch_its_own_cluster_is_obuchowski_as_delong():
    for labels, scores, _ in random_cases(100, 4):
        if min(np.bincount(labels)) > 1:
            alone = auc_covariance(labels, {"a": scores}, np.arange(len(labels)))
            assert alone == pytest.approx(auc_covariance(labels, {"a": scores}), abs=1e-12)


def test_influence_values_are_those_of_leaving_a_cluster_out():
    rng = np.random.default_rng(5)
    labels, clusters = rng.integers(0, 2, 6000), rng.integers(0, 100, 6000)
    scores = rng.normal(size=6000) + labels + rng.normal(size=100)[clusters]
    found = area(labels, scores, clusters)
    left_out = [area(labels[clusters != each], scores[clusters != each]).estimate for each in range(100)]
    assert found.displacements == pytest.approx(found.estimate - np.array(left_out), abs=3e-4)
    assert np.corrcoef(found.displacements, left_out)[0, 1] < -0.99


@pytest.mark.parametrize("measure", [auc, partial_auc, average_precision])
def test_only_ranks_count_and_order_does_not(measure):
    rng = np.random.default_rng(6)
    for labels, scores, _ in random_cases(100, 6):
        found = measure(labels, scores)
        order = rng.permutation(len(labels))
        for other in (
            measure(labels[order], scores[order]),
            measure(labels, np.arctan(scores)),
            measure(labels, 3 * scores - 2),
        ):
            assert [other.estimate, other.low, other.high] == pytest.approx([found.estimate, found.low, found.high])


@pytest.mark.parametrize("measure", [auc, partial_auc, average_precision])
def test_copies_of_patches_change_nothing_where_each_patch_is_a_cluster(measure):
    rng = np.random.default_rng(7)
    labels = np.r_[0, 1, 0, 1, rng.integers(0, 2, 60)]
    scores, clusters = rng.normal(size=64) + labels, np.arange(64)
    once = measure(labels, scores, clusters)
    twice = measure(np.tile(labels, 2), np.tile(scores, 2), np.tile(clusters, 2))
    assert [twice.estimate, twice.low, twice.high] == pytest.approx([once.estimate, once.low, once.high])
    alone = measure(np.tile(labels, 2), np.tile(scores, 2))
    assert alone.high - alone.low < 0.85 * (twice.high - twice.low)


def test_the_interval_of_a_perfect_auc_narrows_with_more_patches_and_clusters():
    lows = [auc([0] * n + [1] * n, range(2 * n)).low for n in (1, 2, 5, 20, 100, 1000)]
    assert lows == sorted(lows) and lows[0] < 0.5 and 0.97 < lows[-2] < 0.99
    labels = [0, 1] * 100
    few, many = (auc(labels, labels, np.arange(200) // size) for size in (50, 10))
    assert few.low < many.low < auc(labels, labels).low and few.high == many.high == 1


def test_newcombes_limits_solve_their_equation():
    low, high = newcombe(0.9, 30, 50)
    for theta in (low, high):
        inner = 1 + 39 * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        error = np.sqrt(theta * (1 - theta) * inner / (30 * 50))
        assert abs(0.9 - theta) / error == pytest.approx(stats.norm.ppf(0.975), rel=1e-6)
    assert newcombe(0.0, 30, 50) == pytest.approx(tuple(1 - end for end in newcombe(1.0, 30, 50)[::-1]), abs=1e-9)


def test_the_curve_of_precision_and_recall_is_scikit_learns():
    for labels, scores, _ in random_cases(200, 8):
        found = precision_recall_curve(labels, scores)
        precision, recall, thresholds = sklearn_metrics.precision_recall_curve(labels, scores)
        assert found.thresholds.tolist() == thresholds[::-1].tolist()
        assert found.precision == pytest.approx(precision[:-1][::-1]) and found.recall == pytest.approx(
            recall[:-1][::-1]
        )


def test_wilsons_limits_are_scipys():
    for hits, patches in [(0, 1), (1, 1), (0, 10), (3, 7), (195, 200), (1000, 1000), (17, 32768)]:
        theirs = stats.binomtest(hits, patches).proportion_ci(method="wilson")
        assert wilson(hits, patches) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        found = proportion([True] * hits + [False] * (patches - hits))
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_clusters_of_identical_outcomes_count_as_one_patch_each():
    hits = np.repeat(np.arange(40) % 4 != 0, 50)
    clustered, alone = proportion(hits, np.repeat(np.arange(40), 50)), proportion(hits[::50])
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high), abs=0.02)
    assert (clustered.patches, clustered.clusters) == (2000, 40)


def test_an_interval_over_few_slides_is_wide():
    labels, clusters = np.repeat([1, 0, 0, 0], 50), np.repeat(np.arange(4), 50)
    scores = np.random.default_rng(3).normal(size=200) + 2 * labels
    for found in (auc(labels, scores, clusters), average_precision(labels, scores, clusters)):
        assert found.high - found.low > 0.6
    rated = operating_point(labels, scores, 1.0, clusters)
    assert rated.sensitivity.high - rated.sensitivity.low > 0.8
    assert (rated.positive_likelihood_ratio.low, rated.positive_likelihood_ratio.high) == (0, np.inf)


def test_clusters_that_all_agree_count_as_one_patch_each():
    found = proportion_of_counts([50] * 10, [50] * 10, clustered=True)
    assert found.high == 1 and found.low == pytest.approx(wilson(10, 10, stats.t.ppf(0.975, 9))[0])


def test_rates_are_scikit_learns_and_lie_within_their_limits():
    for labels, scores, clusters in random_cases(120, 9, 5):
        if len(np.unique(clusters)) < 2:
            continue
        called = (scores >= 0.6).astype(int)
        found = operating_point(labels, scores, 0.6, clusters, [0.01])
        alone = operating_point(labels, scores, 0.6, None, [0.01])
        assert alone.sensitivity.estimate == pytest.approx(sklearn_metrics.recall_score(labels, called))
        assert alone.balanced_accuracy.estimate == pytest.approx(
            sklearn_metrics.balanced_accuracy_score(labels, called)
        )
        if 0 < called.sum() < len(called):
            assert alone.mcc.estimate == pytest.approx(sklearn_metrics.matthews_corrcoef(labels, called))
            assert alone.ppv.estimate == pytest.approx(sklearn_metrics.precision_score(labels, called))
        for each in (found, alone):
            json.dumps(to_json(each), allow_nan=False)
            for value in [*vars(each).values(), *(v for at in each.at_prevalence for v in (at.ppv, at.npv))]:
                if isinstance(value, Interval):
                    assert value.low <= value.estimate + 1e-9 and value.estimate <= value.high + 1e-9, (
                        value,
                        labels,
                        called,
                    )


def test_likelihood_ratios_are_simels():
    found = operating_point([1] * 100 + [0] * 200, [1] * 80 + [0] * 20 + [1] * 10 + [0] * 190, 0.5)
    half = stats.norm.ppf(0.975) * np.sqrt(1 / 80 - 1 / 100 + 1 / 10 - 1 / 200)
    ratio = found.positive_likelihood_ratio
    assert (ratio.estimate, ratio.low, ratio.high) == pytest.approx((16, 16 * np.exp(-half), 16 * np.exp(half)))


def test_predictive_values_at_a_prevalence_are_mercaldos():
    found = operating_point(
        [1] * 100 + [0] * 200, [1] * 80 + [0] * 20 + [1] * 10 + [0] * 190, 0.5, prevalences=[0.03]
    ).at_prevalence[0]
    sensitivity, specificity, p = 0.8, 0.95, 0.03
    ppv = sensitivity * p / (sensitivity * p + (1 - specificity) * (1 - p))
    spread = np.sqrt((1 - sensitivity) / sensitivity / 100 + specificity / (1 - specificity) / 200)
    middle = np.log(sensitivity * p / ((1 - specificity) * (1 - p)))
    ends = [1 / (1 + np.exp(-(middle + side * stats.norm.ppf(0.975) * spread))) for side in (-1, 1)]
    assert [found.ppv.estimate, found.ppv.low, found.ppv.high] == pytest.approx([ppv, *ends])
    npv = specificity * (1 - p) / (specificity * (1 - p) + (1 - sensitivity) * p)
    assert found.npv.estimate == pytest.approx(npv) and found.npv.low < npv < found.npv.high


def test_at_its_own_prevalence_the_predictive_value_is_that_of_the_patches():
    found = operating_point([1] * 100 + [0] * 100, [1] * 80 + [0] * 20 + [1] * 10 + [0] * 90, 0.5, prevalences=[0.5])
    assert found.at_prevalence[0].ppv.estimate == pytest.approx(found.ppv.estimate)
    assert found.at_prevalence[0].npv.estimate == pytest.approx(found.npv.estimate)


def test_without_false_alarms_the_ratio_is_infinite_and_its_lower_limit_is_not():
    ratio = operating_point([1] * 50 + [0] * 50, [1] * 40 + [0] * 60, 0.5).positive_likelihood_ratio
    assert ratio.estimate == ratio.high == np.inf and 3 < ratio.low < 40
    assert to_json(ratio)["estimate"] == "Infinity"


def test_one_class_has_the_rates_that_need_no_other():
    found = operating_point([1, 1, 1], [0.2, 0.6, 0.7], 0.5)
    assert (found.specificity, found.mcc, found.positive_likelihood_ratio) == (None, None, None)
    assert found.sensitivity.estimate == pytest.approx(2 / 3) and found.sensitivity.patches == 3


@pytest.mark.parametrize(
    "measure", [auc, partial_auc, average_precision, lambda *given: operating_point(*given[:2], 0.5, *given[2:])]
)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (([], []), "are empty"),
        (([0, 1], [0.1]), "same length"),
        (([0, 2], [0.1, 0.2]), "not 0 or 1"),
        (([0, 1], [np.nan, 0.2]), "score nan at position 0 is not finite"),
        (([0, 1], [0.1, 0.2], [1]), "clusters .* same length"),
        (([0, 1], [0.1, 0.2], [1, 1]), "all 2 patches belong to cluster '1'"),
        (([0, 1], [0.1, 0.2], ["a", None]), "clusters: the patch at position 1 has no value"),
        (([0, 1], [0.1, 0.2], [1.0, np.nan]), "clusters: the patch at position 1 has no value"),
        (([0, 1], [0.1, 0.2], ["a", pd.NA]), "clusters: the patch at position 1 has no value"),
    ],
)
def test_what_cannot_be_measured_is_refused(measure, given, words):
    with pytest.raises(DataError, match=words) as refused:
        measure(*given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("measure", [auc, partial_auc, average_precision, precision_recall_curve])
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_cannot_be_ranked(measure, label):
    with pytest.raises(DataError, match=rf"all labels are {label} \(n = 3\); .* needs both classes"):
        measure([label] * 3, [0.1, 0.2, 0.3])


@pytest.mark.parametrize("share", [0, 1, -1, 2])
def test_invalid_proportions_are_refused(share):
    with pytest.raises(ConfigError):
        operating_point([0, 1], [0.1, 0.9], 0.5, prevalences=[share])
    with pytest.raises(ConfigError):
        partial_auc([0, 1], [0.1, 0.9], min_specificity=share)
