"""Two and more models on the same patches: DeLong's test, the bootstrap, Holm, McNemar, kappa."""

import json
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from sentinode.errors import ConfigError, DataError
from sentinode.metrics import auc, auc_covariance, bootstrap_aucs, compare_aucs, holm, kappa, mcnemar
from sentinode.serialize import to_json

random_cases = run_path(str(Path(__file__).with_name("cases.py")))["random_cases"]


def slow_covariance(labels, first, second):
    """Return DeLong's covariance of two areas from every pair of patches."""
    parts = []
    for scores in (first, second):
        tumour, normal = scores[labels == 1][:, None], scores[labels == 0][None]
        won = (tumour > normal) + 0.5 * (tumour == normal)
        parts.append((won.mean(1), won.mean(0)))
    return sum(np.cov(parts[0][k], parts[1][k])[0, 1] / len(parts[0][k]) for k in (0, 1))


def two_models(seed, patches=400, gap=0.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, patches)
    shared = rng.normal(size=patches)
    return labels, {
        "a": shared + rng.normal(size=patches) + (1 + gap) * labels,
        "b": shared + rng.normal(size=patches) + labels,
    }


def test_the_covariance_is_delongs():
    rng = np.random.default_rng(1)
    for labels, scores, _ in random_cases(300, 1):
        if min(np.bincount(labels)) < 2:
            continue
        other = np.round(scores + rng.normal(size=len(labels)), 1)
        found = auc_covariance(labels, {"a": scores, "b": other})
        assert found[0, 1] == pytest.approx(slow_covariance(labels, scores, other), abs=1e-12)


@pytest.mark.parametrize(("label", "name"), [(0, "normal"), (1, "tumour")])
def test_a_covariance_needs_two_clusters_of_each_class(label, name):
    labels = np.array([0, 0, 1, 1])
    clusters = np.where(labels == label, "one", ["a", "b", "c", "d"])
    with pytest.raises(DataError, match=f"all {name} patches are in one cluster"):
        auc_covariance(labels, {"a": [0.1, 0.3, 0.2, 0.4]}, clusters)


def test_the_test_of_a_pair_is_delongs():
    labels, scores = two_models(2, gap=0.3)
    covariance = auc_covariance(labels, scores)
    pair = compare_aucs(labels, scores).pairs[0]
    z = pair.difference.estimate / np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert pair.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.1)  # By Student's t, so a little larger.
    assert pair.p_value > 2 * stats.norm.sf(abs(z))
    assert (pair.difference.low > 0 or pair.difference.high < 0) == (pair.p_value < 0.05)


def test_with_two_models_all_at_once_is_the_pair():
    labels, scores = two_models(3, patches=2000)
    found = compare_aucs(labels, scores)
    assert found.p_value == pytest.approx(found.pairs[0].p_value, abs=0.01)


@pytest.mark.parametrize("clusters", [None, 30])
def test_equal_models_differ_significantly_in_five_percent_of_samples(clusters):
    rng = np.random.default_rng(4)
    below = []
    for _ in range(400):
        groups = None if clusters is None else np.repeat(np.arange(clusters), 8)
        labels = rng.integers(0, 2, 240)
        shared = 0 if clusters is None else rng.normal(size=(2, clusters))[:, groups]
        scores = rng.normal(size=(2, 240)) + shared + labels
        below.append(compare_aucs(labels, {"a": scores[0], "b": scores[1]}, groups).p_value < 0.05)
    assert 0.02 <= np.mean(below) <= 0.085


def test_a_model_does_not_differ_from_itself():
    labels, scores = two_models(5)
    pair = compare_aucs(labels, {"a": scores["a"], "again": 2 * scores["a"]}).pairs[0]
    assert (pair.difference.estimate, pair.difference.low, pair.difference.high, pair.p_value) == (0, 0, 0, 1)


def test_areas_that_differ_without_any_variance_have_limits_around_their_difference():
    labels = np.repeat([0, 1], 1000)
    scores = {"a": np.repeat([1, 0, 1], [250, 750, 1000]), "b": np.repeat([1, 0, 0], [250, 750, 1000])}
    found = compare_aucs(labels, scores)
    [pair] = found.pairs
    assert pair.difference.estimate == 0.5 and 0 < pair.difference.low < 0.5 < pair.difference.high < 1
    assert pair.p_value == found.p_value == 0.05


def test_two_perfect_models_may_differ_on_unseen_patches():
    labels = np.array([0, 1] * 10)
    pair = compare_aucs(labels, {"a": labels, "b": labels * 2.0}).pairs[0]
    assert pair.p_value == 1 and pair.difference.low < -0.05 and pair.difference.high > 0.05


def test_a_comparison_is_json():
    labels, scores = two_models(6)
    found = compare_aucs(labels, {**scores, "c": scores["a"] + scores["b"]})
    written = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert [(pair["first"], pair["second"]) for pair in written["pairs"]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.p_holm for pair in found.pairs] == holm([pair.p_value for pair in found.pairs])


