"""Save evaluations, comparisons and robustness results as tables and figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from sentinode.errors import DataError
from sentinode.evaluation.evaluation import METRICS, PREDICTIONS, Evaluation, interval_columns
from sentinode.evaluation.robustness import STRESS, RobustnessResult
from sentinode.metrics import Subgroup
from sentinode.plots.comparison import draw_comparison
from sentinode.plots.curves import draw_curves
from sentinode.plots.forest import draw_forest
from sentinode.plots.roc import draw_confusion, draw_roc
from sentinode.plots.stress import draw_stress
from sentinode.storage import read_json, whole_file, write_json

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
    points = [
        (
            "threshold 0.5" if name == "0.5" else f"threshold {point.threshold:.3f}, from {name}",
            1 - (point.counts.specificity or 0),
            point.counts.sensitivity or 0,
        )
        for name, point in found.operating_points.items()
    ]
    title = f"{found.data}, {found.normal + found.tumour:,} patches"
    curves = {"model": (roc.false_positive_rate, roc.true_positive_rate, roc.auc)}
    area = found.ranking.auc
    draw_roc(curves, folder / "roc.png", points, title=f"{title}\nAUC {area:.3f}, 95 % confidence interval")
    draw_curves(recall, found.calibration.reliability, risk, found.decision_curve, folder / "curves.png", title=title)
    chosen = found.operating_point
    counts = chosen.counts
    matrix = [
        [counts.true_negatives, counts.false_positives],
        [counts.false_negatives, counts.true_positives],
    ]
    draw_confusion(matrix, folder / "confusion.png", title=f"{found.data}\nthreshold {chosen.threshold:.3f}")
    for column, groups in found.subgroups.items():
        _write_csv(_subgroup_table(groups), folder / f"by-{column}.csv")
        draw_forest(groups, folder / f"by-{column}.png", title=f"{title}\nby {column}")
    write_json(folder / METRICS, found)


def save_comparison(found: "Comparison", folder: Path) -> None:
    """Write a comparison; see `Comparison.save`. ``compare.json`` is written last."""
    _write_csv(found.table(), folder / "compare.csv")
    draw_comparison(
        {
            model.name: [(curve.false_positive_rate, curve.true_positive_rate) for curve in model.curves]
            for model in found.models
        },
        {model.name: (model.auc, model.auc_sd) for model in found.models},
        {model.name: (1 - model.specificity.estimate, model.sensitivity.estimate) for model in found.models},
        {(pair.auc.first, pair.auc.second): (pair.auc.difference, pair.auc.p_holm) for pair in found.pairs},
        folder / "compare.png",
        title=f"{found.data}, {found.normal + found.tumour:,} patches",
    )
    write_json(folder / COMPARISON, found)


def save_robustness(found: RobustnessResult, folder: Path) -> None:
    """Write robustness results; see `RobustnessResult.save`. ``stress.json`` is written last."""
    _write_csv(found.table(), folder / "stress.csv")
    draw_stress(
        {
            name: (
                curve.description,
                curve.neutral,
                [(each.level, (each.auc, each.sensitivity, each.specificity)) for each in found.points_of(name)],
            )
            for name, curve in found.perturbations.items()
        },
        folder / "stress.png",
        title=f"{found.data}, {found.normal + found.tumour:,} patches: AUC {found.unperturbed.auc.estimate:.3f}, "
        f"mean over perturbations {found.perturbed_auc.estimate:.3f}",
    )
    write_json(folder / STRESS, found)


def _subgroup_table(groups: Sequence[Subgroup]) -> pd.DataFrame:
    rows = []
    for group in groups:
        metrics = {"auc": group.auc, "sensitivity": group.point.sensitivity, "specificity": group.point.specificity}
        row = {"group": group.name, "normal": group.normal, "tumour": group.tumour, "clusters": group.clusters}
        rows.append({**row, **interval_columns(metrics), "note": group.note})
    return pd.DataFrame(rows).astype({"clusters": "Int64"})


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
