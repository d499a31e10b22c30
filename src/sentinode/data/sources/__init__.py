"""One module per source format, each with ``open_source(files, options) -> PatchSet | None``.

None means that the source has another format. Formats are tried in the order of `SOURCES`, the most specific first,
so that data which fit two formats are always read in the same one. A new format is a new module and a line here.
"""

from collections.abc import Callable

from sentinode.data.io.files import Files
from sentinode.data.patchset import PatchSet
from sentinode.data.sources import arrays, class_folders, images, kaggle, parquet, table, webdataset, wilds
from sentinode.data.types import ReadOptions

Source = Callable[[Files, ReadOptions], PatchSet | None]

SOURCES: tuple[tuple[str, Source], ...] = (
    (kaggle.FORM, kaggle.open_source),
    (wilds.FORM, wilds.open_source),
    (webdataset.FORM, webdataset.open_source),
    (class_folders.FORM, class_folders.open_source),
    (arrays.FORM, arrays.open_source),
    (parquet.FORM, parquet.open_source),
    (table.FORM, table.open_source),
    (images.FORM, images.open_source),
)
