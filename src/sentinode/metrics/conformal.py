"""Sets of labels that hold the right one as often as was asked."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentinode.errors import ConfigError
from sentinode.metrics.checks import check_both_classes, check_probabilities
from sentinode.metrics.interval import Interval
from sentinode.metrics.proportions import proportion


@dataclass(frozen=True)
class ConformalSets:
    """How probable a label must be to be in a patch's set, from `fit_conformal`.

    Attributes
    ----------
    miscoverage
        The share of patches of each class whose set may miss their label.
    normal_at_least, tumour_at_least
        The label is in the set when its probability is at least this; 0 where there were too few patches to leave it
        out of any set.
    """

    miscoverage: float
    normal_at_least: float
    tumour_at_least: float

    def sets(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """Return which labels are in each patch's set: normal, tumour; shape ``(n, 2)``.

        Examples
        --------
        >>> ConformalSets(0.1, 0.3, 0.4).sets([0.1, 0.5]).tolist()
        [[True, False], [True, True]]
        """
        tumour = np.asarray(probabilities, dtype=np.float64)
        return np.column_stack([1 - tumour >= self.normal_at_least, tumour >= self.tumour_at_least])

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(self.__dict__)


def fit_conformal(labels: ArrayLike, probabilities: ArrayLike, miscoverage: float = 0.05) -> ConformalSets:
    """Find how probable a label must be to be in a set: split conformal prediction, for each class by itself.

    Sets of new patches then hold the right label with a chance of at least 1 − `miscoverage`, for tumour and for normal
    patches, whatever the network (Vovk, Gammerman and Shafer 2005; by class: Vovk 2012) – if the new patches are
    exchangeable with these. Those of a slide that is not among these are not: look at the coverage that is measured.

    Parameters
    ----------
    labels
        0 or 1, shape ``(n,)``, of validation patches.
    probabilities
        0 to 1, shape ``(n,)``.
    miscoverage
        Above 0 and below 1.

    Raises
    ------
    ConfigError
        No such miscoverage.
    DataError
        One class only, or see `check_probabilities`.

    Examples
    --------
    >>> fit_conformal([0] * 19 + [1] * 19, [0.1] * 18 + [0.7] + [0.9] * 18 + [0.2], miscoverage=0.1).tumour_at_least
    0.9
    """
    if not 0 < miscoverage < 1:
        raise ConfigError(f"a miscoverage is a share of patches above 0 and below 1; got {miscoverage}")
    truth, tumour = check_probabilities(labels, probabilities)
    check_both_classes(truth, "a conformal prediction")
    limits = []
    for right in (np.sort(1 - tumour[truth == 0]), np.sort(tumour[truth == 1])):
        may_miss = int(np.floor(miscoverage * (len(right) + 1) + 1e-9))
        limits.append(float(right[may_miss - 1]) if may_miss else 0.0)
    return ConformalSets(miscoverage, *limits)


@dataclass(frozen=True)
class ConformalCoverage:
    """What prediction sets did on other patches.

    Attributes
    ----------
    asked
        The coverage they were fitted for.
    coverage, normal, tumour
        The share of sets with the right label, of all patches and of each class; None for a class that is not there.
    one_label, both_labels, no_label
        The share of patches with such a set.
    """

    asked: float
    coverage: Interval
    normal: Interval | None
    tumour: Interval | None
    one_label: float
    both_labels: float
    no_label: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            name: value.to_json() if isinstance(value, Interval) else value for name, value in self.__dict__.items()
        }


def measure_conformal(
    sets: ConformalSets, labels: ArrayLike, probabilities: ArrayLike, clusters: ArrayLike | None = None
) -> ConformalCoverage:
    """Measure how often prediction sets hold the right label, and how large they are.

    Parameters
    ----------
    sets
        From `fit_conformal`, on other patches.
    labels, probabilities
        See `fit_conformal`; one class only will do.
    clusters
        Each patch's slide or patient, shape ``(n,)``; when left out patches count as independent.

    Raises
    ------
    DataError
        See `check_probabilities`; clusters that do not fit.

    Examples
    --------
    >>> found = measure_conformal(ConformalSets(0.1, 0.3, 0.4), [0, 1, 1], [0.1, 0.5, 0.3])
    >>> round(found.coverage.estimate, 3), round(found.both_labels, 3)
    (0.667, 0.333)
    """
    truth, tumour = check_probabilities(labels, probabilities)
    members = sets.sets(tumour)
    hit = members[np.arange(len(truth)), truth]
    groups = None if clusters is None else np.asarray(clusters)

    def share(chosen: NDArray[np.bool_]) -> Interval | None:
        return proportion(hit[chosen], None if groups is None else groups[chosen]) if chosen.any() else None

    size = members.sum(1)
    return ConformalCoverage(
        1 - sets.miscoverage,
        proportion(hit, clusters),
        share(truth == 0),
        share(truth == 1),
        *(float(np.mean(size == count)) for count in (1, 2, 0)),
    )
