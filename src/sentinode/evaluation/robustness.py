"""The results of a robustness test as values that can be saved and loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.data.stain.perturbations import PERTURBATIONS
from sentinode.errors import plural
from sentinode.evaluation.evaluation import auc_warnings, clusters_of
from sentinode.evaluation.files import interval_columns
from sentinode.inference.predictions import Predictions
from sentinode.metrics import Interval, proportion
from sentinode.metrics.ranking.comparison import area_difference
from sentinode.metrics.ranking.roc_auc import Area, area, mean_area
from sentinode.plots.robustness import plot_robustness
from sentinode.plots.style import save_figures
from sentinode.storage import read_json, write_csv, write_json

STRESS = "stress.json"


@dataclass(frozen=True)
class Setting:
    """One perturbation at one level.

    Attributes
    ----------
    perturbation : str or None
        The name of the perturbation; None for unperturbed patches.
    level : float
        Its level.
    """

    perturbation: str | None
    level: float


@dataclass(frozen=True)
class RobustnessPoint:
    """The metrics of a model at one level of a perturbation.

    Attributes
    ----------
    level : float
        The level in the unit of the perturbation.
    auc : Interval
        The area under the ROC curve.
    sensitivity, specificity : Interval
        Metrics at the threshold of the model, which is the same at all levels.
    ood_rate : float or None
        The share of patches that the model reports as out of distribution; None if it cannot tell.
    """

    level: float
    auc: Interval
    sensitivity: Interval
    specificity: Interval
    ood_rate: float | None


@dataclass(frozen=True)
class RobustnessCurve:
    """The metrics of a model under one perturbation.

    Attributes
    ----------
    description : str
        What the level is, with its unit.
    neutral : float
        The level at which patches are unchanged.
    points : tuple of RobustnessPoint
        The other levels, in rising order.
    mean_auc : Interval
        The mean area over these levels.
    """

    description: str
    neutral: float
    points: tuple[RobustnessPoint, ...]
    mean_auc: Interval

    @property
    def worst(self) -> RobustnessPoint:
        """The level with the lowest area."""
        return min(self.points, key=lambda point: point.auc.estimate)


@dataclass(frozen=True)
class RobustnessResult:
    """The metrics of a model on perturbed patches. ``stress.json`` has one key for each field.

    Attributes
    ----------
    data : str
        The source and the split.
    split : str
        The name of the split; ``"all"`` if the source has no splits.
    normal, tumour : int
        The numbers of patches.
    clusters : str or None
        ``"patient"`` or ``"slide"``: what intervals treat as independent. None if neither is known and intervals treat
        patches as independent.
    warnings : tuple of str
        Reasons to doubt the results, such as patches that the model was trained on.
    threshold : float
        The threshold of the model.
    unperturbed : RobustnessPoint
        The metrics on unperturbed patches.
    perturbations : dict of str to RobustnessCurve
        The metrics under each perturbation.
    perturbed_auc : Interval
        The mean, over perturbations, of their mean area.
    auc_loss : Interval
        The area on unperturbed patches minus `perturbed_auc`.
    made_by : dict
        Provenance: the model, its weights, the fingerprint of the patches.
    """

    data: str
    split: str
    normal: int
    tumour: int
    clusters: str | None
    warnings: tuple[str, ...]
    threshold: float
    unperturbed: RobustnessPoint
    perturbations: dict[str, RobustnessCurve]
    perturbed_auc: Interval
    auc_loss: Interval
    made_by: dict[str, Any]

    @classmethod
    def from_predictions(
        cls,
        settings: Sequence[Setting],
        predictions: Predictions,
        patches: pd.DataFrame,
        threshold: float,
        *,
        data: str,
        split: str,
        warnings: Sequence[str] = (),
    ) -> "RobustnessResult":
        """Compute the metrics of predictions of the same patches under each setting.

        Parameters
        ----------
        settings : sequence of Setting
            The unperturbed patches first, then the levels of each perturbation.
        predictions : Predictions
            The predictions of all patches under the first setting, then under the next, and so on.
        patches : pandas.DataFrame
            The table of the patches.
        threshold : float
            The threshold of the model.
        data, split, warnings
            See the attributes.

        Returns
        -------
        RobustnessResult
            The results.

        Raises
        ------
        DataError
            Only one class is present.
        """
        labels, (column, units) = patches["label"].to_numpy(dtype=np.int64), clusters_of(patches)
        tables = [
            predictions.table.iloc[first : first + len(labels)] for first in range(0, len(predictions), len(labels))
        ]
        areas = [area(labels, table["logit"], units) for table in tables]

        def point(index: int) -> RobustnessPoint:
            return _point(settings[index].level, areas[index], tables[index], units, threshold)

        curves, means = {}, []
        for name, group in groupby(range(1, len(settings)), lambda index: str(settings[index].perturbation)):
            indices = list(group)
            means.append(mean_area([areas[index] for index in indices]))
            change = PERTURBATIONS[name]
            curves[name] = RobustnessCurve(
                change.axis_label, change.neutral, tuple(map(point, indices)), means[-1].interval()
            )
        overall = mean_area(means)
        return cls(
            data=data,
            split=split,
            normal=int(np.sum(labels == 0)),
            tumour=int(np.sum(labels == 1)),
            clusters=column,
            warnings=(*warnings, *auc_warnings(areas[0].interval())),
            threshold=threshold,
            unperturbed=point(0),
            perturbations=curves,
            perturbed_auc=overall.interval(),
            auc_loss=area_difference(areas[0], overall)[0],
            made_by=predictions.made_by,
        )

    @classmethod
    def load(cls, path: str | Path) -> "RobustnessResult":
        """Load results that `save` wrote.

        Parameters
        ----------
        path : str or Path
            The folder, or ``stress.json`` in it.

        Returns
        -------
        RobustnessResult
            The results.

        Raises
        ------
        DataError
            The file is missing or damaged.
        """
        return read_json(Path(path) if Path(path).is_file() else Path(path) / STRESS, cls)

    def save(self, folder: str | Path, figures: str = "png") -> None:
        """Save the results to a folder.

        Parameters
        ----------
        folder : str or Path
            The folder. Written are ``stress.json``, ``stress.csv`` (one row for each perturbation and level) and a
            figure ``stress``.
        figures : {"png", "svg", "pdf"}, default "png"
            The format of the figures.
        """
        folder = Path(folder)
        (folder / STRESS).unlink(missing_ok=True)  # That of an earlier test does not mark this one.
        write_csv(self.table(), folder / "stress.csv")
        axes = plot_robustness(
            {
                name: (
                    curve.description,
                    curve.neutral,
                    [(each.level, (each.auc, each.sensitivity, each.specificity)) for each in self.points_of(name)],
                )
                for name, curve in self.perturbations.items()
            },
            title=f"{self.data}, {plural(self.normal + self.tumour, 'patch')}: AUC "
            f"{self.unperturbed.auc.estimate:.3f}, mean over perturbations {self.perturbed_auc.estimate:.3f}",
        )
        save_figures({"stress": axes}, folder, figures)
        write_json(folder / STRESS, self)

    @property
    def worst(self) -> str:
        """The name of the perturbation with the lowest mean area."""
        return min(self.perturbations, key=lambda name: self.perturbations[name].mean_auc.estimate)

    def points_of(self, name: str) -> list[RobustnessPoint]:
        """Return all levels of a perturbation in rising order, including the neutral one."""
        curve = self.perturbations[name]
        neutral = replace(self.unperturbed, level=curve.neutral)
        return sorted([*curve.points, neutral], key=lambda point: point.level)

    def table(self) -> pd.DataFrame:
        """Return the metrics as a table.

        Returns
        -------
        pandas.DataFrame
            One row for each perturbation and level, unperturbed patches (``none``) first; for each metric the estimate
            and its limits with ``_low`` and ``_high``.
        """
        everything: list[tuple[str, float | None, RobustnessPoint]] = [("none", None, self.unperturbed)]
        everything += [(name, each.level, each) for name, curve in self.perturbations.items() for each in curve.points]
        return pd.DataFrame(
            [
                {"perturbation": name, "level": level, **interval_columns(vars(each)), "ood_rate": each.ood_rate}
                for name, level, each in everything
            ]
        )

    def __repr__(self) -> str:
        return f"<RobustnessResult of {self}>"

    def __str__(self) -> str:
        return (
            f"{self.data} ({self.normal:,} normal, {self.tumour:,} tumour): AUC {self.unperturbed.auc:.3f}, mean over "
            f"perturbations {self.perturbed_auc:.3f}"
        )


def _point(
    level: float, found: Area, table: pd.DataFrame, units: "pd.Series[str] | None", threshold: float
) -> RobustnessPoint:
    positive, labels = table["probability"].to_numpy() >= threshold, found.labels

    def correct(label: int) -> Interval:
        chosen = labels == label
        return proportion(positive[chosen] == label, None if units is None else units[chosen])

    ood_rate = float((table["warning"] != "").mean()) if "warning" in table else None
    return RobustnessPoint(level, found.interval(), correct(1), correct(0), ood_rate)
