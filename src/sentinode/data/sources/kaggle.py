"""Kaggle's histopathologic-cancer-detection: ``train/<id>.tif`` with ``train_labels.csv``, ``test/<id>.tif``."""

import numpy as np

from sentinode.data.io.csv import FIRST_ROW, read_csv
from sentinode.data.io.files import Files, is_image
from sentinode.data.io.images import ImageFiles
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import ReadOptions, Skipped

FORM = "Kaggle's layout: train/*.tif, train_labels.csv, test/*.tif"

LABELS = "train_labels.csv"
# An all-black patch and one that many call corrupt: users often delete them and leave their rows in the csv,
# or drop the rows and leave the files.
ODD_IDS = ("9369c7278ec8bcc6c880d99194de09fc2bd4efbe", "dd6dfed324f9fcb6f93f46f32fc800f2ec196be2")


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open Kaggle's layout; None when there is no ``train_labels.csv`` beside a ``train`` folder.

    Left out, and to be refused by who asks for all: labels other than 0 and 1, an id that comes twice, a named file
    that is missing, a file without a label.

    Raises
    ------
    DataError
        The csv cannot be read.
    """
    base = _base(files)
    if base is None:
        return None
    skipped: list[Skipped] = []
    labels = _read_labels(files, base + LABELS, skipped)
    train, notes = _match(files, base, labels, skipped)
    test = [name for name in files.names if is_image(name) and name.startswith(f"{base}test/")]
    names = list(train) + test
    return PatchSet(
        kind=f"Kaggle's histopathologic-cancer-detection{files.container}",
        path=files.where,
        table=patch_table(
            names,
            [*train.values(), *[None] * len(test)],
            split=["train"] * len(train) + ["test"] * len(test),
        ),
        pixels=ImageFiles(files, names, options),
        rows=np.arange(len(names)),
        notes=tuple(notes),
        skipped=tuple(skipped),
    )


def _base(files: Files) -> str | None:
    for name in files.names:
        if name.split("/")[-1] == LABELS and name.count("/") <= 1:
            base = name.removesuffix(LABELS)
            if any(is_image(other) for other in files.names if other.startswith(f"{base}train/")):
                return base
    return None


def _read_labels(files: Files, name: str, skipped: list[Skipped]) -> dict[str, tuple[int, int]]:
    """Return label and csv row of every id."""
    where = files.locate(name)
    table = read_csv(files.read(name), ["id", "label"], where)
    labels: dict[str, tuple[int, int]] = {}
    for row, (patch, label) in enumerate(zip(table["id"], table["label"], strict=True), FIRST_ROW):
        if not patch and not label:
            continue  # An empty line.
        if label not in ("0", "1"):
            wrong = f"label {label!r} of {patch!r} is neither 0 nor 1; mend or drop the row"
        elif patch in labels:
            wrong = f"id {patch!r} came before; keep one of its rows"
        else:
            labels[patch] = (int(label), row)
            continue
        skipped.append(Skipped(patch, f"{where} row {row}: {wrong}"))
    return labels


def _match(
    files: Files, base: str, labels: dict[str, tuple[int, int]], skipped: list[Skipped]
) -> tuple[dict[str, int], list[str]]:
    """Pair files with labels, in the order of the files; say what was left out."""
    notes = []
    names: dict[str, str] = {}
    known_bad = {each.id for each in skipped}
    for name in files.names:
        if _is_train(name, base):
            patch = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
            if patch in names:
                wrong = f"its id is that of {names[patch]} as well; keep one of the two"
                skipped.append(Skipped(name, f"{files.locate(name)}: {wrong}"))
            else:
                names[patch] = name
    for odd in ODD_IDS:
        if (odd in names) != (odd in labels):
            missing = "its row is not in the csv" if odd in names else "its file is not there"
            notes.append(f"{odd}, known to be odd, is left out: {missing}")
            names.pop(odd, None)
            labels.pop(odd, None)
    for patch, (_, row) in labels.items():
        if patch not in names:
            wrong = f"there is no {base}train/{patch}.tif; unpack the whole archive, or drop the row"
            skipped.append(Skipped(patch, f"{files.locate(base + LABELS)} row {row}: {wrong}"))
    for patch, name in names.items():
        if patch not in labels and patch not in known_bad:
            wrong = f"no label in {base}{LABELS}; add its row or take the file out"
            skipped.append(Skipped(name, f"{files.locate(name)}: {wrong}"))
    return {name: labels[patch][0] for patch, name in names.items() if patch in labels}, notes


def _is_train(name: str, base: str) -> bool:
    return is_image(name) and name.startswith(f"{base}train/")
