"""Evaluate scanned slides against the ground truth: slide AUC, a logistic model of several features, and pN stages."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from sentinode.data.camelyon17 import camelyon17_patient
from sentinode.data.grouping import patient_and_slide
from sentinode.data.io.csv import read_csv
from sentinode.errors import DataError, plural
from sentinode.metrics import Interval, auc
from sentinode.slides.find import SLIDE_ENDINGS
from sentinode.slides.readers.flat_image import ENDINGS as PICTURE_ENDINGS
from sentinode.slides.results.files import SETTINGS, SUMMARY
from sentinode.slides.staging import classify_lesion, pn_stage, stage_kappa
from sentinode.storage import read_json

# What the logistic model combines.
FEATURES = ("score_log_odds", "largest_lesion_mm", "lesion_count", "lesion_area_mm2")
# Folds by patient, and the fewest slides of each label with which the logistic model is fitted.
_FOLDS, _FEWEST = 5, 10
_CLASSES = {"negative": 0, "normal": 0, "0": 0, "itc": 1, "micro": 1, "macro": 1, "tumor": 1, "tumour": 1, "1": 1}


@dataclass(frozen=True)
class SlideEvaluation:
    """How well scans tell slides with tumour from those without.

    Attributes
    ----------
    score_auc : Interval or None
        AUC of the slide score; None without slides of both labels, or where all labeled slides are of one patient.
    model_auc : Interval or None
        AUC of the logistic model's out-of-fold probabilities; None with fewer than 10 slides of a label, or where all
        slides of a label are of one patient.
    kappa : float or None
        Quadratic kappa of the pN stages of those patients all of whose slides in the truth are scanned; None without a
        true stage of such a patient.
    kappa_patients, true_patients : int
        Number of these patients, and of all with a true stage.
    not_scanned : tuple of str
        Slides of the truth without a scan, and patients with a true stage without any slide.
    slides : DataFrame
        One row per slide: ``slide``, ``patient``, ``label``, ``slide_score``, ``lesion_class``, `FEATURES`, and
        ``model_probability``: out of fold for labeled slides, by the model of all labeled slides for others.
    stages : DataFrame
        One row per patient of slides named as in CAMELYON17, one per lymph node: ``patient``, ``nodes``, ``missing``
        (nodes of the truth without a scan), ``stage``, and ``true_stage`` where it is given.
    """

    score_auc: Interval | None
    model_auc: Interval | None
    kappa: float | None
    kappa_patients: int
    true_patients: int
    not_scanned: tuple[str, ...]
    slides: pd.DataFrame = field(metadata={"json": False})
    stages: pd.DataFrame = field(metadata={"json": False})


def read_scans(folder: str | Path) -> pd.DataFrame:
    """Read the features of all finished scans in a folder.

    Parameters
    ----------
    folder : str or Path
        The output folder of ``sentinode scan``.

    Returns
    -------
    DataFrame
        One row per slide.

    Raises
    ------
    DataError
        The folder has no finished scan, or the summary of one is damaged.
    """
    # Training runs write files of the same name.
    files = [file for file in sorted(Path(folder).glob(f"*/{SUMMARY}")) if (file.parent / SETTINGS).is_file()]
    if not files:
        raise DataError(f"{folder}: contains no finished scan; specify the output folder of sentinode scan")
    rows = []
    for file in files:
        try:
            rows.append(_features(read_json(file), file.parent.name))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{file}: not the summary of a scan ({type(error).__name__}: {error}); delete the folder {file.parent} "
                "and scan the slide again"
            ) from error
    return pd.DataFrame(rows)


def evaluate_slides(scans: pd.DataFrame, truth: str | Path | None = None) -> SlideEvaluation:
    """Compare scanned slides with their truth, and stage patients.

    Parameters
    ----------
    scans : DataFrame
        From `read_scans`.
    truth : str, Path or None
        A csv with the columns ``slide`` and ``label`` (0 or 1, normal or tumour, or a class of lesion), or CAMELYON17's
        with ``patient`` and ``stage``. Slides are named with or without the ending of their file.

    Returns
    -------
    SlideEvaluation

    Raises
    ------
    DataError
        The truth names none of the slides, or has an unknown label.

    Notes
    -----
    The logistic model combines the log-odds of the slide score with the logarithms (of 1 + x) of the largest diameter,
    the number and the total area of the lesions. Its AUC is that of out-of-fold probabilities: of 5 folds by patient,
    or by slide where no patient is known. The intervals take slides of one patient as dependent.
    """
    table = scans.copy()
    labels, true_stages, names = ({}, {}, {}) if truth is None else _read_truth(Path(truth))
    table["label"] = [labels.get(Path(name).stem.casefold(), np.nan) for name in table["slide"]]
    known = table["label"].notna().to_numpy()
    if labels and not known.any():
        raise DataError(
            f"{truth}: names none of the {plural(len(table), 'scanned slide')}, such as {table['slide'][0]}"
        )
    groups = table["patient"].fillna(table["slide"])
    table["model_probability"] = np.nan
    score_auc = model_auc = None
    counts = table["label"].value_counts()
    clusters = groups[known] if groups[known].duplicated().any() else None
    if len(counts) == 2 and groups[known].nunique() > 1:  # An interval needs two patients.
        score_auc = auc(table["label"][known], table["slide_score"][known], clusters)
    if len(counts) == 2 and counts.min() >= _FEWEST and groups[known].nunique() >= _FOLDS:
        folds = _folds(table["label"][known].to_numpy(), groups[known])
        if folds:
            table["model_probability"] = _model_probabilities(table, known, folds)
            model_auc = auc(table["label"][known], table["model_probability"][known], clusters)
    scanned = {Path(name).stem.casefold() for name in table["slide"]}
    missing = [key for key in labels if key not in scanned]
    stages = _stages(table, true_stages, missing)
    complete = stages[stages["missing"] == 0].dropna() if true_stages else stages[:0]
    kappa = None
    if len(complete):
        true, found = (dict(zip(complete["patient"], complete[name], strict=True)) for name in ("true_stage", "stage"))
        kappa = stage_kappa(true, found)
    without = true_stages.keys() - set(stages["patient"]) - set(map(camelyon17_patient, labels))
    not_scanned = (*(names[key] for key in missing), *(f"patient {name}" for name in sorted(without)))
    return SlideEvaluation(score_auc, model_auc, kappa, len(complete), len(true_stages), not_scanned, table, stages)


def _features(summary: dict[str, Any], name: str) -> dict[str, Any]:
    score = float(np.clip(summary["slide_score"], 1e-6, 1 - 1e-6))
    return {
        "slide": summary["slide"],
        "patient": patient_and_slide(name)[0],
        "slide_score": summary["slide_score"],
        "lesion_class": classify_lesion(summary["largest_lesion_mm"]),
        "score_log_odds": float(logit(score)),
        "largest_lesion_mm": summary["largest_lesion_mm"],
        "lesion_count": len(summary["lesions"]),
        "lesion_area_mm2": sum(lesion["area_mm2"] for lesion in summary["lesions"]),
    }


def _read_truth(file: Path) -> tuple[dict[str, int], dict[str, str], dict[str, str]]:
    """Return the label of each slide, the stage of each patient, and the name of each slide as it is in the file."""
    table = read_csv(file)
    if {"slide", "label"} <= set(table):
        rows = list(zip(table["slide"], table["label"], strict=True))
    elif {"patient", "stage"} <= set(table):
        rows = list(zip(table["patient"], table["stage"], strict=True))
    else:
        raise DataError(
            f"{file}: has no columns slide and label, or patient and stage; its columns: {', '.join(map(str, table))}"
        )
    # Patients are known by the number in their name, as in the names of slides.
    stages = {
        patient_and_slide(f"{Path(name).stem}_node_0")[0] or Path(name).stem: value
        for name, value in rows
        if value.startswith("pN")
    }
    labels: dict[str, int] = {}
    names: dict[str, str] = {}
    for number, (name, value) in enumerate(rows, 2):
        if value.startswith("pN") or not (name or value):
            continue
        if value.casefold() not in _CLASSES:
            raise DataError(f"{file}: line {number}: label {value!r}; it must be one of {', '.join(_CLASSES)}")
        key, label = _without_ending(name), _CLASSES[value.casefold()]
        if labels.setdefault(key, label) != label:
            raise DataError(f"{file}: line {number}: {name} has another label in a row above; keep one of them")
        names.setdefault(key, name)
    return labels, stages, names


def _without_ending(name: str) -> str:
    """Return a slide's name without folders and the ending of its file; other dots belong to the name."""
    path = Path(name)
    is_file = path.suffix.lower() in (*SLIDE_ENDINGS, *PICTURE_ENDINGS)
    return (path.stem if is_file else path.name).casefold()