def test_one_model_cannot_be_compared():
    with pytest.raises(ConfigError, match="at least two models; got 1"):
        compare_aucs([0, 1], {"a": [0.1, 0.2]})


def test_holm_multiplies_the_smallest_p_value_by_the_number_of_tests_and_the_largest_by_1():
    assert holm([0.2, 0.01, 0.04]) == pytest.approx([0.2, 0.03, 0.08])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize("clustered", [False, True])
def test_the_bootstrap_agrees_with_the_formulas_on_large_samples(clustered):
    labels, scores = two_models(8, patches=3000, gap=0.2)
    groups = np.arange(3000) % 300 if clustered else None
    drawn = bootstrap_aucs(labels, scores, groups)
    by_formula = compare_aucs(labels, scores, groups)
    for ours, theirs in (
        (drawn.interval("a"), by_formula.areas["a"]),
        (drawn.difference("a", "b"), by_formula.pairs[0].difference),
    ):
        assert ours.estimate == theirs.estimate and ours.clusters == theirs.clusters
        assert ours.high - ours.low == pytest.approx(theirs.high - theirs.low, rel=0.12)


def test_the_same_seed_draws_the_same():
    labels, scores = two_models(9, patches=100)
    first, again, other = (bootstrap_aucs(labels, scores, seed=seed, draws=50).areas for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_draws_of_one_class_are_left_out():
    drawn = bootstrap_aucs([0, 1, 1], {"a": [0.1, 0.2, 0.3]}, draws=200)
    assert 0 < len(drawn.areas) < 200


def test_mcnemar_is_the_binomial_test():
    rng = np.random.default_rng(10)
    for _ in range(1000):
        patches = int(rng.integers(1, 40))
        labels, first, second = rng.integers(0, 2, (3, patches))
        found = mcnemar(labels, first, second)
        alone, other = found.first_only, found.second_only
        assert found.p_exact == pytest.approx(stats.binomtest(alone, alone + other).pvalue if alone + other else 1.0)
        assert found.p_mid <= found.p_exact
        assert found.difference.estimate == pytest.approx(np.mean(first == labels) - np.mean(second == labels))
        assert found.difference.low <= found.difference.estimate <= found.difference.high
    json.dumps(to_json(found), allow_nan=False)


def test_clustering_raises_the_p_value_of_mcnemars_test():
    labels = np.ones(400, int)
    first, second, slides = labels, np.repeat(np.arange(20) > 5, 20).astype(int), np.repeat(np.arange(20), 20)
    assert mcnemar(labels, first, second).p_value < 1e-20 < 0.001 < mcnemar(labels, first, second, slides).p_value


def test_clusters_with_the_same_difference_count_as_one_patch_each():
    first, second, slides = np.ones(100), np.tile([0] * 10 + [1] * 40, 2), np.repeat(["a", "b"], 50)
    found = mcnemar(np.ones(100), first, second, slides)
    assert found.difference.clusters == 2
    assert found.p_value == 1
    assert found.difference.low < 0 < found.difference.estimate < found.difference.high
    equal = mcnemar(np.ones(100), first, first, slides).difference
    assert equal.low < -0.5 and equal.high > 0.5


def test_kappa_is_scikit_learns():
    rng = np.random.default_rng(11)
    for _ in range(1000):
        first, second = rng.integers(0, 2, (2, int(rng.integers(3, 40))))
        first[0], second[1] = 0, 1
        found = kappa(first, second)
        assert found.estimate == pytest.approx(sklearn_metrics.cohen_kappa_score(first, second), abs=1e-12)
        assert found.low <= found.estimate <= found.high


def test_kappas_variance_is_that_of_fleiss():
    table = np.array([[60, 15], [10, 115]])
    first, second = np.repeat([0, 0, 1, 1], table.ravel()), np.repeat([0, 1, 0, 1], table.ravel())
    p = table / table.sum()
    rows, columns = p.sum(1), p.sum(0)
    po, pe = np.trace(p), rows @ columns
    k = (po - pe) / (1 - pe)
    a = sum(p[i, i] * (1 - (rows[i] + columns[i]) * (1 - k)) ** 2 for i in (0, 1))
    b = (1 - k) ** 2 * sum(p[i, 1 - i] * (columns[i] + rows[1 - i]) ** 2 for i in (0, 1))
    variance = (a + b - (k - pe * (1 - k)) ** 2) / ((1 - pe) ** 2 * table.sum())
    half = 1.96 * np.sqrt(variance) / (1 - k * k)
    found = kappa(first, second)
    assert (np.arctanh(found.high) - np.arctanh(found.low)) / 2 == pytest.approx(half, rel=0.02)


def test_invalid_predictions_are_refused():
    with pytest.raises(DataError, match=r"prediction 0.5 at position 1"):
        kappa([0, 1], [0, 0.5])
    with pytest.raises(DataError, match="predict 1 for all 3 patches"):
        kappa([1, 1, 1], [1, 1, 1])


def test_the_auc_in_a_comparison_is_that_of_the_model():
    labels, scores = two_models(12)
    assert compare_aucs(labels, scores).areas["a"] == auc(labels, scores["a"])
