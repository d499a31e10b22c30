"""Find probable label errors and outliers with the features of a trained network."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sentinode.auditing.out_of_fold import predict_out_of_fold
from sentinode.data.patchset import PatchSet, check_patches
from sentinode.data.quality.checks import CHECKS
from sentinode.data.quality.inspection import Inspection, Quality, inspect_patches, quality_json
from sentinode.data.splitting.split import split_folds
from sentinode.errors import DataError, plural
from sentinode.inference.features import embed
from sentinode.inference.ood import WARNINGS
from sentinode.metrics import LabelErrors, find_label_errors, roc_curve
from sentinode.serialize import to_json
from sentinode.version import __version__

if TYPE_CHECKING:
    from sentinode.inference.predictor import Predictor

# Outliers by features, compared with the other folds; the other kinds are compared with the run's training patches.
FEATURES = "features"
OUTLIER_KINDS = (*WARNINGS, FEATURES)
FOLDS = 5

log = logging.getLogger("sentinode")


@dataclass(frozen=True)
class Audit:
    """Result of `audit`.

    Attributes
    ----------
    patches : PatchSet
        The audited patches: the cached ones with a label.
    table : DataFrame
        One row per patch, in the order of `patches`: ``id``, ``label``, ``split``, ``slide``, ``sha1``; ``p_tumour``
        and ``p_label``, the out-of-fold probabilities of tumour and of the given label; ``label_issue`` and
        ``duplicate_conflict`` (bool); ``distance``, the outlier distance of the features, above 1 for outliers;
        ``outlier``, a list of `OUTLIER_KINDS`; ``quality``, a list of failed quality checks; ``trained_on`` (bool).
    confidence : LabelErrors
        Confident learning from the labels and the out-of-fold probabilities.
    auc : float
        AUC of the out-of-fold probabilities against the given labels.
    folds : int
        Number of folds.
    grouped_by : tuple of str
        What was kept together in the folds.
    inspection : Inspection
        The checks that need no network, with `Inspection.quality`.
    made_by : dict
        The run, the data and the version.
    """

    patches: PatchSet
    table: pd.DataFrame
    confidence: LabelErrors
    auc: float
    folds: int
    grouped_by: tuple[str, ...]
    inspection: Inspection
    made_by: dict[str, Any]

    def __repr__(self) -> str:
        issues = plural(int(self.table["label_issue"].sum()), "label issue")
        outliers = plural(int((self.table["outlier"] != "").sum()), "outlier")
        return f"<Audit of {plural(len(self.table), 'patch')}: {issues}, {outliers}>"

    @property
    def quality(self) -> Quality:
        """`Inspection.quality`, which an audit always has."""
        assert self.inspection.quality is not None
        return self.inspection.quality

    @property
    def issues(self) -> pd.DataFrame:
        """The rows of `table` with a label issue, least probable label first, then the outliers."""
        found = self.table[self.table["label_issue"] | (self.table["outlier"] != "")]
        return found.sort_values(["label_issue", "p_label"], ascending=[False, True], kind="stable")

    def outlier_counts(self) -> dict[str, int]:
        """Return the number of outliers of each kind."""
        kinds = self.table["outlier"].str.split(", ")
        return {kind: int(kinds.map(lambda found, kind=kind: kind in found).sum()) for kind in OUTLIER_KINDS}

    def label_issue_counts(self) -> dict[str, int]:
        """Return the number of label issues of each class, and of those with a conflicting duplicate."""
        found = self.table[self.table["label_issue"]]
        counts = {name: int((found["label"] == label).sum()) for label, name in enumerate(("normal", "tumour"))}
        return {**counts, "duplicate_conflicts": int(found["duplicate_conflict"].sum())}

    def to_json(self) -> dict[str, Any]:
        """Return the results as plain values."""
        return {
            "patches": len(self.table),
            "label_issues": self.label_issue_counts(),
            "outliers": self.outlier_counts(),
            "confident_learning": to_json(self.confidence),
            "auc": round(self.auc, 6),
            "folds": self.folds,
            "grouped_by": list(self.grouped_by),
            "quality": quality_json(self.quality),
            "made_by": self.made_by,
        }


def audit(
    run: "Predictor",
    patches: PatchSet,
    splits: Sequence[str] = (),
    *,
    folds: int = FOLDS,
    cache: str | None = None,
    seed: int = 0,
) -> Audit:
    """Find probable label errors and outliers among labeled patches.

    A logistic regression on the network's features is fitted to all folds but one and predicts that one, so that no
    label affects its own prediction. Patients, slides and duplicates stay together in the folds. A label is an issue if
    `find_label_errors` finds it, or if an exact or near duplicate has the other label. Outliers are patches with an
    out-of-distribution warning of the run, and patches far from the features of the other folds.

    Parameters
    ----------
    run : Run or ExternalModel
        From `train` or `load_run`. A run that was trained on the same patches may have memorized wrong labels.
    patches : PatchSet
        Patches without a label are left out.
    splits : sequence of str, optional
        Splits to audit together; all by default.
    folds : int, default=5
        Number of folds, at least 2.
    cache : str, optional
        Cache folder; see `PatchSet.cached`.
    seed : int, default=0
        Seed of the folds.

    Returns
    -------
    Audit

    Raises
    ------
    DataError
        A split does not exist, no patch has a label, or there are too few groups for the folds.
    ConfigError
        Fewer than two folds, or an ensemble instead of a run.

    Examples
    --------
    >>> from sentinode import load_run, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(0, 400, 4))
    >>> found = audit(load_run("d4net-m"), patches, folds=2)
    >>> len(found.table), found.auc > 0.9
    (100, True)
    """
    without_label = int(_select_splits(patches, splits).table["label"].isna().sum())
    chosen = labeled_patches(patches, splits, cache)
    split = split_folds(chosen, folds, seed)
    known = run.trained_on(chosen.table["sha1"])
    trained_on = np.zeros(len(chosen), dtype=bool) if known is None else known
    if trained_on.any():
        log.warning(
            "%s: the network was trained on %s of these patches; label errors that it memorized are missed",
            chosen.path,
            f"{int(trained_on.sum()):,}",
        )
    labels, features = chosen.labels, embed(run, chosen)
    unique = ~chosen.table["sha1"].duplicated().to_numpy()
    found = predict_out_of_fold(features, labels, split.patches.table["split"].to_numpy(), unique, seed)
    confidence = find_label_errors(labels, found.probability)
    inspection = inspect_patches(chosen, quality=True)
    assert inspection.quality is not None
    quality = inspection.quality
    conflict = _duplicate_conflicts(chosen, quality.near_duplicates)
    warnings = pd.Series(run.ood.warnings_for(quality.statistics) if run.ood else [""] * len(chosen))
    table = chosen.table[["id", "label", "split", "slide", "sha1"]].assign(
        p_tumour=found.probability,
        p_label=np.where(labels == 1, found.probability, 1 - found.probability),
        label_issue=confidence.suspect | conflict,
        duplicate_conflict=conflict,
        distance=found.distance,
        outlier=_join_texts([warnings, pd.Series(np.where(found.distance > 1, FEATURES, ""))]),
        quality=_join_texts([quality.checks[name].map({True: text, False: ""}) for name, text in CHECKS.items()]),
        trained_on=trained_on,
    )
    made_by: dict[str, Any] = {"sentinode": __version__, "data": chosen.path, "fingerprint": chosen.fingerprint}
    made_by |= {"splits": chosen.split_names, "without_label": without_label, "trained_on": int(trained_on.sum())}
    made_by |= chosen.skipped_json()
    return Audit(
        patches=chosen,
        table=table,
        confidence=confidence,
        auc=roc_curve(labels, found.probability).auc,
        folds=folds,
        grouped_by=split.grouped_by,
        inspection=inspection,
        made_by={**made_by, **run.identity},
    )


def labeled_patches(patches: PatchSet, splits: Sequence[str] = (), cache: str | None = None) -> PatchSet:
    """Select the patches to audit, cached.

    Parameters
    ----------
    patches, splits, cache
        See `audit`.

    Returns
    -------
    PatchSet
        The labeled patches of these splits.

    Raises
    ------
    DataError
        A split does not exist, or no patch has a label.
    """
    chosen = _select_splits(patches, splits).cached(cache)
    labeled = chosen.table["label"].notna()
    if not labeled.any():
        raise DataError(
            f"{patches.path}: no patch has a label, so there is nothing to audit; for warnings about unlabeled "
            "patches use sentinode predict"
        )
    return chosen.select(np.flatnonzero(labeled))


def _select_splits(patches: PatchSet, splits: Sequence[str]) -> PatchSet:
    check_patches(patches)
    for name in splits:
        patches.split(name)  # Raises for a split that does not exist.
    if not splits:
        return patches
    return patches.select(np.flatnonzero(patches.table["split"].isin(list(splits))))


def _duplicate_conflicts(patches: PatchSet, pairs: pd.DataFrame) -> np.ndarray:
    """Find patches with an exact or near duplicate that has the other label."""
    labels, sha1 = patches.labels, patches.table["sha1"].to_numpy()
    conflict = pd.Series(labels).groupby(sha1).transform("nunique").to_numpy() > 1
    first, second = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    differs = labels[first] != labels[second]
    conflict[first[differs]] = conflict[second[differs]] = True
    # Near duplicates are pairs of different patches: what holds for one of several copies holds for all.
    return pd.Series(conflict).groupby(sha1).transform("any").to_numpy()


def _join_texts(columns: Sequence[pd.Series]) -> list[str]:
    return [", ".join(text for text in row if text) for row in zip(*columns, strict=True)]
