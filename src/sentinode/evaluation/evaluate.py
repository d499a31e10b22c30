"""From a run and labelled patches to an evaluation, in memory and as files."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sentinode.data.duplicates.hashes import require_matching_hashes
from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError, DataError
from sentinode.evaluation.evaluation import Evaluation
from sentinode.evaluation.operating_points import threshold_of
from sentinode.evaluation.stain_groups import stain_groups
from sentinode.inference.predict import predict
from sentinode.inference.predictions import Predictions
from sentinode.metrics.subgroups import Subgroup
from sentinode.plots.classification import plot_confusion_matrix, plot_evaluation, plot_roc
from sentinode.plots.forest import plot_subgroups
from sentinode.plots.style import save_figure
from sentinode.storage import atomic_file, read_json, write_json

if TYPE_CHECKING:
    from sentinode.inference.predictor import Predictor

METRICS = "metrics.json"
# On slides a few patches in a hundred hold tumour, where half of PatchCamelyon's do.
PREVALENCE = 0.05
FEW_GROUPS = range(2, 31)
STAIN = "stain"

log = logging.getLogger("sentinode")


def evaluate(
    run: "Predictor",
    patches: PatchSet,
    split: str | None = None,
    *,
    points: Sequence[str | float] = (),
    prevalences: Sequence[float] = (PREVALENCE,),
    by: Sequence[str] = (),
    out: str | Path | None = None,
    cache: str | Path | None = None,
    tta: str = "none",
    precision: str = "float32",
) -> Evaluation:
    """Evaluate a run's model on labelled patches, and write the results.

    Written are ``metrics.json``, ``roc.png``, ``curves.png``, ``confusion.png``, ``predictions.csv``, the curves as
    csv, and a csv and a png of each column of groups.

    Parameters
    ----------
    run
        From `train` or `load_run`; or an `Ensemble` of runs.
    patches
        Any labelled set.
    split
        The split to measure on; when left out ``test`` if it has labels, else ``valid``, which may be the one that
        the training held out from these patches.
    points
        Operating points beside 0.5 and the run's own: ``"youden"``, ``"sensitivity>=0.95"``, ``"specificity>=0.95"``,
        ``"cost=fn:fp"``, chosen on the validation patches of the run; or a number.
    prevalences
        Shares of tumour to give PPV and NPV at.
    by
        Columns of the patches whose groups are measured one by one; when left out ``patient``, ``slide`` and ``centre``
        where they are known and have 2 to 30 values. ``"stain"``: groups of alike stains, found in the pixels where no
        column has this name; see `stain_groups`.
    out
        The folder to write to; when left out ``RUN/evaluations/SPLIT`` (``SPLIT-tta-d4``, ``SPLIT-bfloat16``; of a run
        that ships: in the working folder), with a part of the fingerprint behind it when an evaluation of other
        patches is there. An ensemble has no folder of its own: name one.
    cache
        Where decoded patches are kept; see `PatchSet.cached`.
    tta
        Test-time augmentation, see `predict`; the threshold stays the one chosen without it.
    precision
        Of the arithmetic, see `predict`; the threshold stays the one chosen in float32.

    Raises
    ------
    DataError
        No such split, no labels, or only one class.
    ConfigError
        An ensemble without `out`; no such operating point, prevalence or column.
    RunError
        An operating point has to be chosen, and the run keeps no validation predictions.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import load_run, open_patches
    >>> patches = open_patches("pcam-mini")
    >>> few = patches.select(range(0, len(patches), 20))
    >>> evaluate(load_run("d4net-m"), few, out=tempfile.mkdtemp()).split
    'test'
    """
    home = Path(out) if out else run.results_folder
    if home is None:
        raise ConfigError("an ensemble has no folder of its own; name the one to write to with --out DIR (out=…)")
    # What can be wrong is found before the minutes of prediction.
    thresholds = {"0.5": 0.5, "validation": run.threshold}
    thresholds |= {str(rule): threshold_of(run, rule) for rule in points if str(rule) not in thresholds}
    _check_prevalences(prevalences)
    name, chosen = choose_split(run, patches, split, cache)
    _ = chosen.labels
    chosen = require_matching_hashes(chosen.cached(cache))
    groups = {column: _groups(chosen, column) for column in by or group_columns(chosen)}
    where = f"{patches.path}, split {name}" if name != "all" else patches.path
    warn_of_optimistic_bias(run, chosen, where)
    predictions = predict(run, chosen, {"split": name, "fingerprint": chosen.fingerprint}, tta=tta, precision=precision)
    place = name if tta == "none" else f"{name}-tta-{tta}"
    place += "" if precision == "float32" else f"-{precision}"
    folder = home if out else folder_of(home, place, chosen.fingerprint, METRICS)
    evaluation = Evaluation.from_predictions(
        predictions,
        where,
        name,
        thresholds,
        folder,
        prevalences=prevalences,
        groups=groups,
        conformal=run.conformal,
    )
    write_evaluation(evaluation, predictions, folder)
    return evaluation


def warn_of_optimistic_bias(run: "Predictor", patches: PatchSet, where: str) -> None:
    """Warn of patches that a run was trained on, or that its threshold was chosen on."""
    trained_on = int(run.trained_on(patches.table["sha1"]).sum())
    if trained_on:
        log.warning("%s: %s of these patches were trained on; figures on them flatter", where, f"{trained_on:,}")
    chosen_on = int(run.validated_on(patches.table["sha1"]).sum())
    if chosen_on:
        log.warning(
            "%s: %s chosen on %s of these patches; figures flatter a little",
            where,
            run.validation_choices,
            f"{chosen_on:,}",
        )


def _check_prevalences(prevalences: Sequence[float]) -> None:
    for prevalence in prevalences:
        if not 0 < prevalence < 1:
            raise ConfigError(f"a prevalence is a share of tumour above 0 and below 1; got {prevalence}")


def group_columns(patches: PatchSet) -> list[str]:
    """Return the columns of groups that are few enough to be looked at one by one."""
    known = [name for name in ("centre", "patient", "slide") if patches.table[name].notna().all()]
    return [name for name in known if patches.table[name].nunique() in FEW_GROUPS]


def _groups(patches: PatchSet, column: str) -> pd.Series:
    """Return each patch's group; those without one are a group of their own."""
    if column == STAIN and column not in patches.table:
        return stain_groups(patches)
    if column not in patches.table or patches.table[column].isna().all():
        known = [
            str(name) for name in patches.table if name not in ("id", "sha1") and patches.table[name].notna().any()
        ]
        raise ConfigError(
            f"{patches.path}: no column {column!r} is known of these patches; there are: {', '.join(known)}; "
            f"or {STAIN}, which is found in the pixels"
        )
    return patches.table[column].astype("str").where(patches.table[column].notna(), "not known")


