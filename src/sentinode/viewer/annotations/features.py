"""Features of GeoJSON, as QuPath writes them, with what the viewer adds: who decided what, and when."""

import math
import uuid
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from sentinode.errors import first_line
from sentinode.extras import optional
from sentinode.slides.results.lesions import TUMOUR_COLOR
from sentinode.viewer.errors import ViewerError

AnnotationClass = Literal["Tumor", "Normal", "Uncertain"]
Decision = Literal["accepted", "rejected"]
Source = Literal["lesion", "drawn", "patch"]
COLORS: dict[str, list[int]] = {"Tumor": TUMOUR_COLOR, "Normal": [0, 128, 0], "Uncertain": [230, 159, 0]}
LABELS = {"Tumor": 1, "Normal": 0}
# An outline that crosses itself is repaired, which takes long where it has many points.
_MOST_POINTS, _MOST_REPAIRED = 100_000, 2_000
# Of what is drawn beyond the edges of a slide, in its widths or heights.
_BEYOND = 1.0


def completed(feature: Any) -> dict[str, Any] | None:
    """Return a feature with what another program did not write; None for what is no annotation with an area."""
    try:
        kind = feature["geometry"]["type"]
        properties = dict(feature.get("properties") or {})
        if kind not in ("Polygon", "MultiPolygon") or properties.get("objectType", "annotation") != "annotation":
            return None
        about = dict(properties.get("sentinode") or {})
        blank = {"decision": None, "source": "drawn", "lesion": None, "user": "", "time": "", "version": 1}
        classification = properties.get("classification") or {"name": "Uncertain", "color": COLORS["Uncertain"]}
        properties |= {"objectType": "annotation", "classification": classification, "sentinode": blank | about}
        geometry = feature["geometry"]
        key = f"{geometry}"
        name = feature.get("id") or str(uuid.uuid5(uuid.NAMESPACE_URL, key))
        return {"type": "Feature", "id": str(name), "geometry": geometry, "properties": properties}
    except (AttributeError, KeyError, TypeError):
        return None


def valid_geometry(geometry: Any, size_px: tuple[int, int]) -> dict[str, Any]:
    """Return a valid Polygon or MultiPolygon; refuse what is not one on this slide."""
    shapely = optional("shapely", "slides")
    try:
        if geometry["type"] not in ("Polygon", "MultiPolygon"):
            raise ValueError(f"type {geometry['type']!r}")
        parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        points = sum(len(ring) for part in parts for ring in part)
        if points > _MOST_POINTS:
            raise ValueError(f"more than {_MOST_POINTS:,} points")
        polygons = [shapely.Polygon(_ring(part[0]), [_ring(hole) for hole in part[1:]]) for part in parts]
        if points > _MOST_REPAIRED and not all(each.is_valid for each in polygons):
            raise ValueError("an outline with many points crosses itself")
        shape = shapely.make_valid(shapely.union_all([shapely.make_valid(each) for each in polygons]))
        areas = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
        shape = shapely.union_all(areas)
        if shape.is_empty or shape.area == 0:
            raise ValueError("no area")
        x0, y0, x1, y1 = shape.bounds
        if x1 <= 0 or y1 <= 0 or x0 >= size_px[0] or y0 >= size_px[1]:
            raise ValueError("outside the slide")
        if max(x1 - x0, y1 - y0) > (1 + 2 * _BEYOND) * max(size_px):
            raise ValueError("far larger than the slide")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
        raise ViewerError(
            f"geometry: {first_line(error)}; expected a GeoJSON Polygon with an area on the slide, in level-0 px", 422
        ) from error
    mapping: dict[str, Any] = shapely.geometry.mapping(shapely.transform(shape, lambda points: np.round(points, 2)))
    return mapping


def moved(feature: Mapping[str, Any], offset_px: tuple[int, int]) -> dict[str, Any]:
    """Return a feature shifted by x and y."""
    if offset_px == (0, 0):
        return dict(feature)

    def move(part: Any) -> Any:
        if part and isinstance(part[0], int | float):
            return [part[0] + offset_px[0], part[1] + offset_px[1]]
        return [move(each) for each in part]

    geometry = feature["geometry"]
    return {**feature, "geometry": {**geometry, "coordinates": move(geometry["coordinates"])}}


def shown(feature: Mapping[str, Any], offset_px: tuple[int, int]) -> dict[str, Any]:
    """Return a feature for the page: shifted, without QuPath's measurements, which may be NaN and so no valid JSON."""
    properties = {name: value for name, value in feature["properties"].items() if name != "measurements"}
    return {**moved(feature, offset_px), "properties": properties}


def valid_uuid(text: Any) -> str:
    """Return a UUID in its usual form; refuse what is none."""
    try:
        return str(uuid.UUID(text))
    except (AttributeError, TypeError, ValueError) as error:
        raise ViewerError(f"{str(text)[:80]!r} is not a UUID; use one such as {uuid.uuid4()}", 422) from error


def one_of(body: Mapping[str, Any], name: str, allowed: tuple[Any, ...]) -> Any:
    """Return an entry of a body; refuse what is not allowed."""
    value = body.get(name)
    if value not in allowed:
        listed = ", ".join("null" if each is None else str(each) for each in allowed)
        raise ViewerError(f"{name} {value!r}: it must be one of {listed}", 422)
    return value


def _ring(points: Any) -> list[tuple[float, float]]:
    ring = [(float(x), float(y)) for x, y, *_ in points]
    if not all(math.isfinite(value) for point in ring for value in point):
        raise ValueError("a coordinate is not finite")
    return ring
