"""What a scan found, as the page draws it: the heat map as values, and outlines of lesions."""

from typing import Any

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.extras import optional
from sentinode.slides.results.files import LESIONS, LOG_ODDS
from sentinode.slides.results.heatmap import Heatmap
from sentinode.slides.results.lesions import OUTLINE_FROM
from sentinode.storage import read_json
from sentinode.viewer.catalogue import Result

NOT_SCANNED, _MOST = 255, 254
# What the page shows of a summary, of its grid and of its lesions.
_RESULT = ("model", "slide_score", "tissue_mm2", "largest_lesion_mm", "warnings")
_GRID = ("origin_px", "step_level0_px", "step_um")
_LESION = ("lesion_class", "max_probability", "area_mm2", "diameter_mm")


def describe_result(result: Result) -> dict[str, Any]:
    """Return what a scan found, without the lesions themselves."""
    rows, columns = _shape(result)
    return {
        "id": result.id,
        "threshold": OUTLINE_FROM,
        **{name: result.summary[name] for name in _RESULT},
        "grid": {"rows": rows, "columns": columns, **{name: result.summary["grid"][name] for name in _GRID}},
    }


def heatmap_bytes(heatmap: Heatmap) -> UInt8Array:
    """Return 0 to 254 for probabilities 0 to 1, and 255 where nothing was scanned."""
    scanned = ~np.isnan(heatmap.log_odds)
    values = np.full(heatmap.log_odds.shape, NOT_SCANNED, np.uint8)
    values[scanned] = np.rint(_MOST * heatmap.probability[scanned])
    return values


def lesions(result: Result, offset_px: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the lesions of a scan with their outlines in level-0 px."""
    shapely = optional("shapely", "slides")
    features = read_json(result.folder / LESIONS)["features"]
    found = []
    # The file counts from the corner of the scanned part, as QuPath does.
    offset = np.asarray(offset_px, float)
    for lesion, feature in zip(result.summary["lesions"], features, strict=True):
        shape = shapely.transform(shapely.geometry.shape(feature["geometry"]), lambda points: points + offset)
        measures = {name: lesion[name] for name in _LESION}
        found.append({"id": feature["id"], **measures, "polygon": shapely.geometry.mapping(shape)})
    return found


def _shape(result: Result) -> tuple[int, int]:
    """Return rows and columns of the heat map from the header of its file."""
    with (result.folder / LOG_ODDS).open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
    return int(shape[0]), int(shape[1])