def folder_of(run: Path, name: str, fingerprint: str, file: str) -> Path:
    """Return where an evaluation goes: a name of its own when one of other patches has taken this one.

    Parameters
    ----------
    run
        Its folder.
    name
        The folder's name within its evaluations.
    fingerprint
        Of the patches.
    file
        The json that says what an evaluation there was made by.
    """
    folder = run / "evaluations" / name
    if not (folder / file).is_file():
        return folder
    try:
        there = read_json(folder / file)["made_by"]["fingerprint"]
    except (DataError, KeyError, TypeError):
        there = None  # Damaged: nobody can say whose it is, so it stays.
    return folder if there == fingerprint else folder.with_name(f"{name}-{fingerprint[:8]}")


def choose_split(
    run: "Predictor", patches: PatchSet, split: str | None, cache: str | Path | None = None
) -> tuple[str, PatchSet]:
    """Return the patches to evaluate on and the name of their split.

    The order without a wish is: ``test`` when it has labels; ``valid``; the part that the training held out; all
    patches of a source that has no splits.

    Raises
    ------
    DataError
        None of these is there.
    """
    names = patches.split_names
    if split in names:
        return str(split), patches.split(str(split))
    if split is None:
        for name in ("test", "valid"):
            if name in names and patches.split(name).table["label"].notna().all():
                return name, patches.split(name)
    if split in (None, "valid"):
        held_out = run.held_out()
        if held_out:
            source = (patches.split("train") if "train" in names else patches).cached(cache)
            rows = np.flatnonzero(source.table["sha1"].isin(held_out))
            if set(source.table["sha1"].iloc[rows]) == held_out:
                return "valid", source.select(rows)
    if split is None and not names:
        return "all", patches
    if split is None:
        raise DataError(
            f"{patches.path}: neither test nor valid has labels here; "
            f"name a split with --split (there are: {', '.join(names)})"
        )
    return split, patches.split(split)


def write_evaluation(evaluation: Evaluation, predictions: Predictions, folder: Path) -> None:
    """Write the numbers, the curves, the pictures and the predictions of an evaluation."""
    predictions.write(folder / "predictions.csv")
    roc, recall, risk = evaluation.roc, evaluation.precision_recall, evaluation.risk_coverage
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
        f"threshold {point.point.threshold:.3f}" + ("" if name == "0.5" else f" ({name})"): (
            1 - (point.point.specificity or 0),
            point.point.sensitivity or 0,
        )
        for name, point in evaluation.points.items()
    }
    model = Path(evaluation.made_by.get("model", "ensemble")).name
    title = f"{evaluation.data}, {evaluation.normal + evaluation.tumour:,} patches"
    roc_axes = plot_roc(roc, name=model, auc=evaluation.ranking["auc"], points=points, title=title)
    save_figure(roc_axes, folder / "roc.png")
    curves = (recall, evaluation.reliability, risk, evaluation.decision)
    save_figure(plot_evaluation(*curves, name=model, title=title), folder / "curves.png")
    chosen = evaluation.points["validation"].point
    matrix_title = f"{evaluation.data}\nthreshold {chosen.threshold:.3f}"
    save_figure(plot_confusion_matrix(chosen, title=matrix_title), folder / "confusion.png")
    for column, groups in evaluation.subgroups.items():
        _write_csv(_subgroup_table(groups), folder / f"by-{column}.csv")
        save_figure(plot_subgroups(groups, title=f"{title}\nby {column}"), folder / f"by-{column}.png")
    # Last, since it says that the rest is there.
    write_json(folder / METRICS, evaluation.to_json())


def _subgroup_table(groups: Sequence[Subgroup]) -> pd.DataFrame:
    """Return one row a group, its figures with their limits."""
    rows = []
    for group in groups:
        figures = {"auc": group.auc, "sensitivity": group.rates.sensitivity, "specificity": group.rates.specificity}
        row = {"group": group.name, "normal": group.normal, "tumour": group.tumour, "clusters": group.clusters}
        for name, interval in figures.items():
            for end, what in (("", "estimate"), ("_low", "low"), ("_high", "high")):
                row[f"{name}{end}"] = getattr(interval, what) if interval else None
        rows.append({**row, "note": group.note})
    return pd.DataFrame(rows).astype({"clusters": "Int64"})


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with atomic_file(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")
