"""Names of classes and splits, and labels of any type."""

import re
from functools import lru_cache
from typing import Any

import numpy as np

from sentinode.errors import ConfigError, DataError, plural

SPLITS = {
    "train": "train", "training": "train", "train_set": "train", "training_set": "train",
    "valid": "valid", "val": "valid", "validation": "valid", "val_set": "valid", "validation_set": "valid",
    "test": "test", "testing": "test", "test_set": "test", "testing_set": "test",
}  # fmt: skip
SPLIT_ORDER = ("train", "valid", "test", None)
UNLABELED = {"unknown", "unlabelled", "unlabeled", "test", "images"}
MISSING = {"", "-1", "-1.0", "na", "n/a", "nan", "none", "null", "unknown", "unlabelled", "unlabeled"}
CLASS_HELP = "0 and 1, or normal and tumour"
# Names of classes with their labels, as a user states them; OTHERS stands for every name that is not stated.
Classes = tuple[tuple[str, int], ...]
OTHERS = "*"

_WORDS = {
    **dict.fromkeys(("0", "normal", "norm", "negative", "neg", "benign", "healthy"), 0),
    **dict.fromkeys(
        ("1", "tumor", "tumors", "tumour", "tumours", "tum", "positive", "pos", "malignant", "metastasis", "metastases",
         "metastatic", "cancer", "cancerous"), 1
    ),
}  # fmt: skip
_NEGATIONS = {"no", "non", "not", "without"}
# Words beside that of the class, as in Tumor_patches, 0_normal, class0 and IDC_positive.
_NEUTRAL = {
    "class", "label", "with", "patch", "patches", "tile", "tiles", "image", "images", "img", "imgs", "tissue", "sample",
    "samples", "idc", "region", "regions", "cells",
}  # fmt: skip


def parse_classes(text: str) -> Classes:
    """Return the classes that a text states.

    Parameters
    ----------
    text : str
        Such as ``"TUM=1,NORM=0"`` or ``"TUM=1,*=0"``.

    Returns
    -------
    tuple of (str, int)
        Names with 0 for normal and 1 for tumour.

    Raises
    ------
    ConfigError
        The text has another form, or a name comes twice.

    Examples
    --------
    >>> parse_classes("TUM=1,*=0")
    (('TUM', 1), ('*', 0))
    """
    pairs = [part.rpartition("=") for part in text.split(",") if part.strip()]
    classes = tuple(
        (name.strip(), int(value)) for name, _, value in pairs if name.strip() and value.strip() in ("0", "1")
    )
    if len(classes) != len(pairs) or not classes or len({name.lower() for name, _ in classes}) < len(classes):
        raise ConfigError(f"--classes must be NAME=0 or NAME=1, separated by commas, such as TUM=1,*=0; got {text!r}")
    return classes


@lru_cache(maxsize=1 << 16)
def class_of(name: str, classes: Classes = ()) -> int | None:
    """Return the class that a name means.

    Parameters
    ----------
    name : str
        Name of a folder, or a label of a table.
    classes : tuple of (str, {0, 1}), optional
        Names and their classes, instead of the usual words; ``"*"`` stands for every other name but those of splits.

    Returns
    -------
    int or None
        0 normal, 1 tumour, None when the name is not understood.

    Examples
    --------
    >>> [class_of(name) for name in ("1", "Tumor_patches", "non-metastatic", "class0", "fold0", "TUM", "STR")]
    [1, 1, 0, 0, None, 1, None]
    >>> class_of("STR", (("TUM", 1), ("*", 0)))
    0
    """
    if classes:
        known = {key.lower(): value for key, value in classes}
        return known.get(name.lower(), None if name.lower() in SPLITS else known.get(OTHERS))
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", " ", name)
    words = re.split(r"[^0-9a-z]+", spaced.lower().strip())
    if sum(word.isdecimal() for word in words) > 1:  # A version or a range, such as 1.1.
        return None
    found: set[int] = set()
    is_negated = False
    for word in words:
        negated, plain = (True, word[3:]) if word.startswith("non") and word[3:] in _WORDS else (is_negated, word)
        is_negated = word in _NEGATIONS
        if plain in _WORDS and not (negated and _WORDS[plain] == 0):
            found.add(0 if negated else _WORDS[plain])
        elif negated or not (is_negated or word in _NEUTRAL):
            return None
    return found.pop() if len(found) == 1 and not is_negated else None


def split_in(name: str) -> str | None:
    """Return the split that a name contains as a word, such as that of a file; None if there is none.

    Examples
    --------
    >>> split_in("pcam-Validation-00001.parquet"), split_in("patches")
    ('valid', None)
    """
    return next((SPLITS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in SPLITS), None)


