"""Read annotations of slides: ASAP XML, QuPath GeoJSON, lists of lesion polygons in JSON, and mask TIFF.

Polygons are in level-0 px. All tumour regions are united first, then all normal ones are cut out, whatever the order in
the file.

The groups of ASAP's XML follow the CAMELYON data: G. Litjens et al., "1399 H&E-stained sentinel lymph node sections of
breast cancer patients: the CAMELYON dataset", GigaScience 2018.
"""

import gzip
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from sentinode.data.labels import Classes, class_of
from sentinode.errors import DataError, first_line
from sentinode.inference.engines import optional
from sentinode.slides.scan import SPACING_UM_PX
from sentinode.slides.slide import Slide

MASK_ENDINGS = (".tif", ".tiff")
JSON_ENDINGS = (".geojson", ".json", ".geojson.gz", ".json.gz")
ENDINGS = (".xml", *JSON_ENDINGS, *MASK_ENDINGS)
# Words behind the name of a slide in the name of its annotations.
_SUFFIXES = ("", ".annotations", "_mask", "_evaluation_mask")
# CAMELYON16: _0 and _1 are tumour, _2 and Exclusion are holes in it. CAMELYON17 and others use the usual words.
_GROUPS = {"_0": 1, "_1": 1, "_2": 0, "exclusion": 0}
UNCLASSIFIED = "None"
# The viewer's class for what a person cannot decide.
_UNCERTAIN = "Uncertain"
_ASAP_AREAS, _ASAP_OTHERS = ("Polygon", "Spline", "Rectangle"), ("Dot", "PointSet", "Measurement")
_SPLINE_POINTS = 8  # Points along a spline from one of its control points to the next.
_GEOJSON_AREAS = ("Polygon", "MultiPolygon")
_GEOJSON_OTHERS = ("Point", "MultiPoint", "LineString", "MultiLineString")
# Widths and heights of a mask's levels are rounded.
_LARGEST_DISTORTION = 0.01


@dataclass(frozen=True)
class Annotations:
    """What is drawn on a slide.

    Attributes
    ----------
    path : Path
        The file.
    regions : dict of str to shapely geometry
        For each class name the union of its regions in level-0 px, with holes; valid.
    classes : dict of str to {0, 1, None}
        For each class name: 0 normal, 1 tumour, None ignored.
    tumour : shapely geometry
        All tumour regions without the normal ones; empty where there is no tumour.
    notes : tuple of str
        What was repaired or left out.
    """

    path: Path
    regions: dict[str, Any]
    classes: dict[str, int | None]
    tumour: Any
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class _Drawn:
    """One annotation: what it is called in messages, its class name and those above it, and its area."""

    title: str
    names: tuple[str, ...]
    shape: Any


def find_annotations(slide: str | Path, folder: str | Path) -> Path | None:
    """Find the annotations of a slide in a folder.

    Parameters
    ----------
    slide : str or Path
        The slide's file.
    folder : str or Path
        Where annotations are. They are named like the slide, with or without its ending, upper or lower case:
        ``Tumor_001.xml``, ``slide.svs.geojson``, ``tumor_001_mask.tif``.

    Returns
    -------
    Path or None
        None when there are none for this slide.

    Raises
    ------
    DataError
        There are several.
    """
    slide, folder = Path(slide), Path(folder)
    wanted = {
        f"{name}{suffix}{ending}".lower()
        for name in (slide.stem, slide.name)
        for suffix in _SUFFIXES
        for ending in ENDINGS
    }
    found = [each for each in sorted(folder.iterdir()) if each.name.lower() in wanted]
    found = [each for each in found if not slide.exists() or not each.samefile(slide)]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise DataError(f"{folder}: several annotations of {slide.name} ({names}); keep one of them there")
    return found[0] if found else None


