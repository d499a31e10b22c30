"""What labels and splits are called where patches come from."""

from typing import Any

import numpy as np

from sentinode.errors import DataError

SPLITS = {
    "train": "train", "training": "train",
    "valid": "valid", "val": "valid", "validation": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
CLASSES = {
    "0": 0, "normal": 0, "negative": 0, "benign": 0, "healthy": 0, "no_tumor": 0, "no_tumour": 0, "non_tumor": 0,
    "1": 1, "tumor": 1, "tumour": 1, "positive": 1, "malignant": 1, "metastasis": 1, "metastatic": 1, "cancer": 1,
}  # fmt: skip
SPLIT_ORDER = ("train", "valid", "test", None)


def binary_labels(values: Any, where: str) -> list[int]:
    """Return an array of labels, of any shape with one number a patch, as plain integers.

    Raises
    ------
    DataError
        One is neither 0 nor 1; `where` and the row are named.

    Examples
    --------
    >>> import numpy as np
    >>> binary_labels(np.array([[0.0], [1.0]]), "y.npy")
    [0, 1]
    """
    flat = np.asarray(values).reshape(-1)
    wrong = np.flatnonzero(~np.isin(flat, (0, 1)))
    if len(wrong):
        raise DataError(f"{where} row {wrong[0]}: label {flat[wrong[0]]} is neither 0 nor 1; mend it or fetch it again")
    return flat.astype(int).tolist()
