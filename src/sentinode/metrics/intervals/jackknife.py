"""Confidence limits of smooth statistics from the jackknife over patches or clusters.

The displacement of a unit (a patch or a cluster) is the estimate minus the estimate without that unit; the sum of
squared displacements is the variance. For clusters this is the jackknife, or CR3, variance (Bell and McCaffrey 2002).
For the AUC it approaches Obuchowski's (1997) if clusters are many and of equal size, and is not too small if they are
few. The quantile is Student's with Satterthwaite's degrees of freedom, so limits are wider if few clusters dominate
the variance.

References
----------
Bell and McCaffrey (2002), Bias reduction in standard errors for linear regression with multi-stage samples, Survey
Methodology 28. Obuchowski (1997), Nonparametric analysis of clustered ROC curve data, Biometrics 53.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit, logit, ndtri, stdtrit

from sentinode.metrics.checks import Floats, Integers
from sentinode.metrics.intervals.interval import LEVEL

TAIL = (1 + LEVEL) / 2
ROUNDING = 1e-12  # Smaller differences are rounding errors.
# The largest displacement in log-odds: without its only cluster of errors a rate is 1, and its log-odds are infinite.
_LARGEST = np.log(4)


def normal_quantile() -> float:
    """Return the standard normal quantile of a two-sided 95 % interval.

    Examples
    --------
    >>> round(normal_quantile(), 3)
    1.96
    """
    return float(ndtri(TAIL))


def t_quantile(degrees: float) -> float:
    """Return the quantile of Student's t of a two-sided 95 % interval.

    Examples
    --------
    >>> round(t_quantile(10), 3)
    2.228
    """
    return float(stdtrit(degrees, TAIL))


def displacements(influence: Floats, parts: Sequence[Floats], codes: Integers | None) -> Floats:
    """Compute how far each patch or cluster moves an estimate, from its influence function.

    Parameters
    ----------
    influence : ndarray of shape (n,)
        The derivative of the estimate with respect to the weight of each patch.
    parts : sequence of ndarray of shape (n,)
        Disjoint sets of patches (0 or 1) over each of which the estimate is a mean: tumour and normal patches for an
        AUC, all patches for a Brier score.
    codes : ndarray of shape (n,) or None
        The cluster of each patch from `cluster_codes`.

    Returns
    -------
    ndarray of shape (n,) or (clusters,)
        The displacements. Infinite for a unit that holds all patches of a part.

    Notes
    -----
    A cluster's share of a part is its leverage there: without the cluster the other patches weigh
    ``1 / (1 - share)`` times as much. For a mean, the displacement is exactly that of deleting the cluster; for an AUC
    it is so up to pairs within a cluster. For patches the square root of that factor is used, which gives DeLong's
    variance and the usual n - 1.

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
    """Compute Satterthwaite's degrees of freedom of the sum of squared displacements.

    Parameters
    ----------
    moved : ndarray of shape (k,)
        The displacements.
    times : ndarray of shape (k,) or int, default 1
        How often each of them occurs.

    Returns
    -------
    float
        Three times the squared sum of squares over the sum of fourth powers, minus one: the number of units minus one
        for normal displacements of equal size, 2 if one unit is all there is.

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
    """Compute the confidence limits of an estimate from its displacements.

    Parameters
    ----------
    estimate : float
        The estimate.
    moved : ndarray of shape (k,)
        The displacements.
    scale : {"plain", "log", "logit", "atanh"}
        The scale on which the limits are symmetric: ``"log"`` for positive values, ``"logit"`` for values between 0
        and 1, ``"atanh"`` for values between -1 and 1.
    times : ndarray of shape (k,) or int, default 1
        How often each displacement occurs.
    kind : {"delete", "delta"}, default "delete"
        ``"delete"`` transforms each estimate without a unit to the scale; ``"delta"`` multiplies displacements by the
        slope of the scale at the estimate.

    Returns
    -------
    tuple of float or None
        The lower and the upper limit; None if the displacements are all zero or not all finite.

    Examples
    --------
    >>> low, high = limits(0.9, np.full(50, 0.005), "logit")
    >>> round(low, 3), round(high, 3)
    (0.806, 0.951)
    """
    if not np.all(np.isfinite(moved)) or np.max(np.abs(moved)) < ROUNDING:
        return None
    to_scale, slope, back = _SCALES[scale]
    if not np.isfinite(to_scale(estimate)):
        return None
    on_scale = moved * slope(estimate)
    if kind == "delete" and scale != "plain":
        with np.errstate(divide="ignore", invalid="ignore"):
            without = to_scale(estimate) - to_scale(estimate - moved)
        on_scale = np.clip(np.where(np.isnan(without), np.sign(on_scale) * _LARGEST, without), -_LARGEST, _LARGEST)
    half = t_quantile(degrees_of_freedom(on_scale, times)) * np.sqrt(np.sum(times * on_scale**2))
    middle = to_scale(estimate)
    return float(back(middle - half)), float(back(middle + half))


_SCALES = {
    "plain": (lambda x: x, lambda x: 1.0, lambda x: x),
    "log": (np.log, lambda x: 1 / x, np.exp),
    "logit": (logit, lambda x: 1 / (x * (1 - x)), expit),
    "atanh": (np.arctanh, lambda x: 1 / (1 - x * x), np.tanh),
}
