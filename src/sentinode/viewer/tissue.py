"""The outline of a slide's tissue, as the page draws it."""

from itertools import pairwise
from typing import Any

import numpy as np

from sentinode.extras import optional
from sentinode.slides.slide import Slide
from sentinode.slides.tissue import find_tissue

# Of the tissue's outline, in pixels of the overview that it is found on.
_TOLERANCE_PX = 1.5


def tissue_outline(slide: Slide) -> dict[str, Any]:
    """Return the outline of a slide's tissue as a GeoJSON MultiPolygon in level-0 px."""
    from contourpy import FillType, contour_generator

    shapely = optional("shapely", "slides")
    tissue = find_tissue(slide)
    generator = contour_generator(z=np.pad(tissue.mask, 1).astype(float), fill_type=FillType.OuterOffset)
    points, offsets, *_ = generator.filled(0.5, 2.0)
    parts = []
    for ring, offset in zip(points, offsets, strict=True):
        if ring is None or offset is None:  # Not with this kind of filling.
            continue
        rings = [ring[start:end] for start, end in pairwise(offset)]
        parts.append(shapely.Polygon(rings[0], rings[1:]).simplify(_TOLERANCE_PX))
    outline = shapely.union_all([shapely.make_valid(part) for part in parts])
    # The mask was padded by a pixel, and its values stand for the centers of its pixels.
    scaled = shapely.transform(outline, lambda each: np.round((each - 0.5) * tissue.pixel_level0_px))
    polygons = [part for part in shapely.get_parts(scaled) if part.geom_type == "Polygon"]
    mapping: dict[str, Any] = shapely.geometry.mapping(shapely.MultiPolygon(polygons))
    return mapping
