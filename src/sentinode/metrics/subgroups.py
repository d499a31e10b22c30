"""The same figures for every centre, slide or other group of patches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.auc import auc
from sentinode.metrics.checks import check_groups, check_labels_and_scores
from sentinode.metrics.interval import Interval
from sentinode.metrics.rates import Rates, rates


@dataclass(frozen=True)
class Subgroup:
    """Patches that have something in common.

    Attributes
    ----------
    name
        What they have in common.
    normal, tumour
        How many there are.
    clusters
        How many slides or patients they come from; None where that is not known.
    auc
        The area under their ROC curve; None where they are of one class.
    rates
        What they are called at the threshold.
    note
        In words what cannot be said of them and why; empty where all can.
    """

    name: str
    normal: int
    tumour: int
    clusters: int | None
    auc: Interval | None
    rates: Rates
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**self.__dict__, "auc": self.auc.to_json() if self.auc else None, "rates": self.rates.to_json()}


def subgroups(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, threshold: float, clusters: ArrayLike | None = None
) -> list[Subgroup]:
    """Measure each group by itself.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    scores
        Probabilities or log-odds, shape ``(n,)``.
    groups
        Each patch's centre, slide or other group, shape ``(n,)``.
    threshold
        On the scores' scale.
    clusters
        Each patch's slide or patient, shape ``(n,)``. A group of one cluster treats patches as independent, and says
        so.

    Returns
    -------
    list
        The group with the lowest area first; then those of one class, by name.

    Raises
    ------
    DataError
        A patch without a group; see `check_labels_and_scores`.

    Examples
    --------
    >>> found = subgroups([0, 1, 0, 1, 0, 0], [0.1, 0.9, 0.6, 0.4, 0.2, 0.3], list("aabbcc"), threshold=0.5)
    >>> [(each.name, each.note) for each in found]
    [('b', ''), ('a', ''), ('c', 'normal patches only: no AUC, no sensitivity')]
    """
    truth, score = check_labels_and_scores(labels, scores)
    codes, names = check_groups(groups, len(truth), "groups")
    units = None if clusters is None else check_groups(clusters, len(truth))[0]
    found = []
    for code, name in enumerate(names):
        chosen = codes == code
        own = None if units is None else units[chosen]
        notes = []
        if own is not None and len(np.unique(own)) < 2:
            own = None
            notes.append("of one cluster: intervals treat patches as independent, and say nothing of other clusters")
        tumour = int(truth[chosen].sum())
        normal = int(chosen.sum()) - tumour
        if not tumour or not normal:
            kind, lost = ("tumour", "specificity") if tumour else ("normal", "sensitivity")
            notes.insert(0, f"{kind} patches only: no AUC, no {lost}")
        area = auc(truth[chosen], score[chosen], own) if tumour and normal else None
        measured = rates(truth[chosen], score[chosen], threshold, own)
        count = None if units is None else len(np.unique(units[chosen]))
        found.append(Subgroup(name, normal, tumour, count, area, measured, "; ".join(notes)))
    return sorted(found, key=lambda each: (each.auc is None, each.auc.estimate if each.auc else 0.0, each.name))
