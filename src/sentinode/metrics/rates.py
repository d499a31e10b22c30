"""Every figure at one threshold, with its interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import ConfigError
from sentinode.metrics.checks import Floats, check_labels_and_scores, cluster_codes
from sentinode.metrics.interval import Interval
from sentinode.metrics.jackknife import limits, normal_quantile
from sentinode.metrics.operating import OperatingPoint, operating_point
from sentinode.metrics.proportions import proportion_of_counts

Cells = Floats  # Rows: true positives, false positives, true negatives, false negatives.


@dataclass(frozen=True)
class PredictiveValues:
    """PPV and NPV where tumour is as rare, or as common, as stated.

    Attributes
    ----------
    prevalence
        The share of tumour.
    ppv, npv
        The share of tumour calls, and of normal calls, that would be right there.
    """

    prevalence: float
    ppv: Interval
    npv: Interval

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"prevalence": self.prevalence, "ppv": self.ppv.to_json(), "npv": self.npv.to_json()}


@dataclass(frozen=True)
class Rates:
    """What a classifier does at one threshold; None where there are no patches to say it of.

    Attributes
    ----------
    point
        Threshold and counts.
    sensitivity, specificity, ppv, npv, accuracy
        Shares of tumour patches, normal patches, tumour calls, normal calls, all patches that are called right.
        PPV and NPV are those at the prevalence of these patches.
    balanced_accuracy, f1, mcc
        The mean of sensitivity and specificity; the harmonic mean of PPV and sensitivity; Matthews' correlation.
    positive_likelihood_ratio, negative_likelihood_ratio
        How many times the odds of tumour are what they were before, after a tumour call and after a normal call.
    at_prevalence
        PPV and NPV at stated prevalences.
    """

    point: OperatingPoint
    sensitivity: Interval | None
    specificity: Interval | None
    ppv: Interval | None
    npv: Interval | None
    accuracy: Interval | None
    balanced_accuracy: Interval | None
    f1: Interval | None
    mcc: Interval | None
    positive_likelihood_ratio: Interval | None
    negative_likelihood_ratio: Interval | None
    at_prevalence: tuple[PredictiveValues, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values.

        Examples
        --------
        >>> rates([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], 0.5).to_json()["sensitivity"]["estimate"]
        1.0
        """
        found = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _OTHERS}
        return {
            "threshold": self.point.threshold,
            "counts": {name: value for name, value in self.point.to_json().items() if name in _COUNTS},
            **{name: value.to_json() if value else None for name, value in found.items()},
            "at_prevalence": [each.to_json() for each in self.at_prevalence],
        }


_OTHERS = ("point", "at_prevalence")
_COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


def rates(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float,
    clusters: ArrayLike | None = None,
    prevalences: Sequence[float] = (),
) -> Rates:
    """Measure what happens when scores of at least `threshold` are called tumour.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``; one class only leaves out what needs the other.
    scores
        Probabilities, or anything else on the threshold's scale, shape ``(n,)``.
    threshold
        Chosen on other patches; the intervals take it as given.
    clusters
        Each patch's slide or patient, shape ``(n,)``; when left out patches count as independent.
    prevalences
        Shares of tumour, above 0 and below 1, to give PPV and NPV at.

    Returns
    -------
    Rates
        Shares with Wilson's interval, see `proportion_of_counts`. Likelihood ratios by the log method (Simel et al.
        1991), PPV and NPV at a prevalence on the logit scale (Mercaldo et al. 2007), which is the same interval moved
        by the prior odds; a cell without patches counts a half there, as all do then. F1 and balanced accuracy on the
        logit scale, MCC on Fisher's, by the jackknife. With clusters the variance of all is between clusters.

    Raises
    ------
    DataError
        See `check_labels_and_scores`; clusters that do not fit.
    ConfigError
        A prevalence that is none.

    Examples
    --------
    >>> found = rates([0] * 50 + [1] * 50, [0.2] * 45 + [0.8] * 50 + [0.2] * 5, 0.5, prevalences=[0.02])
    >>> print(found.sensitivity, "|", found.positive_likelihood_ratio, "|", found.at_prevalence[0].ppv)
    0.9000 (0.7864–0.9565) | 9.0000 (3.8984–20.7778) | 0.1552 (0.0737–0.2978)
    """
    for prevalence in prevalences:
        if not 0 < prevalence < 1:
            raise ConfigError(f"a prevalence is a share of tumour above 0 and below 1; got {prevalence}")
    truth, score = check_labels_and_scores(labels, scores)
    codes = cluster_codes(clusters, len(truth))
    called = score >= threshold
    kinds = np.array([called & (truth == 1), called & (truth == 0), ~called & (truth == 0), ~called & (truth == 1)])
    if codes is None:
        totals = kinds.sum(1).astype(np.float64)
        units, times = np.eye(4), totals
    else:
        units = np.array([np.bincount(codes, kind) for kind in kinds])
        totals, times = units.sum(1), np.ones(units.shape[1])
    study = _Study(totals, units, times, codes is not None)
    shares = {name: study.share(*cells) for name, cells in _SHARES.items()}
    smooth = {name: study.smooth(measure, scale) for name, (measure, scale) in _SMOOTH.items()}
    positive, negative = study.ratio((0, 3), (1, 2)), study.ratio((3, 0), (2, 1))
    values: tuple[PredictiveValues, ...] = ()
    if positive and negative:
        values = tuple(
            PredictiveValues(each, _posterior(positive, each), _complement(_posterior(negative, each)))
            for each in prevalences
        )
    return Rates(
        operating_point(truth, score, threshold),
        **shares,
        **smooth,
        positive_likelihood_ratio=positive,
        negative_likelihood_ratio=negative,
        at_prevalence=values,
    )