def likely_class(name: str) -> int | None:
    """Return the class that a name suggests; for a message, not for a label.

    Parameters
    ----------
    name : str
        Name of a folder that `class_of` does not understand.

    Returns
    -------
    int or None
        0 normal, 1 tumour, None when no word of the name, or words of both classes, suggest one.

    Examples
    --------
    >>> [likely_class(name) for name in ("b_normal", "a_tumor", "site2", "tumor_or_normal", "not_tumor_x")]
    [0, 1, None, None, 0]
    """
    if name.lower() in ("yes", "no"):
        return int(name.lower() == "yes")
    words = re.split(r"[^a-z]+", name.lower())
    found = {_WORDS[word] for word in words if word in _WORDS}
    if found == {1} and _NEGATIONS & {*words}:
        return 0
    return found.pop() if len(found) == 1 else None


@lru_cache(maxsize=1 << 16)
def label_of(text: str, classes: Classes = ()) -> int | None:
    """Return the label that a field of a table states.

    Parameters
    ----------
    text : str
        0, 1, a truth value, a word, or a missing value, such as ``"1.0"``, ``"True"``, ``"normal"``, ``"NA"``.
    classes : tuple of (str, {0, 1}), optional
        See `class_of`.

    Returns
    -------
    int or None
        0 normal, 1 tumour, None where the value is missing.

    Raises
    ------
    ValueError
        The text is not a label.

    Examples
    --------
    >>> [label_of(text) for text in ("1.0", "FALSE", "Tumour", "NA")]
    [1, 0, 1, None]
    """
    word = text.strip().lower()
    if word in MISSING and word not in {name.lower() for name, _ in classes}:
        return None
    label = class_of(word, classes)
    if not classes:
        label = {"0.0": 0, "1.0": 1, "false": 0, "true": 1}.get(word, label)
    if label is None:
        raise ValueError(
            f"label {text!r} is neither 0 nor 1 (or normal, tumour); correct or remove the row, or define the classes "
            "with --classes"
        )
    return label


def binary_labels(values: Any, count: int, where: str, classes: Classes = ()) -> list[int | None]:
    """Return an array of labels as integers.

    Parameters
    ----------
    values : array_like
        One value per patch, in any shape: numbers, truth values, or words; or one-hot rows of shape ``(count, 2)``.
    count : int
        Number of patches.
    where : str
        Name of the array in messages.
    classes : tuple of (str, {0, 1}), optional
        See `class_of`; values that are not stated are missing labels.

    Returns
    -------
    list of int or None
        0 normal, 1 tumour, None unknown.

    Raises
    ------
    DataError
        The number of labels differs from `count`, or a value is not a label; the message names the row.

    Examples
    --------
    >>> binary_labels([[0.0], [1.0]], 2, "y.npy")
    [0, 1]
    >>> binary_labels([[1, 0], [0, 1], [0, 1]], 3, "y.npy")
    [0, 1, 1]
    """
    array = np.asarray(values)
    if not classes and array.size == 2 * count and array.shape[-1:] == (2,) and array.dtype.kind in "biuf":
        rows = array.reshape(-1, 2)
        wrong = np.flatnonzero(~(np.isin(rows, (0, 1)).all(axis=1) & (rows.sum(axis=1) == 1)))
        if len(wrong):
            raise DataError(f"{where} row {wrong[0]}: {rows[wrong[0]].tolist()} is not a one-hot label of two classes")
        return rows[:, 1].astype(int).tolist()
    if array.size != count:
        raise DataError(
            f"{where}: labels of shape {array.shape} for {plural(count, 'patch')}; expected one label per patch, "
            "or one-hot labels of two classes"
        )
    flat = array.reshape(-1)
    if classes:
        names, name_of_row = np.unique([_text(value) for value in flat.tolist()], return_inverse=True)
        known = [class_of(name, classes) for name in names]
        return [known[number] for number in name_of_row]
    if flat.dtype.kind in "biuf":
        labels = np.where(np.isin(flat, (0, 1)), flat, np.nan)
    else:
        names, name_of_row = np.unique([_text(value) for value in flat.tolist()], return_inverse=True)
        labels = np.array([_label_or_nan(name) for name in names])[name_of_row]
    wrong = np.flatnonzero(np.isnan(labels))
    if len(wrong):
        raise DataError(
            f"{where} row {wrong[0]}: label {_text(flat[wrong[0]])} is neither 0 nor 1; correct it, or define the "
            "classes with --classes"
        )
    return labels.astype(int).tolist()


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _label_or_nan(text: str) -> float:
    try:
        label = label_of(text)
    except ValueError:
        label = None
    return float("nan") if label is None else label
