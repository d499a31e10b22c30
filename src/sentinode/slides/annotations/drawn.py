"""Read drawn annotations: ASAP XML, QuPath GeoJSON, and lists of lesion polygons in JSON."""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from sentinode.errors import DataError, first_line
from sentinode.slides.annotations.outlines import UNCLASSIFIED, Drawn, describe_notes, polygon

_ASAP_AREAS, _ASAP_OTHERS = ("Polygon", "Spline", "Rectangle"), ("Dot", "PointSet", "Measurement")
_SPLINE_POINTS = 8  # Points along a spline from one of its control points to the next.
_GEOJSON_AREAS = ("Polygon", "MultiPolygon")
_GEOJSON_OTHERS = ("Point", "MultiPoint", "LineString", "MultiLineString")


def read_asap(path: Path) -> tuple[list[Drawn], list[str]]:
    """Read the annotations of an ASAP XML file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    drawn : list of Drawn
    notes : list of str
        What was repaired or left out.

    Raises
    ------
    DataError
        The file is damaged, or an annotation has no valid outline.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"{path}: not a readable XML file ({first_line(error)}); save it again in ASAP") from error
    if root.tag != "ASAP_Annotations":
        raise DataError(f"{path}: expected the root element ASAP_Annotations; got {root.tag}; save the file in ASAP")
    parents = {group.get("Name", ""): group.get("PartOfGroup", UNCLASSIFIED) for group in root.iter("Group")}
    drawn, left_out, notes = [], Counter[str](), Counter[str]()
    for number, each in enumerate(root.iter("Annotation"), start=1):
        title = f"annotation {number} ({each.get('Name', 'without a name')})"
        kind = each.get("Type", "Polygon")
        if kind in _ASAP_OTHERS:
            left_out[kind] += 1
            continue
        if kind not in _ASAP_AREAS:
            raise DataError(
                f"{path}: {title}: type must be one of {', '.join((*_ASAP_AREAS, *_ASAP_OTHERS))}; got {kind!r}"
            )
        points = np.array(_asap_points(path, title, each), float).reshape(-1, 2)
        if kind == "Spline" and len(points) > 2:
            points = _spline(points)
        shape = polygon([points], notes)
        if shape is not None:
            drawn.append(Drawn(title, _with_parents(each.get("PartOfGroup", UNCLASSIFIED), parents), shape))
    return drawn, describe_notes(notes, left_out)


def _asap_points(path: Path, title: str, annotation: ElementTree.Element) -> list[tuple[float, float]]:
    found = []
    for number, each in enumerate(annotation.iter("Coordinate")):
        try:
            # Some locales write decimal commas.
            x, y = (float(each.attrib[name].replace(",", ".")) for name in ("X", "Y"))
            order = float(each.get("Order", number))
            if not np.isfinite((x, y, order)).all():
                raise ValueError("a coordinate is not finite")
        except (KeyError, ValueError) as error:
            raise DataError(
                f"{path}: {title}: coordinate {number} is {dict(each.attrib)}, where Order, X and Y are numbers"
            ) from error
        found.append((order, x, y))
    return [(x, y) for _, x, y in sorted(found, key=lambda point: point[0])]


def _with_parents(name: str, parents: Mapping[str, str]) -> tuple[str, ...]:
    """Return the name of a group and of the groups that it is part of."""
    names = [name or UNCLASSIFIED]
    while (above := parents.get(names[-1], UNCLASSIFIED)) not in (UNCLASSIFIED, "", *names):
        names.append(above)
    return tuple(names)


def _spline(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points along the closed Catmull-Rom spline through points."""
    before, after, next_but_one = (np.roll(points, shift, axis=0)[:, None] for shift in (1, -1, -2))
    here, t = points[:, None], np.linspace(0, 1, _SPLINE_POINTS, endpoint=False)[None, :, None]
    curve = 0.5 * (
        2 * here
        + (after - before) * t
        + (2 * before - 5 * here + 4 * after - next_but_one) * t**2
        + (3 * here - before - 3 * after + next_but_one) * t**3
    )
    return curve.reshape(-1, 2)


