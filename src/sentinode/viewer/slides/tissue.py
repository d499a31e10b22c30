"""The outline of a slide's tissue, as the page draws it."""

from typing import Any

import numpy as np

from sentinode.extras import optional
from sentinode.slides.annotations.outlines import mask_polygons
from sentinode.slides.slide import Slide
from sentinode.slides.tissue import find_tissue

# Of the tissue's outline, in pixels of the overview that it is found on.
_TOLERANCE_PX = 1.5


def tissue_outline(slide: Slide) -> dict[str, Any]:
    """Return the outline of a slide's tissue as a GeoJSON MultiPolygon in level-0 px."""
    shapely = optional("shapely", "slides")
    tissue = find_tissue(slide)
    parts = [shapely.make_valid(part.simplify(_TOLERANCE_PX)) for part in mask_polygons(tissue.mask)]
    scaled = shapely.transform(
        shapely.union_all(parts), lambda points: np.round((points + 0.5) * tissue.pixel_level0_px)
    )
    polygons = [part for part in shapely.get_parts(scaled) if part.geom_type == "Polygon"]
    mapping: dict[str, Any] = shapely.geometry.mapping(shapely.MultiPolygon(polygons))
    return mapping
