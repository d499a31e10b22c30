"""Limits from what an estimate becomes without each patch, or without each cluster.

All smooth measures get their limits here. The displacement of a unit is the estimate minus the estimate without the
unit; the sum of squared displacements is the variance. For clusters this is the jackknife, or CR3, variance (Bell and
McCaffrey 2002, Bias reduction in standard errors for linear regression with multi-stage samples), which for the AUC
goes over into Obuchowski's (1997) where clusters are many and of one size, and does not fall short where they are few.
The quantile is Student's, with Satterthwaite's degrees of freedom, so that a variance that hangs on a handful of
clusters is trusted accordingly.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit, logit, ndtri, stdtrit

from sentinode.metrics.checks import Floats, Integers
from sentinode.metrics.interval import LEVEL

TAIL = (1 + LEVEL) / 2
_LARGEST = np.log(4)  # Of a displacement in log-odds: a cluster that alone keeps a rate from 1 would make it infinite.

_ROUNDING = 1e-12


def normal_quantile() -> float:
    """Return the standard normal quantile of a two-sided 95 % interval.

    Examples
    --------
    >>> round(normal_quantile(), 3)
    1.96
    """
    return float(ndtri(TAIL))


def t_quantile(degrees: float) -> float:
    """Return Student's quantile of a two-sided 95 % interval.

    Examples
    --------
    >>> round(t_quantile(10), 3)
    2.228
    """
    return float(stdtrit(degrees, TAIL))


def displacements(influence: Floats, parts: Sequence[Floats], codes: Integers | None) -> Floats:
    """Return how far an estimate moves by each patch or cluster, from its influence function.

    Parameters
    ----------
    influence
        The derivative of the estimate by each patch's weight, shape ``(n,)``.
    parts
        The patches over whose number the estimate is a mean, each as 0 or 1 of shape ``(n,)``: tumour and normal for
        an AUC, all patches for a Brier score. They do not overlap.
    codes
        Each patch's cluster from `cluster_codes`, or None.

    Returns
    -------
    Floats
        Shape ``(n,)`` or ``(clusters,)``. Infinite for a unit that holds all of a part.

    Notes
    -----
    A cluster's share of a part is its leverage there: without the cluster the rest weighs 1 / (1 − share) times as
    much. For a mean, and up to pairs within a cluster for an AUC, the displacement is that of deleting the cluster.
    For patches the root of that factor is taken, which is DeLong's variance and the usual n − 1.

    Examples
    --------
    >>> values = np.array([1.0, 2.0, 6.0])
    >>> moved = displacements((values - 3) / 3, [np.ones(3)], None)
    >>> round(float(moved @ moved), 6), round(float(values.var(ddof=1) / 3), 6)
    (2.333333, 2.333333)
    """
    moved = np.zeros(len(influence) if codes is None else int(codes.max()) + 1)
    for part in parts:
        with np.errstate(divide="ignore", invalid="ignore"):
            if codes is None:
                moved += influence * part / np.sqrt(1 - 1 / part.sum())
            else:
                share = np.bincount(codes, part) / part.sum()
                sums = np.bincount(codes, influence * part)
                moved += np.where(share < 1, sums / (1 - share), np.inf)
    return np.where(np.isnan(moved), np.inf, moved)


def degrees_of_freedom(moved: Floats, times: Floats | int = 1) -> float:
    """Return Satterthwaite's degrees of freedom of the sum of squares of `moved`.

    Three times the squared sum of squares over the sum of fourth powers is the number of units for normal
    displacements of one size, and three where one unit is all there is.

    Parameters
    ----------
    moved
        Displacements, shape ``(k,)``.
    times
        How often each is there, shape ``(k,)``.

    Examples
    --------
    >>> degrees_of_freedom(np.array([0.0, 0.0, 1.0]))
    2.0
    """
    units = float(np.sum(np.ones_like(moved) * times))
    scaled = moved / np.max(np.abs(moved))
    effective = 3 * np.sum(times * scaled**2) ** 2 / np.sum(times * scaled**4)
    return float(np.clip(effective - 1, 1, max(units - 1, 1)))


def limits(
    estimate: float, moved: Floats, scale: str, times: Floats | int = 1, kind: str = "delete"
) -> tuple[float, float] | None:
    """Return the limits of an estimate, or None where its spread cannot be known from the displacements.

    Parameters
    ----------
    estimate
        The estimate.
    moved
        Displacements, shape ``(k,)``.
    scale
        On which the displacements are taken and the limits symmetric: ``"plain"``, ``"log"`` for what is above 0,
        ``"logit"`` for what is between 0 and 1, ``"atanh"`` for what is between −1 and 1.
    times
        How often each displacement is there, shape ``(k,)``.
    kind
        ``"delete"``: each estimate without a unit is carried over to the scale; ``"delta"``: the displacement is,
        by the scale's slope at the estimate.

    Examples
    --------
    >>> low, high = limits(0.9, np.full(50, 0.005), "logit")
    >>> round(low, 3), round(high, 3)
    (0.806, 0.951)
    """
    if not np.all(np.isfinite(moved)) or np.max(np.abs(moved)) < _ROUNDING:
        return None
    to_scale, slope, back = _SCALES[scale]
    if not np.isfinite(to_scale(estimate)):
        return None
    if kind == "delete" and scale != "plain":
        with np.errstate(divide="ignore", invalid="ignore"):
            without = to_scale(estimate) - to_scale(estimate - moved)
        linear = moved * slope(estimate)
        on_scale = np.clip(np.where(np.isnan(without), np.sign(linear) * _LARGEST, without), -_LARGEST, _LARGEST)
    else:
        on_scale = moved * slope(estimate)
    half = t_quantile(degrees_of_freedom(on_scale, times)) * np.sqrt(np.sum(times * on_scale**2))
    middle = to_scale(estimate)
    return float(back(middle - half)), float(back(middle + half))


_SCALES = {
    "plain": (lambda x: x, lambda x: 1.0, lambda x: x),
    "log": (np.log, lambda x: 1 / x, np.exp),
    "logit": (logit, lambda x: 1 / (x * (1 - x)), expit),
    "atanh": (np.arctanh, lambda x: 1 / (1 - x * x), np.tanh),
}
