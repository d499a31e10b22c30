"""Operating points by name, chosen on validation predictions."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sentinode.errors import ConfigError, DataError
from sentinode.metrics.operating import half_way, youden_threshold
from sentinode.metrics.ranking import roc_curve

RULES = "youden, sensitivity>=0.95, specificity>=0.95, cost=5:1 (a missed tumour : a false alarm), or a number"
_RATE = re.compile(r"(sensitivity|specificity)\s*(?:>=|≥)\s*(\S+)")
_COST = re.compile(r"cost\s*=\s*([^:\s]+)\s*:\s*(\S+)")


@dataclass(frozen=True)
class Rule:
    """A way to choose a threshold, from `parse_rule`.

    Attributes
    ----------
    kind
        ``"youden"``, ``"sensitivity"``, ``"specificity"``, ``"cost"`` or ``"number"``.
    value
        The least rate; what a missed tumour costs in false alarms; the threshold. 0 for Youden.
    """

    kind: str
    value: float = 0.0


def parse_rule(text: str | float) -> Rule:
    """Read the name of an operating point.

    Parameters
    ----------
    text
        ``"youden"`` (the largest sensitivity + specificity − 1); ``"sensitivity>=0.95"`` (the highest threshold with
        that); ``"specificity>=0.95"`` (the lowest); ``"cost=fn:fp"`` (the least cost at the prevalence of the
        validation patches, where a missed tumour costs fn and a false alarm fp); or a threshold from 0 to 1.

    Raises
    ------
    ConfigError
        It is none of these.

    Examples
    --------
    >>> parse_rule("sensitivity>=0.95")
    Rule(kind='sensitivity', value=0.95)
    >>> parse_rule("cost=10:2").value, parse_rule(0.5).kind
    (5.0, 'number')
    """
    words = str(text).strip()
    if words.lower() == "youden":
        return Rule("youden")
    if found := _RATE.fullmatch(words.lower()):
        rate = _number(found[2], words)
        if not 0 < rate <= 1:
            raise ConfigError(f"operating point {words!r}: a {found[1]} lies above 0 and not above 1; got {found[2]}")
        return Rule(found[1], rate)
    if found := _COST.fullmatch(words.lower()):
        missed, alarm = _number(found[1], words), _number(found[2], words)
        if missed <= 0 or alarm <= 0:
            raise ConfigError(f"operating point {words!r}: both costs must be above 0, as in cost=5:1")
        return Rule("cost", missed / alarm)
    threshold = _number(words, words)
    if not 0 <= threshold <= 1:
        raise ConfigError(f"operating point {words!r}: a threshold is a probability from 0 to 1")
    return Rule("number", threshold)


def choose_threshold(rule: str | float | Rule, labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the threshold that a rule chooses: a patch is called tumour from it on.

    It lies half-way between the last probability that is called tumour and the next lower one. Where calling nothing
    tumour costs least it is the next number above the largest probability.

    Parameters
    ----------
    rule
        See `parse_rule`.
    labels
        0 or 1, shape ``(n,)``, of validation patches: chosen on the patches that are then measured it flatters.
    probabilities
        Shape ``(n,)``.

    Raises
    ------
    ConfigError
        No such rule.
    DataError
        One class only; only calling nothing tumour has the specificity; else see `check_labels_and_scores`.

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
    called, missed = curve.false_positive_rate, 1 - curve.true_positive_rate
    if asked.kind == "sensitivity":
        best = int(np.argmax(curve.true_positive_rate >= asked.value - 1e-12))
    elif asked.kind == "specificity":
        best = int(np.flatnonzero(1 - called >= asked.value - 1e-12)[-1])
        if best == 0:
            raise DataError(
                f"no threshold has a specificity of {asked.value:g}: the largest probability, {curve.thresholds[1]:g}, "
                f"is that of {called[1]:.1%} of normal patches; ask for a lower one"
            )
    else:
        tumour = float(np.mean(np.asarray(labels)))
        best = int(np.argmin(asked.value * tumour * missed + (1 - tumour) * called))
    return half_way(curve, best) if best else float(np.nextafter(curve.thresholds[1], np.inf))


def _number(text: str, rule: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not np.isfinite(found):
        raise ConfigError(f"operating point {rule!r} is not known; use one of: {RULES}")
    return found
