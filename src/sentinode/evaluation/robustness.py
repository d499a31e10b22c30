"""The numbers of a stress test; figures and reports draw from them and compute nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.data.stain.perturbations import PERTURBATIONS
from sentinode.metrics.auc import Area, area, mean_area
from sentinode.metrics.checks import Integers
from sentinode.metrics.comparison import area_difference
from sentinode.metrics.interval import Interval
from sentinode.metrics.proportions import proportion


@dataclass(frozen=True)
class Setting:
    """A shift by name, None for patches as they are, and its level."""

    shift: str | None
    level: float


@dataclass(frozen=True)
class RobustnessPoint:
    """What a run does at one level of a shift.

    Attributes
    ----------
    level
        Of the shift, in its own unit.
    auc
        The area under the ROC curve.
    sensitivity, specificity
        At the run's threshold, which is the same for all levels.
    warned
        The share of patches that the run warns of.
    """

    level: float
    auc: Interval
    sensitivity: Interval
    specificity: Interval
    warned: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        intervals = {name: getattr(self, name).to_json() for name in ("auc", "sensitivity", "specificity")}
        return {"level": self.level, **intervals, "warned": self.warned}


@dataclass(frozen=True)
class RobustnessCurve:
    """What a run does under one shift.

    Attributes
    ----------
    name
        Of the shift.
    points
        One for each level that changes patches, in rising order.
    mean
        The mean of their areas.
    """

    name: str
    points: tuple[RobustnessPoint, ...]
    mean: Interval

    @property
    def lowest(self) -> RobustnessPoint:
        """The level with the lowest area."""
        return min(self.points, key=lambda point: point.auc.estimate)

    def ordered_map(self, unshifted: RobustnessPoint) -> list[RobustnessPoint]:
        """Return the points with the one of patches as they are among them."""
        neutral = RobustnessPoint(PERTURBATIONS[self.name].neutral, *list(vars(unshifted).values())[1:])
        return sorted([*self.points, neutral], key=lambda point: point.level)


@dataclass(frozen=True)
class RobustnessResult:
    """What is left of a run when patches are not as those of its training.

    Attributes
    ----------
    data
        What was shifted, in words: the source and its split.
    split
        The split's name; ``"all"`` for a source without splits.
    normal, tumour
        Counts of patches.
    clusters
        ``"patient"`` or ``"slide"``: what intervals take for independent; None where they have to take patches for
        that.
    threshold
        The probability from which a patch is called tumour.
    unshifted
        Patches as they are.
    shifts
        By name.
    shifted
        The one number: the mean over shifts of the mean area over their levels.
    lost
        The area of patches as they are minus that.
    made_by
        What made the predictions.
    folder
        Where it is written.
    """

    data: str
    split: str
    normal: int
    tumour: int
    clusters: str | None
    threshold: float
    unshifted: RobustnessPoint
    shifts: dict[str, RobustnessCurve]
    perturbed: Interval
    lost: Interval
    made_by: dict[str, Any]
    folder: Path

    @classmethod
    def from_predictions(
        cls,
        settings: Sequence[Setting],
        predictions: Sequence[pd.DataFrame],
        labels: Integers,
        clusters: tuple[str | None, "pd.Series[str] | None"],
        threshold: float,
        **about: Any,
    ) -> "RobustnessResult":
        """Measure the predictions of the same patches under each setting.

        Parameters
        ----------
        settings
            Patches as they are first, then the levels of one shift after the other.
        predictions
            For each of them ``logit``, ``probability`` and ``warning``, one row a patch.
        labels
            0 or 1, shape ``(n,)``.
        clusters
            What `sentinode.evaluation.evaluation.clusters_of` gives.
        threshold
            The run's.
        about
            ``data``, ``split``, ``made_by``, ``folder``.

        Raises
        ------
        DataError
            Only one class is there.
        """
        column, units = clusters
        areas = [area(labels, each["logit"], units) for each in predictions]
        points = [
            _point(setting.level, each, table, labels, units, threshold)
            for setting, each, table in zip(settings, areas, predictions, strict=True)
        ]
        curves, means = {}, []
        for name, group in groupby(range(1, len(settings)), lambda number: settings[number].shift):
            numbers = list(group)
            means.append(mean_area([areas[number] for number in numbers]))
            curves[str(name)] = RobustnessCurve(
                str(name), tuple(points[number] for number in numbers), means[-1].interval()
            )
        over_all = mean_area(means)
        return cls(
            normal=int(np.sum(labels == 0)),
            tumour=int(np.sum(labels == 1)),
            clusters=column,
            threshold=threshold,
            unshifted=points[0],
            shifts=curves,
            perturbed=over_all.interval(),
            lost=area_difference(areas[0], over_all)[0],
            **about,
        )

    @property
    def worst(self) -> RobustnessCurve:
        """The shift with the lowest mean area."""
        return min(self.shifts.values(), key=lambda curve: curve.mean.estimate)

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as plain values."""
        return {
            "data": self.data,
            "split": self.split,
            "patches": {"normal": self.normal, "tumour": self.tumour},
            "clusters": self.clusters,
            "threshold": self.threshold,
            "summary": {
                "unshifted_auc": self.unshifted.auc.to_json(),
                "shifted_auc": self.perturbed.to_json(),
                "lost_auc": self.lost.to_json(),
                "worst_shift": self.worst.name,
                "worst_level": self.worst.lowest.level,
            },
            "unshifted": {name: value for name, value in self.unshifted.to_json().items() if name != "level"},
            "shifts": {
                name: {
                    "what": PERTURBATIONS[name].axis_label,
                    "neutral": PERTURBATIONS[name].neutral,
                    "mean_auc": curve.mean.to_json(),
                    "levels": [point.to_json() for point in curve.points],
                }
                for name, curve in self.shifts.items()
            },
            "made_by": self.made_by,
        }

    def table(self) -> pd.DataFrame:
        """Return one row a shift and level, patches as they are first: estimates with ``_low`` and ``_high`` beside."""
        rows: list[dict[str, Any]] = []
        everything = [("none", self.unshifted)]
        everything += [(name, point) for name, curve in self.shifts.items() for point in curve.points]
        for name, point in everything:
            row: dict[str, Any] = {"shift": name, "level": None if name == "none" else point.level}
            for figure in ("auc", "sensitivity", "specificity"):
                interval: Interval = getattr(point, figure)
                row |= {figure: interval.estimate, f"{figure}_low": interval.low, f"{figure}_high": interval.high}
            rows.append({**row, "warned": point.warned})
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        head = f"{self.data}: AUC {self.unshifted.auc} as they are, {self.perturbed} over all shifts"
        return f"{head}\n{self.table().round(4).to_string(index=False)}"


def _point(
    level: float, found: Area, table: pd.DataFrame, labels: Integers, units: Any, threshold: float
) -> RobustnessPoint:
    called = table["probability"].to_numpy() >= threshold

    def right(label: int) -> Interval:
        which = labels == label
        return proportion(called[which] == label, None if units is None else units[which])

    return RobustnessPoint(level, found.interval(), right(1), right(0), float((table["warning"] != "").mean()))