def read_annotations(path: str | Path, slide: Slide | None = None, classes: Classes = ()) -> Annotations:
    """Read the annotations of a slide.

    Parameters
    ----------
    path : str or Path
        ASAP XML (``.xml``), QuPath GeoJSON (``.geojson``, ``.json``, either with ``.gz``), JSON with the lists
        ``positive`` and ``negative`` of polygons, or a mask (``.tif``, ``.tiff``).
    slide : Slide or None
        The slide that they belong to. Masks are scaled to it, and annotations beyond its edges are refused.
    classes : tuple of (str, {0, 1}), optional
        Class names with 1 for tumour and 0 for normal, from `parse_classes`; other classes are ignored. Without them
        the usual words, CAMELYON's groups, and the mask values 255 or 1 (normal) and 2 (tumour) are known.

    Returns
    -------
    Annotations

    Raises
    ------
    DataError
        The file is damaged, an annotation has no valid outline, a class is not known, or the annotations belong to
        another slide.

    Examples
    --------
    >>> from sentinode.slides import read_annotations
    >>> read_annotations("Tumor_001.xml").tumour.area  # doctest: +SKIP
    """
    path = Path(path)
    shapely = optional("shapely", "slides")
    lower = path.name.lower()
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    if lower.endswith(MASK_ENDINGS):
        found = _from_mask(path, slide, classes)
    else:
        if lower.endswith(".xml"):
            drawn, notes = _read_asap(path)
        elif lower.endswith(JSON_ENDINGS):
            # QuPath shows the scanned part of a slide alone, and counts from its corner.
            drawn, notes = _read_json(path, slide.bounds_px[:2] if slide else (0, 0))
        else:
            raise DataError(f"{path}: annotations end in {', '.join(ENDINGS)}")
        found = _united(path, drawn, notes, classes)
    if slide is not None and not found.tumour.is_empty:
        full = slide.levels[0]
        inside = shapely.box(0, 0, full.width_px, full.height_px)
        if found.tumour.intersection(inside).area < 0.5 * found.tumour.area:
            bounds = ", ".join(f"{value:.0f}" for value in found.tumour.bounds)
            raise DataError(
                f"{path}: most of the tumour ({bounds} px) lies outside of {slide.path.name}, which has "
                f"{full.width_px} × {full.height_px} px; do they belong together?"
            )
    return found


def _united(path: Path, drawn: Sequence[_Drawn], notes: Sequence[str], classes: Classes) -> Annotations:
    shapely = optional("shapely", "slides")
    known: dict[str, int | None] = {}
    shapes: dict[str, list[Any]] = {}
    for each in drawn:
        if each.names[0] not in known:
            known[each.names[0]] = _class_of(path, each, classes)
        shapes.setdefault(each.names[0], []).append(each.shape)
    if known and all(value is None for value in known.values()) and not classes:
        names = ", ".join(sorted(known))
        raise DataError(
            f"{path}: none of its {len(drawn)} annotations has a class ({names}); state which are tumour, such as "
            f"--classes '{min(known)}=1'"
        )
    regions = {name: _areas(shapely.union_all(parts)) for name, parts in shapes.items()}
    ignored = [f"{len(shapes[name])} of class {name}" for name, value in known.items() if value is None]
    remarks = (*notes, *([f"ignored: {', '.join(ignored)}"] if ignored else []))
    tumour, normal = (
        shapely.union_all([regions[name] for name, value in known.items() if value == label]) for label in (1, 0)
    )
    return Annotations(path, regions, known, _areas(shapely.difference(tumour, normal)), remarks)


def _class_of(path: Path, drawn: _Drawn, classes: Classes) -> int | None:
    for name in drawn.names:
        value = class_of(name, classes)
        if value is None and not classes:
            value = _GROUPS.get(name.lower())
        if value is not None:
            return value
    name = drawn.names[0]
    if classes or name in (UNCLASSIFIED, _UNCERTAIN) or name.endswith("*"):  # QuPath ignores classes such as Region*.
        return None
    raise DataError(
        f"{path}: {drawn.title}: class {name!r} is neither tumour nor normal; state the classes, such as "
        f"--classes '{name}=1' or 'Tumor=1,{name}=0'; others are then ignored"
    )


# Formats


def _read_asap(path: Path) -> tuple[list[_Drawn], list[str]]:
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"{path}: not a readable XML file ({first_line(error)}); save it again in ASAP") from error
    if root.tag != "ASAP_Annotations":
        raise DataError(f"{path}: its root is {root.tag}, where ASAP_Annotations is expected; save it in ASAP")
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
                f"{path}: {title}: type {kind!r}, where one of {', '.join((*_ASAP_AREAS, *_ASAP_OTHERS))} is expected"
            )
        points = np.array(_asap_points(path, title, each), float).reshape(-1, 2)
        if kind == "Spline" and len(points) > 2:
            points = _spline(points)
        shape = _polygon([points], notes)
        if shape is not None:
            drawn.append(_Drawn(title, _with_parents(each.get("PartOfGroup", UNCLASSIFIED), parents), shape))
    return drawn, _notes(notes, left_out)


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


def _read_json(path: Path, offset_px: tuple[int, int]) -> tuple[list[_Drawn], list[str]]:
    try:
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix.lower() == ".gz" else content
        parsed = json.loads(text)
    except (OSError, EOFError, ValueError, RecursionError) as error:
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


