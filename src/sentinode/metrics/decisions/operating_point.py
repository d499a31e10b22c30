"""All metrics at one threshold, with confidence intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import ConfigError
from sentinode.metrics.checks import Floats, check_labels_and_scores, check_share, cluster_codes
from sentinode.metrics.decisions.confusion import ConfusionMatrix, confusion_matrix
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.intervals.jackknife import limits, normal_quantile
from sentinode.metrics.intervals.proportions import proportion_of_counts

Cells = Floats  # Rows: true positives, false positives, true negatives, false negatives.


@dataclass(frozen=True)
class PredictiveValues:
    """PPV and NPV at a given prevalence.

    Attributes
    ----------
    prevalence : float
        The share of tumour.
    ppv, npv : Interval
        The positive and negative predictive value there.
    """

    prevalence: float
    ppv: Interval
    npv: Interval


@dataclass(frozen=True)
class OperatingPoint:
    """Metrics at one threshold. A metric is None if its denominator has no patches.

    Attributes
    ----------
    threshold : float
        Patches with at least this score are predicted tumour.
    counts : ConfusionMatrix
        True and false positives and negatives.
    sensitivity, specificity, accuracy : Interval or None
        The shares of tumour patches, normal patches and all patches that are predicted correctly.
    ppv, npv : Interval or None
        The positive and negative predictive value at the prevalence of the patches.
    balanced_accuracy, f1, mcc : Interval or None
        The mean of sensitivity and specificity, the harmonic mean of PPV and sensitivity, Matthews' correlation
        coefficient.
    positive_likelihood_ratio, negative_likelihood_ratio : Interval or None
        The factors by which a positive and a negative prediction change the odds of tumour.
    at_prevalence : tuple of PredictiveValues
        PPV and NPV at given prevalences.
    """

    threshold: float
    counts: ConfusionMatrix
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


def operating_point(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float,
    clusters: ArrayLike | None = None,
    prevalences: Sequence[float] = (),
) -> OperatingPoint:
    """Compute all metrics at a threshold.

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1. With one class, metrics that need the other are None.
    scores : array-like of shape (n,)
        Probabilities, or other scores on the scale of the threshold.
    threshold : float
        Patches with at least this score are predicted tumour. Choose it on other patches; the intervals treat it as
        given.
    clusters : array-like of shape (n,), optional
        The slide or patient of each patch. Without it patches are treated as independent.
    prevalences : sequence of float, default ()
        Shares of tumour, between 0 and 1, at which to compute PPV and NPV.

    Returns
    -------
    OperatingPoint
        Shares have Wilson's interval (see `proportion_of_counts`). Likelihood ratios use the log method [1]_ and
        predictive values at a prevalence the logit method [2]_, which is the same interval shifted by the prior odds;
        half a patch is added to every cell if one is empty. F1 and balanced accuracy use the jackknife on the logit
        scale, MCC on Fisher's z scale. With clusters all variances are between clusters.

    Raises
    ------
    ConfigError
        A prevalence is not between 0 and 1, or the threshold is not a number.
    DataError
        See `check_labels_and_scores`; or there is only one cluster.

    References
    ----------
    .. [1] Simel, Samsa and Matchar (1991), Likelihood ratios with confidence: sample size estimation for diagnostic
       test studies, Journal of Clinical Epidemiology 44.
    .. [2] Mercaldo, Lau and Zhou (2007), Confidence intervals for predictive values with an emphasis to case-control
       studies, Statistics in Medicine 26.

    Examples
    --------
    >>> point = operating_point([0] * 50 + [1] * 50, [0.2] * 45 + [0.8] * 50 + [0.2] * 5, 0.5, prevalences=[0.02])
    >>> print(point.sensitivity)
    0.9000 (0.7864–0.9565)
    >>> print(point.positive_likelihood_ratio)
    9.0000 (3.8984–20.7778)
    >>> print(point.at_prevalence[0].ppv)
    0.1552 (0.0737–0.2978)
    """
    for prevalence in prevalences:
        check_share(prevalence, "prevalence")
    if np.isnan(threshold):
        raise ConfigError("the threshold must be a number; got nan")
    truth, score = check_labels_and_scores(labels, scores)
    codes = cluster_codes(clusters, len(truth))
    positive = score >= threshold
    kinds = np.array(
        [positive & (truth == 1), positive & (truth == 0), ~positive & (truth == 0), ~positive & (truth == 1)]
    )
    if codes is None:
        totals = kinds.sum(1).astype(np.float64)
        units, times = np.eye(4), totals
    else:
        units = np.array([np.bincount(codes, kind) for kind in kinds])
        totals, times = units.sum(1), np.ones(units.shape[1])
    study = _Study(totals, units, times, codes is not None)
    shares = {name: study.share(*cells) for name, cells in _SHARES.items()}
    smooth = {name: study.smooth(measure, scale) for name, (measure, scale) in _SMOOTH.items()}
    rising, falling = study.ratio((0, 3), (1, 2)), study.ratio((3, 0), (2, 1))
    values: tuple[PredictiveValues, ...] = ()
    if rising and falling:
        values = tuple(
            PredictiveValues(each, _posterior(rising, each), _complement(_posterior(falling, each)))
            for each in prevalences
        )
    return OperatingPoint(
        threshold=float(threshold),
        counts=confusion_matrix(truth, score, threshold),
        **shares,
        **smooth,
        positive_likelihood_ratio=rising,
        negative_likelihood_ratio=falling,
        at_prevalence=values,
    )


@dataclass(frozen=True)
class _Study:
    totals: Floats  # Shape (4,).
    units: Cells  # Shape (4, k): the cells of each cluster, or one patch in each cell.
    times: Floats  # Shape (k,): how often each unit occurs.
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
        """Return limits of a statistic without a jackknife variance, from those of sensitivity and specificity."""
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
            # If one cluster holds a whole class, there is no limit.
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
    """Return the probability of tumour after a prediction with this likelihood ratio."""

    def after(value: float) -> float:
        odds = value * prevalence / (1 - prevalence)
        return 1.0 if np.isinf(odds) else odds / (1 + odds)

    method = "Mercaldo, logit scale" + ("" if ratio.clusters is None else ", jackknife over clusters, Student's t")
    ends = after(ratio.estimate), after(ratio.low), after(ratio.high)
    return Interval(*ends, method, ratio.patches, ratio.clusters)


def _complement(of: Interval) -> Interval:
    return Interval(1 - of.estimate, 1 - of.high, 1 - of.low, of.method, of.patches, of.clusters)
