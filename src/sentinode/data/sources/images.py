"""Images without labels: a folder, a list, a glob."""

import numpy as np

from sentinode.data.io.files import Files, is_image
from sentinode.data.io.images import ImageFiles
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import ReadOptions

FORM = "images without labels: a folder, files or a glob of jpg, png, tif"


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open every image as a patch without a label; None when there is no image."""
    names = [name for name in files.names if is_image(name)]
    if not names:
        return None
    tables = [name for name in files.names if name.lower().endswith(".csv") and "/" not in name]
    return PatchSet(
        kind=f"images without labels{files.container}",
        path=files.where,
        table=patch_table(names),
        pixels=ImageFiles(files, names, options),
        rows=np.arange(len(names)),
        notes=tuple(f"{name} is not looked at; --table names a csv that says more of the images" for name in tables),
    )
