"""Read masks of slides: TIFF with one channel, whose values are classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinode.data.labels import Classes, class_of
from sentinode.data.types import PATCH_SPACING_UM_PX
from sentinode.errors import DataError, first_line
from sentinode.extras import optional
from sentinode.slides.annotations.outlines import areas
from sentinode.slides.slide import Slide

# Widths and heights of a mask's levels are rounded.
_LARGEST_DISTORTION = 0.01


def read_mask(
    path: Path, slide: Slide | None, classes: Classes
) -> tuple[dict[str, Any], dict[str, int | None], tuple[str, ...]]:
    """Read a mask TIFF.

    Parameters
    ----------
    path, slide, classes
        See `read_annotations`.

    Returns
    -------
    regions : dict of str to shapely geometry
        For each mask value that is tumour or normal the union of its pixels in level-0 px.
    classes : dict of str to {0, 1, None}
        For each mask value whether it is tumour; None where `classes` do not name it.
    notes : tuple of str
        What was left out.

    Raises
    ------
    DataError
        The file is damaged, a value is not known, or the mask has another shape than the slide.
    """
    shapely = optional("shapely", "slides")
    tifffile = optional("tifffile", "slides")
    optional("imagecodecs", "slides")
    boxes: dict[int, list[NDArray[np.int64]]] = {}
    try:
        with tifffile.TiffFile(path) as file:
            pages = [level.pages[0] for level in max(file.series, key=lambda each: np.prod(each.shape)).levels]
            page, scale = _mask_level(path, pages, slide)
            for values, index, shape in page.segments():
                if values is not None:
                    tile = np.asarray(values).reshape(shape)[0, ..., 0]
                    for value in np.unique(tile[tile > 0]).tolist():
                        boxes.setdefault(value, []).append(_runs(tile == value) + np.tile([index[3], index[2]], 2))
    except DataError:
        raise
    except Exception as error:  # A damaged TIFF raises whatever its tags make fail.
        raise DataError(
            f"{path}: not a readable mask ({first_line(error)}); the file may be truncated; copy it again"
        ) from error
    labels = _mask_classes(path, sorted(boxes), classes)
    regions = {}
    for value, parts in boxes.items():
        if labels[value] is not None:
            ends = np.concatenate(parts) * np.tile(scale, 2)
            regions[str(value)] = areas(shapely.union_all(shapely.box(*ends.T)))
    others = [str(value) for value in sorted(boxes) if labels[value] != 1]
    notes = (f"mask values that are not tumour: {', '.join(others)}",) if others else ()
    return regions, {str(value): label for value, label in labels.items()}, notes


def _mask_level(path: Path, pages: Sequence[Any], slide: Slide | None) -> tuple[Any, NDArray[np.float64]]:
    """Return the coarsest level as fine as patches, and the level-0 px of the slide along one of its pixels."""
    for page in pages:
        if page.dtype != np.uint8 or page.planarconfig != 1:
            raise DataError(f"{path}: pixels of {page.dtype}; a mask has one channel of 8 bits")
    size = (slide.levels[0].width_px, slide.levels[0].height_px) if slide else pages[0].shape[1::-1]
    scales = [np.array([size[0] / page.imagewidth, size[1] / page.imagelength]) for page in pages]
    rounding = 2 / min(pages[0].shape[:2])
    if abs(scales[0][0] / scales[0][1] - 1) > max(_LARGEST_DISTORTION, rounding):
        raise DataError(
            f"{path}: mask of {pages[0].imagewidth} × {pages[0].imagelength} px does not match the aspect ratio of the "
            f"slide ({size[0]} × {size[1]} px); check that it belongs to this slide"
        )
    target = PATCH_SPACING_UM_PX / slide.spacing_um_px if slide else 1.0
    fine = [number for number, scale in enumerate(scales) if scale.max() <= 1.05 * target]
    number = max(fine, default=0)
    return pages[number], scales[number]


def _mask_classes(path: Path, values: Sequence[int], classes: Classes) -> dict[int, int | None]:
    if classes:
        return {value: class_of(str(value), classes) for value in values}
    if set(values) <= {255}:
        return dict.fromkeys(values, 1)
    if 2 in values and set(values) <= {1, 2}:
        return {1: 0, 2: 1}
    raise DataError(
        f"{path}: mask values {', '.join(map(str, values[:9]))}; known are 255 (tumour), or 1 (normal) with 2 "
        f"(tumour); define the others, for example --classes '{values[-1]}=1'"
    )


def _runs(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return x0, y0, x1, y1 of boxes that cover a mask: the whole, or the runs of each row."""
    if mask.all():
        return np.array([[0, 0, mask.shape[1], mask.shape[0]]], np.int64)
    changes = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(changes == 1)
    ends = np.nonzero(changes == -1)[1]
    return np.stack([starts, rows, ends, rows + 1], axis=1).astype(np.int64)
