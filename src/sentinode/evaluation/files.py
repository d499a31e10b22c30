"""Save evaluations, comparisons and robustness results as tables and figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sentinode.errors import DataError
from sentinode.evaluation.evaluation import METRICS, PREDICTIONS, Evaluation, interval_columns
from sentinode.evaluation.robustness import STRESS, RobustnessResult
from sentinode.metrics import Subgroup
from sentinode.plots.classification import plot_confusion_matrix, plot_evaluation, plot_roc
from sentinode.plots.comparison import plot_comparison
from sentinode.plots.forest import plot_subgroups
from sentinode.plots.robustness import plot_robustness
from sentinode.plots.style import save_figure
from sentinode.storage import atomic_file, read_json, write_json

if TYPE_CHECKING:
    from sentinode.evaluation.comparison import Comparison

COMPARISON = "compare.json"


def default_folder(home: Path, name: str, fingerprint: str, file: str) -> Path:
    """Return the folder of a result inside a run.

    Parameters
    ----------
    home : Path
        The folder of the run.
    name : str
        The name of the result.
    fingerprint : str
        The fingerprint of the evaluated patches.
    file : str
        The JSON file of such a result, which records its provenance.

    Returns
    -------
    Path
        ``home/evaluations/name``, with a part of the fingerprint appended if a result of other patches is there.
    """
    folder = home / "evaluations" / name
    if not (folder / file).is_file():
        return folder
    try:
        found = read_json(folder / file)["made_by"]["fingerprint"]
    except (DataError, KeyError, TypeError):
        found = None  # A damaged file may be of other patches, so it is kept.
    return folder if found == fingerprint else folder.with_name(f"{name}-{fingerprint[:8]}")


def save_evaluation(found: Evaluation, folder: Path) -> None:
    """Write an evaluation; see `Evaluation.save`. ``metrics.json`` is written last and so marks a complete folder."""
    found.predictions.write(folder / PREDICTIONS)
    roc, recall, risk = found.roc, found.precision_recall, found.risk_coverage
    tables = {
        "roc.csv": {
            "false_positive_rate": roc.false_positive_rate,
            "true_positive_rate": roc.true_positive_rate,
            "logit_at_least": roc.thresholds,
        },
        "precision_recall.csv": {
            "recall": recall.recall,
            "precision": recall.precision,
            "logit_at_least": recall.thresholds,
        },
        "risk_coverage.csv": {"coverage": risk.coverage, "risk": risk.risk},
    }
    for name, table in tables.items():
        _write_csv(pd.DataFrame(table), folder / name)
    points = {
        f"threshold {point.threshold:.3f}" + ("" if name == "0.5" else f" ({name})"): (
            1 - (point.counts.specificity or 0),
            point.counts.sensitivity or 0,
        )
        for name, point in found.operating_points.items()
    }
    model, chosen = Path(str(found.made_by.get("model", "ensemble"))).name, found.operating_point
    title = f"{found.data}, {found.normal + found.tumour:,} patches"
    band = (
        np.interp(roc.false_positive_rate, found.roc_band.false_positive_rate, found.roc_band.low),
        np.interp(roc.false_positive_rate, found.roc_band.false_positive_rate, found.roc_band.high),
    )
    axes = plot_roc(roc, name=model, auc=found.ranking.auc, band=band, points=points, title=title)
    save_figure(axes, folder / "roc.png")
    curves = (recall, found.calibration.reliability, risk, found.decision_curve)
    save_figure(plot_evaluation(*curves, name=model, title=title), folder / "curves.png")
    matrix_title = f"{found.data}\nthreshold {chosen.threshold:.3f}"
    save_figure(plot_confusion_matrix(chosen.counts, title=matrix_title), folder / "confusion.png")
    for column, groups in found.subgroups.items():
        _write_csv(_subgroup_table(groups), folder / f"by-{column}.csv")
        save_figure(plot_subgroups(groups, title=f"{title}\nby {column}"), folder / f"by-{column}.png")
    write_json(folder / METRICS, found)


def save_comparison(found: "Comparison", folder: Path) -> None:
    """Write a comparison; see `Comparison.save`. ``compare.json`` is written last."""
    _write_csv(found.table(), folder / "compare.csv")
    axes = plot_comparison(
        {model.name: model.curves for model in found.models},
        {model.name: model.auc for model in found.models},
        {model.name: (1 - model.specificity.estimate, model.sensitivity.estimate) for model in found.models},
        {(pair.auc.first, pair.auc.second): (pair.auc.difference, pair.auc.p_holm) for pair in found.pairs},
        title=f"{found.data}, {found.normal + found.tumour:,} patches",
    )
    save_figure(axes, folder / "compare.png")
    write_json(folder / COMPARISON, found)


def save_robustness(found: RobustnessResult, folder: Path) -> None:
    """Write robustness results; see `RobustnessResult.save`. ``stress.json`` is written last."""
    _write_csv(found.table(), folder / "stress.csv")
    axes = plot_robustness(
        {
            name: (
                curve.description,
                curve.neutral,
                [(each.level, (each.auc, each.sensitivity, each.specificity)) for each in found.points_of(name)],
            )
            for name, curve in found.perturbations.items()
        },
        title=f"{found.data}, {found.normal + found.tumour:,} patches: AUC {found.unperturbed.auc.estimate:.3f}, "
        f"mean over perturbations {found.perturbed_auc.estimate:.3f}",
    )
    save_figure(axes, folder / "stress.png")
    write_json(folder / STRESS, found)


def _subgroup_table(groups: Sequence[Subgroup]) -> pd.DataFrame:
    rows = []
    for group in groups:
        metrics = {"auc": group.auc, "sensitivity": group.point.sensitivity, "specificity": group.point.specificity}
        row = {"group": group.name, "normal": group.normal, "tumour": group.tumour, "clusters": group.clusters}
        rows.append({**row, **interval_columns(metrics), "note": group.note})
    return pd.DataFrame(rows).astype({"clusters": "Int64"})


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
