"""ROC curve, area and operating points, against scikit-learn and against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from sentinode.errors import DataError
from sentinode.metrics import confusion_matrix, operating_point, roc_curve, youden_threshold

MANY = settings(max_examples=100, deadline=None, derandomize=True)
GRID = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000000000000001, 0.75, 0.9, 1.0])
PROBABILITY = GRID | st.floats(0, 1)


@st.composite
def cases(draw, scores=PROBABILITY, at_least=2):
    """Labels of both classes, and as many scores; many of them tie."""
    count = draw(st.integers(at_least, 40))
    labels = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    labels[0], labels[1] = 0, 1
    order = draw(st.permutations(range(count)))
    given_scores = draw(st.lists(scores, min_size=count, max_size=count))
    return np.array(labels)[list(order)], np.array(given_scores)


def youden(labels, probabilities, threshold: float) -> float:
    counts = confusion_matrix(labels, probabilities, threshold)
    return counts.sensitivity + counts.specificity - 1


@MANY
@given(cases(scores=GRID | st.floats(-1e6, 1e6)))
def test_the_auc_is_the_probability_that_tumour_scores_higher(case):
    labels, scores = case
    tumour, normal = scores[labels == 1][:, None], scores[labels == 0][None, :]
    by_hand = np.mean((tumour > normal) + 0.5 * (tumour == normal))
    assert roc_curve(labels, scores).auc == pytest.approx(by_hand, abs=1e-12)
    assert roc_curve(labels, scores).auc == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores), abs=1e-12)


@MANY
@given(cases(scores=GRID | st.floats(-1e6, 1e6)))
def test_the_curve_is_scikit_learns_and_each_point_is_what_its_threshold_gives(case):
    labels, scores = case
    curve = roc_curve(labels, scores)
    fpr, tpr, thresholds = sklearn_metrics.roc_curve(labels, scores, drop_intermediate=False)
    assert np.array_equal(curve.false_positive_rate, fpr)
    assert np.array_equal(curve.true_positive_rate, tpr)
    assert np.array_equal(curve.thresholds, thresholds)
    for x, y, threshold in zip(fpr, tpr, curve.thresholds, strict=True):
        positive = scores >= threshold
        assert x == pytest.approx(np.mean(positive[labels == 0]))
        assert y == pytest.approx(np.mean(positive[labels == 1]))
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert sklearn_metrics.auc(fpr, tpr) == pytest.approx(curve.auc)


@MANY
@given(cases(), PROBABILITY)
def test_an_operating_point_is_scikit_learns(case, threshold):
    labels, probabilities = case
    point = operating_point(labels, probabilities, threshold)
    predicted, counts = (probabilities >= threshold).astype(int), point.counts
    cells = [counts.true_negatives, counts.false_positives, counts.false_negatives, counts.true_positives]
    assert cells == sklearn_metrics.confusion_matrix(labels, predicted, labels=[0, 1]).ravel().tolist()
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted),
        "sensitivity": sklearn_metrics.recall_score(labels, predicted),
        "specificity": sklearn_metrics.recall_score(labels, predicted, pos_label=0),
        "f1": sklearn_metrics.f1_score(labels, predicted),
    }
    for name, value in expected.items():
        assert getattr(point, name).estimate == pytest.approx(value)
        assert getattr(counts, name, value) == pytest.approx(value)
    if predicted.any():
        assert point.ppv.estimate == pytest.approx(sklearn_metrics.precision_score(labels, predicted))
    else:
        assert point.ppv is None


@MANY
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_patches_does_not_matter(case, random):
    labels, scores = case
    order = list(range(len(labels)))
    random.shuffle(order)
    assert roc_curve(labels[order], scores[order]).auc == roc_curve(labels, scores).auc
    assert youden_threshold(labels[order], scores[order]) == youden_threshold(labels, scores)
    assert operating_point(labels[order], scores[order], 0.5) == operating_point(labels, scores, 0.5)


@MANY
@given(cases(scores=st.integers(-1000, 1000)))
def test_the_roc_curve_depends_on_the_ranking_alone(case):
    labels, scores = case
    curve = roc_curve(labels, scores)
    for other in (2.0 * scores - 7, scores**3, np.arctan(scores), np.unique(scores, return_inverse=True)[1]):
        changed = roc_curve(labels, other)
        assert changed.auc == curve.auc
        assert np.array_equal(changed.true_positive_rate, curve.true_positive_rate)


@MANY
@given(cases(scores=st.integers(-1000, 1000)))
def test_negating_the_scores_gives_1_minus_the_auc(case):
    labels, scores = case
    assert roc_curve(labels, -scores).auc == pytest.approx(1 - roc_curve(labels, scores).auc)
    assert roc_curve(1 - labels, scores).auc == pytest.approx(1 - roc_curve(labels, scores).auc)


@MANY
@given(cases())
def test_no_threshold_has_a_larger_youden_index(case):
    labels, probabilities = case
    chosen = youden_threshold(labels, probabilities)
    assert 0 <= chosen <= 1
    best = max(youden(labels, probabilities, threshold) for threshold in [0, *probabilities])
    assert youden(labels, probabilities, chosen) >= best - 1e-12


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        ([0, 1], [0.5, np.nextafter(0.5, 1)]),
        ([0, 1], [0.0, 5e-324]),
        ([0, 1], [np.nextafter(1, 0), 1.0]),
        ([0, 1], [1.0, 0.5]),
        ([0, 1], [1.0, 1.0]),
        ([0, 1, 1], [0.0, 1.0, 1.0]),
    ],
)
def test_youdens_threshold_is_exact_for_adjacent_probabilities(labels, probabilities):
    chosen = youden_threshold(labels, probabilities)
    best = max(youden(labels, probabilities, threshold) for threshold in [0, *probabilities])
    assert youden(labels, probabilities, chosen) == best


def test_youdens_threshold_is_half_way_to_the_next_lower_probability():
    assert youden_threshold([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.8]) == pytest.approx(0.5)
    assert youden_threshold([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.8]) == pytest.approx(0.7)


def test_a_rate_without_patches_is_none():
    counts = confusion_matrix([0, 0], [0.1, 0.2], 0.5)
    assert (counts.sensitivity, counts.specificity) == (None, 1.0)
    point = operating_point([0, 0], [0.1, 0.2], 0.5)
    assert (point.sensitivity, point.ppv, point.f1) == (None, None, None)


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([], [], "are empty"),
        ([0, 1], [0.1], "same length"),
        ([[0, 1]], [[0.1, 0.2]], "same length"),
        ([0, 2, 1], [0.1, 0.2, 0.3], "label 2 at position 1"),
        ([0, np.nan], [0.1, 0.2], "position 1 is not 0 or 1"),
        ([0, 1, 1], [0.1, np.nan, 0.3], "score nan at position 1 is not finite"),
        ([0, 1], [0.1, np.inf], "score inf at position 1 is not finite"),
    ],
)
@pytest.mark.parametrize("measure", [roc_curve, youden_threshold, lambda a, b: operating_point(a, b, 0.5)])
def test_what_cannot_be_measured_is_refused(measure, labels, scores, words):
    with pytest.raises(DataError, match=words) as refused:
        measure(labels, scores)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_curve(label):
    for measure in (roc_curve, youden_threshold):
        with pytest.raises(DataError, match=rf"all labels are {label} \(n = 3\); a ROC curve needs both classes"):
            measure([label] * 3, [0.1, 0.2, 0.3])
