"""How well scores rank tumour above normal: the ROC curve and its area."""

from dataclasses import dataclass

from numpy.typing import ArrayLike

from sentinode.metrics.checks import Floats, check_both_classes, check_labels_and_scores


@dataclass(frozen=True)
class RocCurve:
    """A receiver operating characteristic.

    Attributes
    ----------
    false_positive_rate, true_positive_rate
        float64, shape ``(k,)``, rising from 0 to 1.
    thresholds
        float64, shape ``(k,)``, falling: a patch is called tumour when its score is at least this. The first is
        infinite: nothing is called tumour.
    auc
        The area under it: the chance that a tumour patch scores above a normal one, ties counted half.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats
    auc: float


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Return the ROC curve with every threshold.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    scores
        Finite, shape ``(n,)``; higher speaks for 1.

    Raises
    ------
    DataError
        Lengths differ, a score is not finite, a label is not 0 or 1, or only one class is there.

    Examples
    --------
    >>> roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).auc
    0.75
    """
    from sklearn import metrics  # Slow to import, and predicting does without.

    truth, score = check_labels_and_scores(labels, scores)
    check_both_classes(truth, "a ROC curve")
    fpr, tpr, thresholds = metrics.roc_curve(truth, score, drop_intermediate=False)
    return RocCurve(fpr, tpr, thresholds, float(metrics.roc_auc_score(truth, score)))
