"""Operating points by name, and what acting on them is worth."""

import json
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

from sentinode.errors import ConfigError, DataError
from sentinode.metrics import (
    choose_threshold,
    confusion_matrix,
    decision_curve,
    parse_rule,
    subgroups,
    youden_threshold,
)
from sentinode.metrics.decisions.thresholds import Rule
from sentinode.serialize import to_json

random_cases = run_path(str(Path(__file__).with_name("cases.py")))["random_cases"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("youden", Rule("youden")),
        (" Youden ", Rule("youden")),
        ("sensitivity>=0.95", Rule("sensitivity", 0.95)),
        ("specificity ≥ 0.9", Rule("specificity", 0.9)),
        ("cost=5:1", Rule("cost", 5.0)),
        ("cost = 1:4", Rule("cost", 0.25)),
        ("0.5", Rule("number", 0.5)),
        (0.25, Rule("number", 0.25)),
        (1, Rule("number", 1.0)),
    ],
)
def test_the_name_of_an_operating_point_is_read(text, rule):
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "best", "sensitivity", "sensitivity>0.9", "sensitivity>=high", "sensitivity>=0", "specificity>=1.2"),
        *("cost=5", "cost=0:1", "cost=-1:2", "cost=a:b", "cost=inf:1", "1.5", "-0.1", "nan", "inf"),
    ],
)
def test_an_invalid_operating_point_is_refused(text):
    with pytest.raises(ConfigError, match="operating point") as refused:
        parse_rule(text)
    assert "\n" not in str(refused.value)


def test_each_rule_chooses_what_no_other_threshold_beats():
    for labels, scores, _ in random_cases(500, 1):
        ends = [*np.unique(scores), np.inf]
        points = [confusion_matrix(labels, scores, end) for end in ends]

        def at(rule, labels=labels, scores=scores):
            return confusion_matrix(labels, scores, choose_threshold(rule, labels, scores))

        found = at("sensitivity>=0.8")
        assert found.sensitivity >= 0.8
        assert found.specificity == max(each.specificity for each in points if each.sensitivity >= 0.8)
        good = [each.sensitivity for each in points[:-1] if each.specificity >= 0.8]
        if good:
            found = at("specificity>=0.8")
            assert found.specificity >= 0.8 and found.sensitivity == max(good)
        else:
            with pytest.raises(DataError, match=r"no threshold has a specificity of 0\.8"):
                at("specificity>=0.8")
        costs = [3 * each.false_negatives + each.false_positives for each in points]
        found = at("cost=3:1")
        assert 3 * found.false_negatives + found.false_positives == min(costs)
        assert choose_threshold("youden", labels, scores) == youden_threshold(labels, scores)


def test_of_equal_thresholds_the_highest_is_chosen_whatever_the_rounding():
    labels = [1, 1, 1, 0, *[1] * 6, *[0] * 6, 1, 0, 0, 0]
    scores = np.repeat([0.9, 0.6, 0.2], [4, 12, 4])  # Youden's index is 0.9 - 0.7 and 0.3 - 0.1.
    assert youden_threshold(labels, scores) == 0.75


def test_net_benefit_is_counted():
    for labels, scores, _ in random_cases(200, 2):
        probabilities = scores / (1 + scores)
        found = decision_curve(labels, probabilities, thresholds=[0.2, 0.5])
        for place, threshold in enumerate((0.2, 0.5)):
            point = confusion_matrix(labels, probabilities, threshold)
            by_hand = point.true_positives - point.false_positives * threshold / (1 - threshold)
            assert found.net_benefit[place] == pytest.approx(by_hand / len(labels), abs=1e-12)
            assert found.low[place] <= found.net_benefit[place] <= found.high[place]
    json.dumps(to_json(found), allow_nan=False)


def test_net_benefit_at_the_prevalence_of_the_patches_is_unchanged():
    labels, probabilities = np.array([0, 0, 0, 1]), np.array([0.1, 0.6, 0.2, 0.9])
    plain, stated = decision_curve(labels, probabilities), decision_curve(labels, probabilities, prevalence=0.25)
    assert plain.net_benefit == pytest.approx(stated.net_benefit) and plain.treat_all == pytest.approx(stated.treat_all)
    rare = decision_curve(labels, probabilities, prevalence=0.01)
    assert rare.prevalence == 0.01 and np.all(rare.treat_all[1:] < 0)


def test_a_class_on_one_slide_leaves_the_benefit_at_another_prevalence_unknown():
    labels, slides = np.repeat([0, 1], [300, 20]), np.append(np.arange(300) % 10, np.full(20, 10))
    found = decision_curve(labels, np.linspace(0, 1, 320), slides, prevalence=0.05, thresholds=[0.3])
    assert found.low == pytest.approx(-0.3 / 0.7)
    assert found.high == 1


@pytest.mark.parametrize(
    "given",
    [{"prevalence": 0.0}, {"prevalence": 1.5}, {"thresholds": [0.0]}, {"thresholds": [1.0]}, {"thresholds": []}],
)
def test_a_decision_curve_refuses_thresholds_outside_0_to_1(given):
    with pytest.raises(ConfigError):
        decision_curve([0, 1], [0.1, 0.9], **given)


def test_groups_come_worst_first_and_those_of_one_class_last():
    rng = np.random.default_rng(3)
    labels, groups = rng.integers(0, 2, 600), rng.integers(0, 3, 600)
    scores = rng.normal(size=600) + labels * groups
    labels[groups == 2] = 1
    found = subgroups(labels, scores, groups, 0.5, np.arange(600) % 50)
    assert [each.name for each in found] == ["0", "1", "2"]
    assert found[0].auc.estimate < found[1].auc.estimate and found[0].clusters == 50
    assert found[2].auc is None and found[2].note == "only tumour patches: no AUC, no specificity"
    json.dumps(to_json(found), allow_nan=False)


def test_a_group_of_one_slide_says_that_its_patches_count_as_independent():
    found = subgroups([0, 1, 0, 1], [0.1, 0.9, 0.6, 0.4], [0, 0, 1, 1], 0.5, ["s", "s", "t", "u"])
    notes = {each.name: each.note for each in found}
    assert "a single cluster" in notes["0"] and notes["1"] == ""


def test_a_patch_without_a_group_is_refused():
    with pytest.raises(DataError, match="groups: the patch at position 1 has no value"):
        subgroups([0, 1], [0.1, 0.9], ["a", None], 0.5)