def _folds(labels: NDArray[np.float64], groups: "pd.Series[str]") -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return training and test rows of each fold; none if a training part has slides of one label only."""
    from sklearn.model_selection import StratifiedGroupKFold

    if min(groups[labels == label].nunique() for label in (0, 1)) < 2:
        return []
    folds = list(StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0).split(labels, labels, groups))
    return folds if all(len(np.unique(labels[training])) == 2 for training, _ in folds) else []


def _model_probabilities(
    table: pd.DataFrame, known: NDArray[np.bool_], folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression())
    labels = table["label"].to_numpy()
    features = np.column_stack([table[FEATURES[0]], *(np.log1p(table[name]) for name in FEATURES[1:])])
    found = np.full(len(table), np.nan)
    found[known] = cross_val_predict(model, features[known], labels[known], cv=folds, method="predict_proba")[:, 1]
    if not known.all():
        found[~known] = model.fit(features[known], labels[known]).predict_proba(features[~known])[:, 1]
    return found


def _stages(table: pd.DataFrame, true: dict[str, str], missing: Sequence[str]) -> pd.DataFrame:
    patients = pd.Series([camelyon17_patient(Path(name).stem) for name in table["slide"]], table.index, "str")
    nodes = {str(patient): rows["lesion_class"].tolist() for patient, rows in table.groupby(patients)}
    missing_nodes = Counter(map(camelyon17_patient, missing))
    stages = pd.DataFrame(
        [(patient, len(classes), missing_nodes[patient], pn_stage(classes)) for patient, classes in nodes.items()],
        columns=["patient", "nodes", "missing", "stage"],
    )
    if true:
        stages["true_stage"] = stages["patient"].map(true)
    return stages
