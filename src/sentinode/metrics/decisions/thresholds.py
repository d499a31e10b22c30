"""Choose operating points by rule on validation predictions."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import ConfigError, DataError
from sentinode.metrics.checks import Floats
from sentinode.metrics.ranking.roc_curve import RocCurve, roc_curve

RULES = "youden, sensitivity>=0.95, specificity>=0.95, cost=5:1 (a false negative : a false positive), or a number"
_RATE = re.compile(r"(sensitivity|specificity)\s*(?:>=|≥)\s*(\S+)")
_COST = re.compile(r"cost\s*=\s*([^:\s]+)\s*:\s*(\S+)")


@dataclass(frozen=True)
class Rule:
    """A rule that chooses a threshold, from `parse_rule`.

    Attributes
    ----------
    kind : {"youden", "sensitivity", "specificity", "cost", "number"}
        The kind of rule.
    value : float
        The lowest rate, the cost of a false negative in false positives, or the threshold; 0 for Youden's index.
    """

    kind: str
    value: float = 0.0


def parse_rule(text: str | float) -> Rule:
    """Parse the rule of an operating point.

    Parameters
    ----------
    text : str or float
        ``"youden"`` (the largest sensitivity + specificity - 1), ``"sensitivity>=0.95"`` (the highest threshold with
        that sensitivity), ``"specificity>=0.95"`` (the lowest threshold with that specificity), ``"cost=fn:fp"`` (the
        lowest cost at the prevalence of the validation patches, where a false negative costs fn and a false positive
        fp), or a threshold from 0 to 1.

    Returns
    -------
    Rule
        The rule.

    Raises
    ------
    ConfigError
        The text is none of these.

    Examples
    --------
    >>> parse_rule("sensitivity>=0.95")
    Rule(kind='sensitivity', value=0.95)
    >>> parse_rule("cost=10:2").value, parse_rule(0.5).kind
    (5.0, 'number')
    """
    rule = str(text).strip()
    if rule.lower() == "youden":
        return Rule("youden")
    if found := _RATE.fullmatch(rule.lower()):
        rate = _number(found[2], rule)
        if not 0 < rate <= 1:
            raise ConfigError(f"operating point {rule!r}: the {found[1]} must be above 0 and at most 1; got {found[2]}")
        return Rule(found[1], rate)
    if found := _COST.fullmatch(rule.lower()):
        false_negative, false_positive = _number(found[1], rule), _number(found[2], rule)
        if false_negative <= 0 or false_positive <= 0:
            raise ConfigError(f"operating point {rule!r}: both costs must be above 0, as in cost=5:1")
        return Rule("cost", false_negative / false_positive)
    threshold = _number(rule, rule)
    if not 0 <= threshold <= 1:
        raise ConfigError(f"operating point {rule!r}: a threshold must be a probability from 0 to 1")
    return Rule("number", threshold)


def choose_threshold(rule: str | float | Rule, labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Choose a threshold by a rule.

    Parameters
    ----------
    rule : str, float or Rule
        See `parse_rule`.
    labels : array-like of shape (n,)
        Labels of validation patches, 0 or 1. A threshold chosen on the patches that are then evaluated gives
        optimistically biased results.
    probabilities : array-like of shape (n,)
        Probabilities of tumour.

    Returns
    -------
    float
        The threshold: patches with at least this probability are predicted tumour. It lies half-way between the
        lowest probability that is predicted tumour and the next lower one. If predicting no tumour costs least, it is
        just above the largest probability.

    Raises
    ------
    ConfigError
        See `parse_rule`.
    DataError
        Only one class is present, or the specificity is reached only by predicting no tumour.

    Examples
    --------
    >>> labels, probabilities = [0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.9]
    >>> [round(choose_threshold(rule, labels, probabilities), 2) for rule in ("sensitivity>=0.95", "specificity>=1")]
    [0.35, 0.75]
    """
    asked = rule if isinstance(rule, Rule) else parse_rule(rule)
    if asked.kind == "number":
        return asked.value
    if asked.kind == "youden":
        return youden_threshold(labels, probabilities)
    curve = roc_curve(labels, probabilities)
    false_positives, false_negatives = curve.false_positive_rate, 1 - curve.true_positive_rate
    if asked.kind == "sensitivity":
        best = int(np.argmax(curve.true_positive_rate >= asked.value - 1e-12))
    elif asked.kind == "specificity":
        best = int(np.flatnonzero(1 - false_positives >= asked.value - 1e-12)[-1])
        if best == 0:
            raise DataError(
                f"no threshold has a specificity of {asked.value:g}: {100 * false_positives[1]:.1f} % of normal "
                f"patches have the largest probability, {curve.thresholds[1]:g}; choose a lower specificity"
            )
    else:
        prevalence = float(np.mean(np.asarray(labels)))
        best = _first_best(-asked.value * prevalence * false_negatives - (1 - prevalence) * false_positives)
    return half_way(curve, best) if best else float(np.nextafter(curve.thresholds[1], np.inf))


def youden_threshold(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Choose the threshold with the largest sensitivity + specificity - 1 (Youden's index [1]_).

    Parameters
    ----------
    labels : array-like of shape (n,)
        True labels, 0 or 1.
    probabilities : array-like of shape (n,)
        Probabilities of tumour.

    Returns
    -------
    float
        The threshold, half-way between the lowest probability that is predicted tumour and the next lower one, so that
        it does not depend on the last digit of one patch; of equal thresholds the highest. It is 0 (all patches are
        predicted tumour) if no threshold is better than predicting no tumour.

    Raises
    ------
    DataError
        See `roc_curve`.

    References
    ----------
    .. [1] Youden (1950), Index for rating diagnostic tests, Cancer 3.

    Examples
    --------
    >>> youden_threshold([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.8])
    0.5
    """
    curve = roc_curve(labels, probabilities)
    best = _first_best(curve.true_positive_rate - curve.false_positive_rate)
    return half_way(curve, best) if best else 0.0


def _first_best(values: Floats) -> int:
    """Return the first index whose value is the largest, up to rounding."""
    return int(np.argmax(values >= values.max() - 1e-12))


def half_way(curve: RocCurve, index: int) -> float:
    """Return the threshold half-way between a threshold of a ROC curve and the next lower one.

    Examples
    --------
    >>> half_way(roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.8]), 2)
    0.5
    """
    threshold = float(curve.thresholds[index])
    if index + 1 == len(curve.thresholds):
        return threshold
    next_lower = float(curve.thresholds[index + 1])
    middle = (threshold + next_lower) / 2
    return middle if middle > next_lower else threshold  # There is nothing between adjacent floats.


def _number(text: str, rule: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not np.isfinite(found):
        raise ConfigError(f"unknown operating point {rule!r}; use one of: {RULES}")
    return found
