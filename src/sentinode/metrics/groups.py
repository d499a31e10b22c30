"""Metrics by group of patches, such as center or slide."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.checks import check_groups, check_labels_and_scores
from sentinode.metrics.decisions.operating_point import OperatingPoint, operating_point
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.ranking.roc_auc import auc


@dataclass(frozen=True)
class Subgroup:
    """Metrics of one group of patches.

    Attributes
    ----------
    name : str
        The name of the group.
    normal, tumour : int
        The numbers of patches.
    clusters : int or None
        The number of slides or patients they come from; None if unknown.
    auc : Interval or None
        The area under the ROC curve; None if only one class is present.
    point : OperatingPoint
        The metrics at the threshold.
    note : str
        What could not be computed, and why; empty if nothing is missing.
    """

    name: str
    normal: int
    tumour: int
    clusters: int | None
    auc: Interval | None
    point: OperatingPoint
    note: str


def subgroups(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, threshold: float, clusters: ArrayLike | None = None
) -> list[Subgroup]:
    """Compute metrics separately for each group of patches.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    scores : array-like of shape (n,)
        Probabilities or logits.
    groups : array-like of shape (n,)
        The group of each patch, such as its center or slide.
    threshold : float
        The threshold on the scale of the scores.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. In a group with a single cluster patches are treated as independent, and its
        note says so.

    Returns
    -------
    list of Subgroup
        The groups by rising area, then those with one class by name.

    Raises
    ------
    DataError
        A patch has no group; see also `check_labels_and_scores`.

    Examples
    --------
    >>> found = subgroups([0, 1, 0, 1, 0, 0], [0.1, 0.9, 0.6, 0.4, 0.2, 0.3], list("aabbcc"), threshold=0.5)
    >>> [(each.name, each.note) for each in found]
    [('b', ''), ('a', ''), ('c', 'only normal patches: no AUC, no sensitivity')]
    """
    truth, score = check_labels_and_scores(labels, scores)
    codes, names = check_groups(groups, len(truth), "groups")
    units = None if clusters is None else check_groups(clusters, len(truth))[0]
    found = []
    for code, name in enumerate(names):
        chosen = codes == code
        own = None if units is None else units[chosen]
        count, notes = None if own is None else len(np.unique(own)), []
        if count == 1:
            own = None
            notes.append("a single cluster: intervals treat patches as independent and do not hold for other clusters")
        tumour = int(truth[chosen].sum())
        normal = int(chosen.sum()) - tumour
        if not tumour or not normal:
            kind, lost = ("tumour", "specificity") if tumour else ("normal", "sensitivity")
            notes.insert(0, f"only {kind} patches: no AUC, no {lost}")
        area = auc(truth[chosen], score[chosen], own) if tumour and normal else None
        point = operating_point(truth[chosen], score[chosen], threshold, own)
        found.append(Subgroup(name, normal, tumour, count, area, point, "; ".join(notes)))
    return sorted(found, key=lambda each: (each.auc is None, each.auc.estimate if each.auc else 0.0, each.name))