def read_json(path: Path, offset_px: tuple[int, int]) -> tuple[list[Drawn], list[str]]:
    """Read the annotations of a QuPath GeoJSON file, or lists of positive and negative polygons.

    Parameters
    ----------
    path : Path
    offset_px : tuple of (int, int)
        Where GeoJSON counts from, in level-0 px.

    Returns
    -------
    drawn : list of Drawn
    notes : list of str
        What was repaired or left out.

    Raises
    ------
    DataError
        The file is damaged, or an annotation has no valid outline.
    """
    try:
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix.lower() == ".gz" else content
        parsed = json.loads(text)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise DataError(f"{path}: not a readable JSON file ({first_line(error)}); export it again") from error
    if isinstance(parsed, dict) and {"positive", "negative"} & set(parsed):
        return _polygon_lists(path, parsed)
    kind = parsed.get("type") if isinstance(parsed, dict) else None
    if kind == "FeatureCollection":
        parsed = parsed.get("features")
    elif kind == "Feature":
        parsed = [parsed]
    if not isinstance(parsed, list):
        raise DataError(
            f"{path}: neither GeoJSON (a FeatureCollection, a Feature or a list of these) nor lists of positive and "
            "negative polygons; export it again, from QuPath as a FeatureCollection"
        )
    return _features(path, parsed, offset_px)


def _features(path: Path, features: Sequence[Any], offset_px: tuple[int, int]) -> tuple[list[Drawn], list[str]]:
    drawn, left_out, notes = [], Counter[str](), Counter[str]()
    for number, feature in enumerate(features, start=1):
        title = f"feature {number}"
        try:
            properties, geometry = feature.get("properties") or {}, feature["geometry"]
            title += f" ({properties['name']})" if properties.get("name") else ""
            kind = properties.get("objectType") or properties.get("object_type") or "annotation"
            if kind not in ("annotation", "unknown"):
                left_out[f"{kind} object"] += 1
                continue
            if geometry["type"] in _GEOJSON_OTHERS:
                left_out[geometry["type"]] += 1
                continue
            if geometry["type"] not in _GEOJSON_AREAS:
                raise DataError(f"{path}: {title}: geometry must be Polygon or MultiPolygon; got {geometry['type']!r}")
            parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
            polygons = [polygon([_ring(ring) + offset_px for ring in part], notes) for part in parts]
            names = (_classification(properties),)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise DataError(
                f"{path}: {title}: not a GeoJSON feature with closed rings of x and y ({first_line(error)}); "
                "export it again"
            ) from error
        drawn += [Drawn(title, names, shape) for shape in polygons if shape is not None]
    return drawn, describe_notes(notes, left_out)


def _classification(properties: Mapping[str, Any]) -> str:
    about = properties.get("classification")
    if about is None:
        return UNCLASSIFIED
    if isinstance(about, str):
        return about
    names = about.get("names")
    return ": ".join(map(str, names)) if names else str(about["name"])


def _ring(points: Any) -> NDArray[np.float64]:
    ring = np.array([[float(each[0]), float(each[1])] for each in points])
    if not np.isfinite(ring).all():
        raise ValueError("a coordinate is not finite")
    return ring


def _polygon_lists(path: Path, lists: Mapping[str, Any]) -> tuple[list[Drawn], list[str]]:
    drawn, notes = [], Counter[str]()
    for role in ("positive", "negative"):
        for number, each in enumerate(lists.get(role) or [], start=1):
            title = f"{role} polygon {number}"
            try:
                title += f" ({each['name']})" if each.get("name") else ""
                shape = polygon([_ring(each["vertices"])], notes)
            except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
                raise DataError(
                    f"{path}: {title}: no list of vertices with x and y ({first_line(error)}); export it again"
                ) from error
            if shape is not None:
                drawn.append(Drawn(title, (role,), shape))
    return drawn, describe_notes(notes, Counter())
