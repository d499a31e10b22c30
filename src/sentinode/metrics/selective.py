"""What is gained by leaving the least sure patches to a person."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, logit

from sentinode.errors import ConfigError
from sentinode.metrics.checks import Floats, Integers, check_probabilities, cluster_codes
from sentinode.metrics.jackknife import displacements

_LOOKS = 20  # Coverages that are tried: 5 %, 10 %, … 100 %.
_MISS = 0.05
_SUREST = 1e-12


@dataclass(frozen=True)
class RiskCoverage:
    """The share of wrong calls among the surest patches.

    Attributes
    ----------
    coverage
        float64, shape ``(k,)``, rising to 1: the share of patches that are called, the surest first; patches that are
        as sure as each other come together.
    risk
        float64, shape ``(k,)``: the share of wrong calls among them.
    aurc
        The mean risk over all coverages.
    aurc_best
        The same if wrong calls were the least sure.
    """

    coverage: Floats
    risk: Floats
    aurc: float
    aurc_best: float


def risk_coverage(labels: ArrayLike, probabilities: ArrayLike, threshold: float = 0.5) -> RiskCoverage:
    """Return the risk–coverage curve (El-Yaniv and Wiener 2010) and the area under it (Geifman et al. 2019).

    A patch is the surer the farther its log-odds are from those of the threshold.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    probabilities
        0 to 1, shape ``(n,)``.
    threshold
        A patch is called tumour from it on.

    Raises
    ------
    DataError
        See `check_probabilities`.

    Examples
    --------
    >>> found = risk_coverage([0, 0, 1, 1], [0.1, 0.6, 0.8, 0.99])
    >>> found.risk.tolist(), round(found.aurc, 4)
    ([0.0, 0.0, 0.0, 0.25], 0.0625)
    """
    _, wrong, confidence = _calls(labels, probabilities, threshold)
    ends, errors = _surest_first(wrong, confidence)
    patches, total = len(wrong), int(errors[-1])
    starts = np.append(0, ends[:-1])
    before = np.append(0.0, errors[:-1])
    # Within a tie errors are spread evenly, which is their mean over all orders.
    place = np.arange(1, patches + 1)
    block = np.searchsorted(ends, place)
    errors_up_to = before[block] + (place - starts[block]) * ((errors - before) / (ends - starts))[block]
    best = np.clip(place - (patches - total), 0, None) / place
    return RiskCoverage(ends / patches, errors / ends, float(np.mean(errors_up_to / place)), float(best.mean()))


@dataclass(frozen=True)
class CoverageAtRisk:
    """How many patches can be called with at most a stated share of wrong calls.

    Attributes
    ----------
    risk
        The share that was asked for.
    coverage
        The share of patches that may be called; None where it is not attainable: there is no share that this many
        patches show to be good enough.
    sureness
        A patch is called when its log-odds are at least this far from the threshold's; None as above.
    patches, wrong
        How many are called, and how many of them wrongly.
    upper_limit
        What the risk stays below, with 95 % confidence over all coverages that were tried.
    clusters
        How many clusters the patches come from; None where patches count as independent.
    """

    risk: float
    coverage: float | None
    confidence: float | None
    patches: int
    wrong: int
    upper_limit: float | None
    clusters: int | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**self.__dict__, "patches_independent": self.clusters is None}

    def __str__(self) -> str:
        if self.coverage is None:
            return f"risk of {self.risk:.1%}: not attainable"
        return f"risk of {self.risk:.1%}: {self.coverage:.1%} of patches ({self.wrong} of {self.patches} wrong)"


def coverage_at_risk(
    labels: ArrayLike,
    probabilities: ArrayLike,
    risk: float,
    threshold: float = 0.5,
    clusters: ArrayLike | None = None,
) -> CoverageAtRisk:
    """Return the largest coverage whose risk is shown to be small enough, or none.

    The first few patches are nearly always right, so the coverage at which the risk seen is small enough says nothing.
    Here twenty coverages are tried, and a risk counts as shown where its upper limit is not above it: Clopper and
    Pearson's (1934), at 95 % confidence shared among the twenty (after Geifman and El-Yaniv 2017). For 1 % that takes
    600 patches that are all right. With clusters, the patches count for as many as the variance between clusters says.

    Parameters
    ----------
    labels, probabilities, threshold
        See `risk_coverage`.
    risk
        Above 0 and below 1.
    clusters
        Each patch's slide or patient, shape ``(n,)``; when left out patches count as independent.

    Raises
    ------
    ConfigError
        No such risk.
    DataError
        See `check_probabilities`; clusters that do not fit.

    Examples
    --------
    >>> print(coverage_at_risk([0, 1] * 20, [0.1, 0.9] * 20, risk=0.01))
    risk of 1.0%: not attainable
    >>> coverage_at_risk([0, 1] * 500, [0.1, 0.9] * 500, risk=0.01).coverage
    1.0
    """
    if not 0 < risk < 1:
        raise ConfigError(f"a risk is a share of wrong calls above 0 and below 1; got {risk}")
    _, wrong, confidence = _calls(labels, probabilities, threshold)
    codes = cluster_codes(clusters, len(wrong))
    ends, errors = _surest_first(wrong, confidence)
    levels = np.sort(confidence)[::-1]
    clusters_found = None if codes is None else int(codes.max()) + 1
    tried = ends[np.unique(np.searchsorted(ends, np.ceil(len(wrong) * np.arange(1, _LOOKS + 1) / _LOOKS)))]
    for end in tried[::-1]:
        count = int(errors[np.searchsorted(ends, end)])
        chosen = confidence >= levels[end - 1]
        limit = _upper_limit(wrong[chosen], None if codes is None else codes[chosen], _MISS / _LOOKS)
        if limit <= risk:
            return CoverageAtRisk(
                risk, float(end / len(wrong)), float(levels[end - 1]), int(end), count, limit, clusters_found
            )
    return CoverageAtRisk(risk, None, None, 0, 0, None, clusters_found)


def _upper_limit(wrong: Floats, codes: Integers | None, miss: float) -> float:
    """Return the one-sided upper limit of a share (Clopper and Pearson 1934), by clusters with fewer patches."""
    share, effective = float(wrong.mean()), float(len(wrong))
    if codes is not None:
        used = np.unique(codes, return_inverse=True)[1]
        counts = np.bincount(used)
        if 0 < share < 1 and len(counts) > 1:
            moved = displacements((wrong - share) / len(wrong), [np.ones(len(wrong))], used)
            effective = min(effective, share * (1 - share) / max(float(moved @ moved), 1e-300))
        else:
            effective = float(len(wrong) ** 2 / (counts @ counts))
    if share == 1:
        return 1.0
    return float(betaincinv(share * effective + 1, (1 - share) * effective, 1 - miss))


def _calls(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> tuple[Integers, Floats, Floats]:
    truth, probability = check_probabilities(labels, probabilities)
    wrong = ((probability >= threshold) != (truth == 1)).astype(np.float64)
    odds = logit(np.clip(probability, _SUREST, 1 - _SUREST))
    return truth, wrong, np.round(np.abs(odds - logit(np.clip(threshold, _SUREST, 1 - _SUREST))), 9)


def _surest_first(wrong: Floats, confidence: Floats) -> tuple[Integers, Floats]:
    order = np.argsort(-confidence, kind="stable")
    last = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))
    return last + 1, np.cumsum(wrong[order])[last]
