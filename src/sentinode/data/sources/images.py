"""Images without labels: a folder, a list or a pattern."""

import re

import numpy as np

from sentinode.data.grouping import is_patient
from sentinode.data.io.files import Files, image_names
from sentinode.data.io.images import ImageFiles
from sentinode.data.labels import SPLITS, UNLABELED, likely_class
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import ReadOptions

FORM = "images without labels: a folder, files or a pattern"

# Camelyon17-WILDS stores a meaningless alpha channel.
_WILDS_NAME = re.compile(r"(?:.*/)?patch_patient_\d{3}_node_\d_x_\d+_y_\d+\.png$")


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open every image as a patch without a label.

    Parameters
    ----------
    files : Files
        The source.
    options : ReadOptions
        How patches are read.

    Returns
    -------
    PatchSet or None
        None when there is no image.
    """
    names, notes = image_names(files)
    if not names:
        return None
    tables = [name for name in files.names if name.lower().endswith(".csv") and "/" not in name]
    notes += [f"{name} is not read; --table {name} uses it as the metadata of the images" for name in tables]
    hint = _hint(names)
    return PatchSet(
        kind=f"images without labels{files.container}",
        path=files.where,
        table=patch_table(names),
        pixels=ImageFiles(files, names, options, ignore_alpha=all(_WILDS_NAME.match(name) for name in names)),
        rows=np.arange(len(names)),
        notes=(*notes, *([hint] if hint else [])),
        label_hint=hint,
    )


def _hint(names: list[str]) -> str:
    """Return how to label images whose folders may be classes."""
    folders = sorted({name.split("/")[-2] for name in names if "/" in name})
    folders = [each for each in folders if each.lower() not in {*SPLITS, *UNLABELED} and not is_patient(each)]
    if len(folders) < 2 or len(folders) > 50:
        return ""
    shown = ", ".join(folders[:9]) + (", …" if len(folders) > 9 else "")
    tumour = [each for each in folders if likely_class(each) == 1]
    if len(tumour) == 1:
        others = "*" if len(folders) > 2 else next(each for each in folders if each not in tumour)
        remedy = f"--classes {tumour[0]}=1,{others}=0"
    else:
        remedy = "--classes NAME=1,*=0, where NAME is the folder of the tumour patches"
    return f"folder names {shown} are not recognized as classes; if they are classes, use {remedy}"
