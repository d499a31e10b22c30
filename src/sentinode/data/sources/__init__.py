"""One module a form in which patches are met, all alike: ``open_source(files, options) -> PatchSet | None``.

``None`` says "not mine". They are tried in the order of `SOURCES`, the most particular first, so that a folder
that could be read in two ways is always read in the same one. A new form is a new module and a line here.
"""

from collections.abc import Callable

from sentinode.data.io.files import Files
from sentinode.data.patchset import PatchSet
from sentinode.data.sources import arrays, class_folders, images, kaggle, pcam_hdf5, table, wilds
from sentinode.data.types import ReadOptions

Source = Callable[[Files, ReadOptions], PatchSet | None]

SOURCES: tuple[tuple[str, Source], ...] = (
    (pcam_hdf5.FORM, pcam_hdf5.open_source),
    (kaggle.FORM, kaggle.open_source),
    (wilds.FORM, wilds.open_source),
    (class_folders.FORM, class_folders.open_source),
    (arrays.FORM, arrays.open_source),
    (table.FORM, table.open_source),
    (images.FORM, images.open_source),
)