@dataclass(frozen=True)
class _Study:
    totals: Floats  # Shape (4,).
    units: Cells  # Shape (4, k): the cells of each cluster, or one patch of each cell.
    times: Floats  # Shape (k,): how often each unit is there.
    clustered: bool

    def interval(self, estimate: float, found: tuple[float, float], method: str, cells: tuple[int, ...]) -> Interval:
        patches = self.units[list(cells)].sum(0)
        clusters = int(np.sum(patches > 0)) if self.clustered else None
        return Interval(estimate, *found, method, int(self.totals[list(cells)].sum()), clusters)

    def share(self, hits: tuple[int, ...], cells: tuple[int, ...]) -> Interval | None:
        if self.totals[list(cells)].sum() == 0:
            return None
        rows = self.units * self.times
        return proportion_of_counts(rows[list(hits)].sum(0), rows[list(cells)].sum(0), self.clustered)

    def smooth(self, measure: Callable[[Cells], Floats], scale: str) -> Interval | None:
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate = float(measure(self.totals))
            if not np.isfinite(estimate):
                return None
            without = measure(self.totals[:, None] - self.units)
        moved = np.where(self.times > 0, estimate - without, 0.0)
        found = limits(estimate, moved, scale, self.times)
        method = f"jackknife{' over clusters' if self.clustered else ''}, {scale} scale, Student's t"
        if found is None:
            found, method = self._at_an_end(measure, estimate), "at the Wilson limits of sensitivity and specificity"
        return self.interval(estimate, found, method, (0, 1, 2, 3))

    def _at_an_end(self, measure: Callable[[Cells], Floats], estimate: float) -> tuple[float, float]:
        """Return limits of what is 1 or 0 or cannot be without some unit: from those of sensitivity and specificity."""
        tumour, normal = self.totals[0] + self.totals[3], self.totals[1] + self.totals[2]
        found = []
        for side in (0, 1):
            ends = []
            for hits, cells, count in (((0,), (0, 3), tumour), ((2,), (1, 2), normal)):
                rate = self.share(hits, cells)
                ends.append(((rate.low, rate.high)[side] if rate else 0.0, count))
            (sensitivity, _), (specificity, _) = ends
            cells_there = [sensitivity * tumour, (1 - specificity) * normal]
            cells_there += [specificity * normal, (1 - sensitivity) * tumour]
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append(float(np.nan_to_num(measure(np.array(cells_there)), nan=estimate)))
        return min(found[0], estimate), max(found[1], estimate)

    def ratio(self, above: tuple[int, int], below: tuple[int, int]) -> Interval | None:
        """Return (a / (a + b)) / (c / (c + d)) with limits by the log method."""
        (a, b), (c, d) = self.totals[list(above)], self.totals[list(below)]
        if a + b == 0 or c + d == 0 or a + c == 0:
            return None
        estimate = float(a / (a + b) / (c / (c + d))) if c else float("inf")
        more = 0.5 if 0 in (a, c) else 0.0
        cells = self.totals + more

        def measure(each: Cells) -> Floats:
            i, j, k, m = each[above[0]], each[above[1]], each[below[0]], each[below[1]]
            return i / (i + j) / (k / (k + m))

        middle = float(measure(cells))
        if self.clustered:
            method = "log method, jackknife over clusters, Student's t"
            with np.errstate(divide="ignore", invalid="ignore"):
                moved = middle - measure(cells[:, None] - self.units)
            # Where one cluster holds all of a class, nothing is known of others.
            found = limits(middle, moved, "log") or (0.0, float("inf"))
        else:
            method = "log method (Simel)"
            (a, b), (c, d) = cells[list(above)], cells[list(below)]
            half = normal_quantile() * np.sqrt(b / (a * (a + b)) + d / (c * (c + d)))
            found = float(middle * np.exp(-half)), float(middle * np.exp(half))
        low, high = (0.0 if estimate == 0 else found[0]), (float("inf") if np.isinf(estimate) else found[1])
        return self.interval(estimate, (low, high), method, (0, 1, 2, 3))


def _f1(cells: Cells) -> Floats:
    return 2 * cells[0] / (2 * cells[0] + cells[1] + cells[3])


def _mcc(cells: Cells) -> Floats:
    tp, fp, tn, fn = cells
    return (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def _balanced_accuracy(cells: Cells) -> Floats:
    return (cells[0] / (cells[0] + cells[3]) + cells[2] / (cells[2] + cells[1])) / 2


_SMOOTH = {"balanced_accuracy": (_balanced_accuracy, "logit"), "f1": (_f1, "logit"), "mcc": (_mcc, "atanh")}
_SHARES = {
    "sensitivity": ((0,), (0, 3)),
    "specificity": ((2,), (1, 2)),
    "ppv": ((0,), (0, 1)),
    "npv": ((2,), (2, 3)),
    "accuracy": ((0, 2), (0, 1, 2, 3)),
}


def _posterior(ratio: Interval, prevalence: float) -> Interval:
    """Return the probability of tumour after a call with this likelihood ratio."""

    def after(value: float) -> float:
        odds = value * prevalence / (1 - prevalence)
        return 1.0 if np.isinf(odds) else odds / (1 + odds)

    method = "Mercaldo, logit scale" + ("" if ratio.clusters is None else ", jackknife over clusters, Student's t")
    ends = after(ratio.estimate), after(ratio.low), after(ratio.high)
    return Interval(*ends, method, ratio.patches, ratio.clusters)


def _complement(of: Interval) -> Interval:
    return Interval(1 - of.estimate, 1 - of.high, 1 - of.low, of.method, of.patches, of.clusters)
