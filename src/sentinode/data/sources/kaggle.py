"""Kaggle's histopathologic-cancer-detection: ``train/<id>.tif`` with ``train_labels.csv``, ``test/<id>.tif``."""

import numpy as np

from sentinode.data.io.csv import FIRST_ROW, read_csv
from sentinode.data.io.files import Files, image_names, is_image, without_image_ending
from sentinode.data.io.images import ImageFiles
from sentinode.data.labels import label_of
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import ReadOptions, Skipped

FORM = "Kaggle's layout: train/*.tif, train_labels.csv, test/*.tif"

LABELS = "train_labels.csv"
# An all-black patch and one that many call corrupt: users often delete the files and leave their rows in the csv, or
# delete the rows and leave the files.
ODD_IDS = ("9369c7278ec8bcc6c880d99194de09fc2bd4efbe", "dd6dfed324f9fcb6f93f46f32fc800f2ec196be2")


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open Kaggle's layout.

    Rows and files that do not fit each other are listed in ``skipped``, which `open_patches` treats as an error unless
    it may skip them.

    Parameters
    ----------
    files : Files
        The source.
    options : ReadOptions
        How patches are read.

    Returns
    -------
    PatchSet or None
        None when there is no ``train_labels.csv`` beside a folder ``train``.

    Raises
    ------
    DataError
        The csv cannot be read.
    """
    base = _base(files)
    if base is None:
        return None
    images, notes = image_names(files)
    skipped: list[Skipped] = []
    labels = _read_labels(files, base + LABELS, options, skipped)
    train = _match(files, base, images, labels, skipped, notes)
    test = [name for name in images if name.startswith(f"{base}test/")]
    names = [*train, *test]
    return PatchSet(
        kind=f"Kaggle's histopathologic-cancer-detection{files.container}",
        path=files.where,
        table=patch_table(
            names, [*train.values(), *[None] * len(test)], split=["train"] * len(train) + ["test"] * len(test)
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


def _read_labels(
    files: Files, name: str, options: ReadOptions, skipped: list[Skipped]
) -> dict[str, tuple[int | None, int]]:
    """Return label and row number of every id."""
    where = files.locate(name)
    table = read_csv(files.read(name), ["id", "label"], where)
    labels: dict[str, tuple[int | None, int]] = {}
    for row, (name_of_patch, text) in enumerate(zip(table["id"], table["label"], strict=True), FIRST_ROW):
        patch = without_image_ending(name_of_patch)
        if not patch and not text:
            continue  # An empty line.
        try:
            if patch in labels:
                raise ValueError(f"id {patch!r} is repeated; keep one of its rows")
            labels[patch] = label_of(text, options.classes), row
        except ValueError as error:
            skipped.append(Skipped(patch, f"{where} row {row}: {error}"))
    return labels


def _match(
    files: Files,
    base: str,
    images: list[str],
    labels: dict[str, tuple[int | None, int]],
    skipped: list[Skipped],
    notes: list[str],
) -> dict[str, int | None]:
    """Return the label of every training image, in the order of the files."""
    names: dict[str, str] = {}
    known_bad = {each.id for each in skipped}
    for name in images:
        if name.startswith(f"{base}train/"):
            patch = without_image_ending(name.rsplit("/", 1)[-1])
            if patch in names:
                reason = f"{names[patch]} has the same id; keep one of the two"
                skipped.append(Skipped(name, f"{files.locate(name)}: {reason}"))
            else:
                names[patch] = name
    for odd in ODD_IDS:
        if (odd in names) != (odd in labels):
            missing = "its row is missing in the csv" if odd in names else "its file is missing"
            notes.append(f"{odd}, a patch known as odd, is left out: {missing}")
            names.pop(odd, None)
            labels.pop(odd, None)
    for patch, (_, row) in labels.items():
        if patch not in names:
            reason = f"there is no {base}train/{patch}.tif; unpack the whole archive, or remove the row"
            skipped.append(Skipped(patch, f"{files.locate(base + LABELS)} row {row}: {reason}"))
    for patch, name in names.items():
        if patch not in labels and patch not in known_bad:
            reason = f"no label in {base}{LABELS}; add its row or remove the file"
            skipped.append(Skipped(name, f"{files.locate(name)}: {reason}"))
    return {name: labels[patch][0] for patch, name in names.items() if patch in labels}