def _features(path: Path, features: Sequence[Any], offset_px: tuple[int, int]) -> tuple[list[_Drawn], list[str]]:
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
                raise DataError(
                    f"{path}: {title}: geometry {geometry['type']!r}, where Polygon or MultiPolygon is expected"
                )
            parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
            polygons = [_polygon([_ring(ring) + offset_px for ring in part], notes) for part in parts]
            names = (_classification(properties),)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise DataError(
                f"{path}: {title}: not a GeoJSON feature with closed rings of x and y ({first_line(error)}); "
                "export it again"
            ) from error
        drawn += [_Drawn(title, names, shape) for shape in polygons if shape is not None]
    return drawn, _notes(notes, left_out)


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


def _polygon_lists(path: Path, lists: Mapping[str, Any]) -> tuple[list[_Drawn], list[str]]:
    drawn, notes = [], Counter[str]()
    for role in ("positive", "negative"):
        for number, each in enumerate(lists.get(role) or [], start=1):
            title = f"{role} polygon {number}"
            try:
                title += f" ({each['name']})" if each.get("name") else ""
                shape = _polygon([_ring(each["vertices"])], notes)
            except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
                raise DataError(
                    f"{path}: {title}: no list of vertices with x and y ({first_line(error)}); export it again"
                ) from error
            if shape is not None:
                drawn.append(_Drawn(title, (role,), shape))
    return drawn, _notes(notes, Counter())


def _from_mask(path: Path, slide: Slide | None, classes: Classes) -> Annotations:
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
        raise DataError(f"{path}: not a readable mask ({first_line(error)}); is the file whole?") from error
    labels = _mask_classes(path, sorted(boxes), classes)
    regions = {}
    for value, parts in boxes.items():
        if labels[value] == 1:
            ends = np.concatenate(parts) * np.tile(scale, 2)
            regions[str(value)] = _areas(shapely.union_all(shapely.box(*ends.T)))
    others = [str(value) for value in sorted(boxes) if labels[value] != 1]
    notes = (f"mask values that are not tumour: {', '.join(others)}",) if others else ()
    names: dict[str, int | None] = {str(value): label for value, label in labels.items()}
    return Annotations(path, regions, names, shapely.union_all(list(regions.values())), notes)


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
            f"{path}: {pages[0].imagewidth} × {pages[0].imagelength} px have another shape than the slide with "
            f"{size[0]} × {size[1]} px; do they belong together?"
        )
    target = SPACING_UM_PX / slide.spacing_um_px if slide else 1.0
    fine = [number for number, scale in enumerate(scales) if scale.max() <= 1.05 * target]
    number = max(fine, default=0)
    return pages[number], scales[number]


def _mask_classes(path: Path, values: Sequence[int], classes: Classes) -> dict[int, int]:
    if classes:
        return {value: class_of(str(value), classes) or 0 for value in values}
    if set(values) <= {255}:
        return dict.fromkeys(values, 1)
    if 2 in values and set(values) <= {1, 2}:
        return {1: 0, 2: 1}
    raise DataError(
        f"{path}: mask values {', '.join(map(str, values[:9]))}; known are 255 (tumour), or 1 (normal) with 2 "
        f"(tumour); state which are tumour, such as --classes '{values[-1]}=1'"
    )


def _runs(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return x0, y0, x1, y1 of boxes that cover a mask: the whole, or the runs of each row."""
    if mask.all():
        return np.array([[0, 0, mask.shape[1], mask.shape[0]]], np.int64)
    changes = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(changes == 1)
    ends = np.nonzero(changes == -1)[1]
    return np.stack([starts, rows, ends, rows + 1], axis=1).astype(np.int64)


# Shapes


def _polygon(rings: Sequence[NDArray[np.float64]], notes: Counter[str]) -> Any | None:
    """Return a valid polygon of an outline and its holes; None where it has no area."""
    shapely = optional("shapely", "slides")
    if not rings or len(np.unique(rings[0], axis=0)) < 3:
        notes["left out, with fewer than three points"] += 1
        return None
    shape = shapely.Polygon(rings[0], [ring for ring in rings[1:] if len(np.unique(ring, axis=0)) > 2])
    if not shape.is_valid:
        shape = _areas(shapely.make_valid(shape))
        notes["repaired, with lines that cross"] += 1
    if shape.area == 0:
        notes["left out, without area"] += 1
        return None
    return shape


def _areas(shape: Any) -> Any:
    """Return the polygons of a geometry, without the lines and points that repairs leave."""
    shapely = optional("shapely", "slides")
    parts = [part for part in shapely.get_parts(shape) if part.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(parts) if len(parts) != 1 else parts[0]


def _notes(notes: Mapping[str, int], left_out: Mapping[str, int]) -> list[str]:
    found = [f"{count} {'outline' if count == 1 else 'outlines'} {what}" for what, count in notes.items()]
    return found + (
        [f"left out: {', '.join(f'{count} {name}' for name, count in left_out.items())}"] if left_out else []
    )
