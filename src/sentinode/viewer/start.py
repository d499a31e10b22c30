"""Open the targets of a viewer."""

from collections.abc import Callable
from pathlib import Path

from sentinode.errors import DataError
from sentinode.output_paths import check_output_folder
from sentinode.samples import DEFAULT_MODEL
from sentinode.viewer.annotations.annotations import AnnotationStore
from sentinode.viewer.catalogue import Catalogue
from sentinode.viewer.gallery import open_gallery
from sentinode.viewer.model import ModelWorker
from sentinode.viewer.scans import ScanQueue
from sentinode.viewer.slides.readers import SlideReaders
from sentinode.viewer.slides.tiles import ByteCache
from sentinode.viewer.targets import Targets
from sentinode.viewer.viewer import Viewer

_CACHE_BYTES = 32_000_000
_JPEG_QUALITY = 80


def start_viewer(
    targets: Targets,
    out: str | Path,
    *,
    spacing: Callable[[Path], float | None] = lambda path: None,
    user: str = "anonymous",
    read_only: bool = False,
    show_names: bool = False,
    jpeg_quality: int = _JPEG_QUALITY,
    cache_bytes: int = _CACHE_BYTES,
    processes: int | None = None,
) -> Viewer:
    """Open the targets of a viewer.

    Parameters
    ----------
    targets : Targets
        From `sort_targets`.
    out : str or Path
        Folder of decisions, and of scans that are started from the page; made when something is saved.
    spacing : callable
        Returns the µm per pixel of a slide's file, or None where the file says it.
    user : str
        Recorded with decisions.
    read_only : bool
        Whether decisions and scans are refused.
    show_names : bool
        Whether the page may show the names of files.
    jpeg_quality : int
        Of tiles.
    cache_bytes : int
        Bytes of encoded tiles kept in memory.
    processes : int, optional
        Processes that read slides; see `SlideReaders`.

    Returns
    -------
    Viewer

    Raises
    ------
    DataError
        A slide is missing, or results were named without their slides.
    """
    out = Path(out) if read_only else check_output_folder(out)
    for path in targets.slides:
        if not path.is_file():
            raise DataError(f"{path}: there is no such file")
    if targets.results and not targets.slides:
        raise DataError(f"{targets.results[0]}: contains results of scans; specify the slides or their folder as well")
    gallery = None
    if targets.patches is not None:
        gallery = open_gallery(targets.patches, targets.predictions, out, user, show_names)
    elif targets.predictions is not None:
        raise DataError(f"{targets.predictions}: contains predictions; specify the patches as well")
    readers = SlideReaders(processes)
    catalogue = Catalogue(targets, out, spacing, readers, show_names)
    model = targets.model or DEFAULT_MODEL
    return Viewer(
        catalogue=catalogue,
        readers=readers,
        store=AnnotationStore(out, user),
        cache=ByteCache(cache_bytes),
        user=user,
        read_only=read_only,
        show_names=show_names,
        jpeg_quality=jpeg_quality,
        model=ModelWorker(model, targets.patches),
        gallery=gallery,
        scans=None if read_only else ScanQueue(catalogue, model, out, spacing),
    )
