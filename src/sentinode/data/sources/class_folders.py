"""Class folders: ``{train,valid,test}/{0,1}/*.jpg``, as the course and most of the field lay patches out.

Folders above the split, such as the course's ``train+val``, do not matter. Without a split folder the patches
have no split. Images right under ``test`` are patches without labels.
"""

import numpy as np

from sentinode.data.io.files import Files, is_image
from sentinode.data.io.images import ImageFiles
from sentinode.data.labels import CLASSES, SPLITS
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import ReadOptions, Skipped
from sentinode.errors import DataError

FORM = "class folders: {train,valid,test}/{0,1}/*.jpg|png|tif"


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open class folders; None when no folder is named like a class.

    Left out, and to be refused by who asks for all: what lies in a folder of another name where a class is expected,
    or outside ``test`` in none.
    """
    names = [name for name in files.names if is_image(name)]
    found = [_split_and_class(name) for name in names]
    if not any(folder is not None and folder.lower() in CLASSES for _, folder in found):
        return None
    known: dict[str, tuple[int | None, str | None]] = {}
    skipped: list[Skipped] = []
    for name, (split, folder) in zip(names, found, strict=True):
        try:
            known[name] = _label(files, name, split, folder), split
        except DataError as error:
            skipped.append(Skipped(name, str(error)))
    labels, splits = zip(*known.values(), strict=True)
    return PatchSet(
        kind=f"class folders{files.container}",
        path=files.where,
        table=patch_table(list(known), labels, split=splits),
        pixels=ImageFiles(files, list(known), options),
        rows=np.arange(len(known)),
        skipped=tuple(skipped),
    )


def _split_and_class(name: str) -> tuple[str | None, str | None]:
    """Return the split (if any folder is named like one) and the name of the folder below it."""
    folders = name.split("/")[:-1]
    for depth, folder in enumerate(folders):
        if folder.lower() in SPLITS:
            below = folders[depth + 1] if depth + 1 < len(folders) else None
            return SPLITS[folder.lower()], below
    for folder in folders:
        if folder.lower() in CLASSES:
            return None, folder
    return None, folders[0] if folders else None


def _label(files: Files, name: str, split: str | None, folder: str | None) -> int | None:
    if folder is not None and folder.lower() in CLASSES:
        return CLASSES[folder.lower()]
    if folder is None and split == "test":
        return None
    where = files.locate(name)
    if folder is None:
        raise DataError(f"{where}: no label, it lies in no class folder; move it into 0 (normal) or 1 (tumour)")
    raise DataError(
        f"{where}: folder {folder!r} is neither 0 nor 1 (or normal, tumour); "
        "two classes are expected: rename the folder or take it out"
    )
