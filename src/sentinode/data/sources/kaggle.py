"""Kaggle's histopathologic-cancer-detection: ``train/<id>.tif`` with ``train_labels.csv``, ``test/<id>.tif``."""

import io

import numpy as np
import pandas as pd

from sentinode.data.files import Files, is_image
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.pixels import Fit, ImageFiles
from sentinode.errors import DataError, first_line

FORM = "Kaggle's layout: train/*.tif, train_labels.csv, test/*.tif"

LABELS = "train_labels.csv"
# An all-black patch and one that many call corrupt: users often delete them and leave their rows in the csv,
# or drop the rows and leave the files.
ODD_IDS = ("9369c7278ec8bcc6c880d99194de09fc2bd4efbe", "dd6dfed324f9fcb6f93f46f32fc800f2ec196be2")


def open_source(files: Files, fit: Fit) -> PatchSet | None:
    """Open Kaggle's layout; None when there is no ``train_labels.csv`` beside a ``train`` folder.

    Raises
    ------
    DataError
        A label is not 0 or 1, an id comes twice, a named file is missing, a file has no label.
    """
    base = _base(files)
    if base is None:
        return None
    labels = _read_labels(files, base + LABELS)
    train, notes = _match(files, base, labels)
    test = [name for name in files.names if is_image(name) and name.startswith(f"{base}test/")]
    names = list(train) + test
    return PatchSet(
        kind=f"Kaggle's histopathologic-cancer-detection{files.in_words}",
        path=files.where,
        table=patch_table(
            names,
            [*train.values(), *[None] * len(test)],
            split=["train"] * len(train) + ["test"] * len(test),
        ),
        pixels=ImageFiles(files, names, fit),
        rows=np.arange(len(names)),
        notes=tuple(notes),
    )


def _base(files: Files) -> str | None:
    for name in files.names:
        if name.split("/")[-1] == LABELS and name.count("/") <= 1:
            base = name.removesuffix(LABELS)
            if any(is_image(other) for other in files.names if other.startswith(f"{base}train/")):
                return base
    return None


def _read_labels(files: Files, name: str) -> dict[str, tuple[int, int]]:
    """Return label and csv row of every id."""
    where = files.locate(name)
    try:
        table = pd.read_csv(
            io.BytesIO(files.read(name)),
            dtype="str",
            keep_default_na=False,
            encoding="utf-8-sig",
            skip_blank_lines=False,  # Rows are numbered as an editor shows them.
        )
    except (ValueError, UnicodeDecodeError) as error:
        reason = first_line(error)
        raise DataError(f"{where}: not a readable csv ({reason}); fetch it again") from error
    if not {"id", "label"} <= set(table.columns):
        raise DataError(f"{where}: columns {', '.join(map(str, table.columns))}, where id and label are expected")
    labels: dict[str, tuple[int, int]] = {}
    for row, (patch, label) in enumerate(
        zip(table["id"].str.strip(), table["label"].str.strip(), strict=True), start=2
    ):
        if not patch and not label:
            continue  # An empty line.
        if label not in ("0", "1"):
            raise DataError(f"{where} row {row}: label {label!r} of {patch!r} is neither 0 nor 1; mend or drop the row")
        if patch in labels:
            raise DataError(f"{where} row {row}: id {patch!r} came before; keep one of its rows")
        labels[patch] = (int(label), row)
    return labels


def _match(files: Files, base: str, labels: dict[str, tuple[int, int]]) -> tuple[dict[str, int], list[str]]:
    """Pair files with labels, in the order of the files; say what was left out."""
    notes = []
    names: dict[str, str] = {}
    for name in files.names:
        if _is_train(name, base):
            patch = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
            if patch in names:
                raise DataError(f"{files.locate(name)}: its id is that of {names[patch]} as well; keep one of the two")
            names[patch] = name
    for odd in ODD_IDS:
        if (odd in names) != (odd in labels):
            missing = "its row is not in the csv" if odd in names else "its file is not there"
            notes.append(f"{odd}, known to be odd, is left out: {missing}")
            names.pop(odd, None)
            labels.pop(odd, None)
    for patch, (_, row) in labels.items():
        if patch not in names:
            raise DataError(
                f"{files.locate(base + LABELS)} row {row}: there is no {base}train/{patch}.tif; "
                "unpack the whole archive, or drop the row"
            )
    for patch, name in names.items():
        if patch not in labels:
            raise DataError(f"{files.locate(name)}: no label in {base}{LABELS}; add its row or take the file out")
    return {name: labels[patch][0] for patch, name in names.items()}, notes


def _is_train(name: str, base: str) -> bool:
    return is_image(name) and name.startswith(f"{base}train/")
