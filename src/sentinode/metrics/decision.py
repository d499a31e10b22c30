"""Whether acting on the calls does more good than harm."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import ConfigError
from sentinode.metrics.checks import Floats, Integers, check_both_classes, check_probabilities, cluster_codes
from sentinode.metrics.jackknife import displacements, limits

THRESHOLDS = tuple(round(each / 100, 2) for each in range(1, 100))


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit against the threshold.

    Attributes
    ----------
    thresholds
        float64, shape ``(k,)``: the probability from which one would act, which says how many false alarms are worth a
        tumour that is found.
    net_benefit, low, high
        float64, shape ``(k,)``: true positives a patch, less false positives weighted by the odds of the threshold,
        with 95 % limits at each threshold.
    treat_all
        float64, shape ``(k,)``: the same for calling every patch tumour. Calling none has 0.
    prevalence
        The share of tumour that it holds for.
    patches, clusters
        How many; clusters None where patches count as independent.
    """

    thresholds: Floats
    net_benefit: Floats
    low: Floats
    high: Floats
    treat_all: Floats
    prevalence: float
    patches: int
    clusters: int | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        arrays = {name: value.tolist() for name, value in self.__dict__.items() if isinstance(value, np.ndarray)}
        return {**self.__dict__, **arrays, "patches_independent": self.clusters is None}


def decision_curve(
    labels: ArrayLike,
    probabilities: ArrayLike,
    clusters: ArrayLike | None = None,
    prevalence: float | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> DecisionCurve:
    """Return the net benefit at many thresholds (Vickers and Elkin 2006).

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``.
    probabilities
        0 to 1, shape ``(n,)``. Calibrated for the prevalence: others act at the wrong threshold.
    clusters
        Each patch's slide or patient, shape ``(n,)``; when left out patches count as independent.
    prevalence
        The share of tumour where one would act; when left out that of these patches.
    thresholds
        Above 0 and below 1.

    Raises
    ------
    ConfigError
        No such prevalence or threshold.
    DataError
        One class only with a prevalence, or see `check_probabilities`.

    Examples
    --------
    >>> found = decision_curve([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], thresholds=[0.5])
    >>> found.net_benefit.tolist(), found.treat_all.tolist()
    ([0.25], [0.0])
    """
    at = np.asarray(thresholds, dtype=np.float64)
    if at.ndim != 1 or not np.all((at > 0) & (at < 1)):
        raise ConfigError("thresholds of a decision curve are probabilities above 0 and below 1")
    truth, probability = check_probabilities(labels, probabilities)
    if prevalence is not None:
        if not 0 < prevalence < 1:
            raise ConfigError(f"a prevalence is a share of tumour above 0 and below 1; got {prevalence}")
        check_both_classes(truth, "a decision curve at a stated prevalence")
    codes = cluster_codes(clusters, len(truth))
    share = float(truth.mean()) if prevalence is None else prevalence
    price = at / (1 - at)
    found = [
        _net_benefit(truth, (probability >= threshold).astype(np.float64), codes, prevalence, float(odds))
        for threshold, odds in zip(at, price, strict=True)
    ]
    benefit, low, high = (np.array(each) for each in zip(*found, strict=True))
    clusters_found = None if codes is None else int(codes.max()) + 1
    treat_all = share - (1 - share) * price
    return DecisionCurve(at, benefit, low, high, treat_all, share, len(truth), clusters_found)


def _net_benefit(
    truth: Integers, called: Floats, codes: Integers | None, prevalence: float | None, price: float
) -> tuple[float, float, float]:
    worth = np.where(truth == 1, called, -price * called)
    if prevalence is None:
        parts = [(np.ones(len(truth)), 1.0)]
    else:
        parts = [((truth == 1).astype(np.float64), prevalence), ((truth == 0).astype(np.float64), 1 - prevalence)]
    estimate, influence = 0.0, np.zeros(len(truth))
    for part, weight in parts:
        mean = float((worth * part).sum() / part.sum())
        estimate += weight * mean
        influence += weight * part * (worth - mean) / part.sum()
    moved = displacements(influence, [part for part, _ in parts], codes)
    low, high = limits(estimate, moved, "plain") or (estimate, estimate)
    return estimate, low, high
