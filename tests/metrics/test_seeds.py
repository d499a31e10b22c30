"""Several seeds of one model in the place of one: their mean area, mean accuracy, mean agreement."""

from dataclasses import replace

import numpy as np
import pytest

from sentinode.errors import DataError
from sentinode.metrics import auc, bootstrap_aucs, compare_aucs, kappa, mcnemar, proportion
from sentinode.metrics.ranking.roc_auc import mean_area_over_seeds

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1], 40)
SEEDS = LABELS * 1.2 + RNG.normal(size=(3, 80))
OTHER = LABELS * 0.6 + RNG.normal(size=80)
SLIDES = np.tile(np.arange(10), 8)


@pytest.mark.parametrize("clusters", [None, SLIDES])
def test_one_seed_is_the_model_itself(clusters):
    alone, listed = (compare_aucs(LABELS, {"a": first, "b": OTHER}, clusters) for first in (SEEDS[0], SEEDS[:1]))
    assert alone == listed
    drawn = [bootstrap_aucs(LABELS, {"a": first}, clusters, draws=50) for first in (SEEDS[0], SEEDS[:1])]
    assert np.array_equal(drawn[0].areas, drawn[1].areas)
    calls, other = SEEDS > 0.6, OTHER > 0.3
    assert mcnemar(LABELS, calls[0], other, clusters) == mcnemar(LABELS, calls[:1], [other], clusters)
    assert kappa(calls[0], other, clusters) == kappa(calls[:1], [other], clusters)
    assert proportion(calls[0], clusters) == proportion(calls[:1], clusters)


@pytest.mark.parametrize("clusters", [None, SLIDES])
def test_the_same_seed_twice_is_that_seed(clusters):
    twice = SEEDS[[0, 0]]
    assert mean_area_over_seeds(LABELS, twice, clusters).interval() == auc(LABELS, SEEDS[0], clusters)
    one, two = (mcnemar(LABELS, calls, OTHER > 0.3, SLIDES) for calls in (SEEDS[0] > 0.6, twice > 0.6))
    assert two.difference.low == pytest.approx(one.difference.low)
    assert two.p_value == pytest.approx(one.p_value)
    assert kappa(twice > 0.6, OTHER > 0.3).high == pytest.approx(kappa(SEEDS[0] > 0.6, OTHER > 0.3).high)


def test_auc_accuracy_and_agreement_are_means_over_seeds():
    areas = [auc(LABELS, row).estimate for row in SEEDS]
    found = compare_aucs(LABELS, {"a": SEEDS, "b": OTHER})
    assert found.areas["a"].estimate == pytest.approx(np.mean(areas))
    assert found.pairs[0].difference.estimate == pytest.approx(np.mean(areas) - auc(LABELS, OTHER).estimate)
    drawn = bootstrap_aucs(LABELS, {"a": SEEDS, **dict(zip("xyz", SEEDS, strict=True))}, draws=20)
    assert drawn.areas[:, 0] == pytest.approx(drawn.areas[:, 1:].mean(1))
    calls, other = SEEDS > 0.6, OTHER > 0.3
    each = [mcnemar(LABELS, row, other) for row in calls]
    together = mcnemar(LABELS, calls, other)
    assert together.difference.estimate == pytest.approx(np.mean([one.difference.estimate for one in each]))
    assert together.first_only == pytest.approx(np.mean([one.first_only for one in each]))
    assert (together.p_exact, together.p_mid) == (None, None)
    assert kappa(calls, other).estimate == pytest.approx(np.mean([kappa(row, other).estimate for row in calls]))


def test_the_interval_of_the_mean_is_that_of_a_bootstrap_with_the_seeds_held():
    found = compare_aucs(LABELS, {"a": SEEDS, "b": OTHER}).pairs[0].difference
    drawn = bootstrap_aucs(LABELS, {"a": SEEDS, "b": OTHER}).difference("a", "b")
    assert drawn.high - drawn.low == pytest.approx(found.high - found.low, rel=0.15)


def test_the_p_value_of_a_bootstrap_follows_the_sign_of_its_draws():
    drawn = bootstrap_aucs(LABELS, {"a": SEEDS, "b": OTHER, "c": SEEDS}, draws=500)
    difference = drawn.areas[:, 0] - drawn.areas[:, 1]
    assert drawn.p_value("a", "b") == 2 * (1 + min(np.sum(difference <= 0), np.sum(difference >= 0))) / 501
    assert drawn.p_value("a", "b") == drawn.p_value("b", "a")
    assert drawn.p_value("a", "c") == 1.0


def test_no_seed_is_refused():
    for measure in (
        lambda rows: compare_aucs(LABELS, {"a": rows, "b": OTHER}),
        lambda rows: mcnemar(LABELS, rows, OTHER > 0.3),
        proportion,
    ):
        with pytest.raises(DataError):
            measure(np.empty((0, 80)))


def test_bootstrap_draws_equal_to_zero_up_to_rounding_count_on_both_sides():
    rng = np.random.default_rng(0)
    other = SEEDS[0] * 3 + 1  # The same ranking with other rounding.
    drawn = bootstrap_aucs(LABELS, {"a": SEEDS[0], "b": other, "c": rng.normal(size=80)}, SLIDES, draws=100)
    assert drawn.p_value("a", "b") == 1.0
    shifted = replace(drawn, areas=drawn.areas + np.array([0, 1e-16, 0]))
    assert shifted.p_value("a", "b") == 1.0
