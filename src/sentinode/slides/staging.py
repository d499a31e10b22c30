"""Lesion classes by size, and CAMELYON17's pN stage of a patient."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from sentinode.errors import DataError

LesionClass = Literal["negative", "itc", "micro", "macro"]
LESION_CLASSES: tuple[LesionClass, ...] = ("negative", "itc", "micro", "macro")
STAGES = ("pN0", "pN0(i+)", "pN1mi", "pN1", "pN2")
# Largest longest diameters of isolated tumour cells and of a micrometastasis.
ITC_BELOW_MM, MICRO_UP_TO_MM = 0.2, 2.0
_PN2_FROM_POSITIVE_NODES = 4


def classify_lesion(diameter_mm: float) -> LesionClass:
    """Classify a lesion by its longest diameter.

    Parameters
    ----------
    diameter_mm : float
        Longest diameter in mm; 0 where there is no lesion.

    Returns
    -------
    {"negative", "itc", "micro", "macro"}
        Isolated tumour cells are smaller than 0.2 mm, a macrometastasis is larger than 2 mm.

    Examples
    --------
    >>> [classify_lesion(diameter) for diameter in (0.0, 0.19, 0.2, 2.0, 2.1)]
    ['negative', 'itc', 'micro', 'micro', 'macro']
    """
    if not diameter_mm > 0:
        return "negative"
    if diameter_mm < ITC_BELOW_MM:
        return "itc"
    return "micro" if diameter_mm <= MICRO_UP_TO_MM else "macro"


def pn_stage(nodes: Sequence[LesionClass]) -> str:
    """Stage a patient from the classes of the lymph nodes, by the rules of CAMELYON17.

    Parameters
    ----------
    nodes : sequence of {"negative", "itc", "micro", "macro"}
        The class of the largest lesion of each node.

    Returns
    -------
    str
        One of `STAGES`. Nodes with isolated tumour cells alone do not count as positive.

    Raises
    ------
    DataError
        A class is unknown, or there is no node.

    Examples
    --------
    >>> pn_stage(["negative", "itc", "negative", "negative", "negative"])
    'pN0(i+)'
    >>> pn_stage(["macro", "micro", "micro", "micro", "itc"])
    'pN2'
    """
    if not nodes:
        raise DataError("a patient without lymph nodes has no pN stage; specify the class of each node")
    for node in nodes:
        if node not in LESION_CLASSES:
            raise DataError(f"lesion class {node!r}: it must be one of {', '.join(LESION_CLASSES)}")
    positive = sum(node in ("micro", "macro") for node in nodes)
    if positive == 0:
        return "pN0(i+)" if "itc" in nodes else "pN0"
    if "macro" not in nodes:
        return "pN1mi"
    return "pN2" if positive >= _PN2_FROM_POSITIVE_NODES else "pN1"


def stage_kappa(truth: Mapping[str, str], predicted: Mapping[str, str]) -> float:
    """Compute CAMELYON17's score: Cohen's kappa of pN stages with quadratic weights.

    Parameters
    ----------
    truth : mapping of str to str
        Stage of each patient.
    predicted : mapping of str to str
        Stage of each of these patients; others are ignored.

    Returns
    -------
    float
        1 for perfect agreement, 0 for agreement by chance.

    Raises
    ------
    DataError
        A patient has no predicted stage, or a stage is unknown.

    Examples
    --------
    >>> truth = {"patient_000": "pN0", "patient_001": "pN1", "patient_002": "pN2"}
    >>> stage_kappa(truth, truth)
    1.0
    """
    pairs = np.zeros((len(STAGES), len(STAGES)))
    for patient, stage in truth.items():
        if patient not in predicted:
            raise DataError(f"{patient} has no predicted stage; predict one for each of the {len(truth)} patients")
        for value in (stage, predicted[patient]):
            if value not in STAGES:
                raise DataError(f"{patient}: stage {value!r} must be one of {', '.join(STAGES)}")
        pairs[STAGES.index(stage), STAGES.index(predicted[patient])] += 1
    if not truth:
        raise DataError("no patient to compare; the table of true stages is empty")
    grades = np.arange(len(STAGES))
    weights = np.square(grades[:, None] - grades[None, :])
    expected = np.outer(pairs.sum(axis=1), pairs.sum(axis=0)) / pairs.sum()
    chance = float((weights * expected).sum())
    return 1.0 if chance == 0 else 1.0 - float((weights * pairs).sum()) / chance
