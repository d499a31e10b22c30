"""Outlines of annotations as valid polygons, and notes of what was repaired or left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinode.extras import optional

# Class name of an annotation without a class.
UNCLASSIFIED = "None"


@dataclass(frozen=True)
class Drawn:
    """One annotation: what it is called in messages, its class name and those above it, and its area."""

    title: str
    names: tuple[str, ...]
    shape: Any


def polygon(rings: Sequence[NDArray[np.float64]], notes: Counter[str]) -> Any | None:
    """Return a valid polygon of an outline and its holes; None where it has no area."""
    shapely = optional("shapely", "slides")
    if not rings or len(np.unique(rings[0], axis=0)) < 3:
        notes["left out, with fewer than three points"] += 1
        return None
    shape = shapely.Polygon(rings[0], [ring for ring in rings[1:] if len(np.unique(ring, axis=0)) > 2])
    if not shape.is_valid:
        # Where an outline runs around a place twice it is inside, as in masks that ASAP makes of it.
        shape = areas(shapely.make_valid(shape, method="structure", keep_collapsed=False))
        notes["repaired, with lines that cross"] += 1
    if shape.area == 0:
        notes["left out, without area"] += 1
        return None
    return shape


def areas(shape: Any) -> Any:
    """Return the polygons of a geometry, without the lines and points that repairs leave."""
    shapely = optional("shapely", "slides")
    parts = [part for part in shapely.get_parts(shape) if part.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(parts) if len(parts) != 1 else parts[0]


def mask_polygons(mask: NDArray[np.bool_]) -> list[Any]:
    """Return the outlines of a mask with their holes, half-way between its cells and those around.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)

    Returns
    -------
    list of shapely.Polygon
        x counts columns and y counts rows; cells have their centers at whole numbers. Not always valid: corners may
        touch.
    """
    from contourpy import FillType, contour_generator

    shapely = optional("shapely", "slides")
    generator = contour_generator(z=np.pad(mask, 1).astype(float), fill_type=FillType.OuterOffset)
    points, offsets, *_ = generator.filled(0.5, 2.0)
    polygons = []
    for ring, offset in zip(points, offsets, strict=True):
        if ring is None or offset is None:  # Not with this kind of filling.
            continue
        rings = [ring[start:end] - 1 for start, end in pairwise(offset)]
        polygons.append(shapely.Polygon(rings[0], rings[1:]))
    return polygons


def describe_notes(notes: Mapping[str, int], left_out: Mapping[str, int]) -> list[str]:
    """Say how many outlines were repaired, and how many annotations of each kind were left out."""
    found = [f"{count} {'outline' if count == 1 else 'outlines'} {what}" for what, count in notes.items()]
    return found + (
        [f"left out: {', '.join(f'{count} {name}' for name, count in left_out.items())}"] if left_out else []
    )
