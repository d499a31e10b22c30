"""Decisions and drawn regions of slides, in files that QuPath and `sentinode extract` read.

Each slide has ``NAME.annotations.geojson``. It is written and flushed to disk before a request is answered. Objects
have versions, so that of two edits of the same object the later one is refused unless it has seen the earlier.
"""

import csv
import io
import json
import logging
import math
import threading
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from filelock import FileLock

from sentinode.errors import DataError, first_line
from sentinode.inference.engines import optional
from sentinode.storage import atomic_file, read_json, sync_folder, write_text
from sentinode.viewer.errors import ViewerError, not_found

log = logging.getLogger("sentinode")

AnnotationClass = Literal["Tumor", "Normal", "Uncertain"]
Decision = Literal["accepted", "rejected"]
Source = Literal["lesion", "drawn", "patch"]
COLORS: dict[str, list[int]] = {"Tumor": [200, 0, 0], "Normal": [0, 128, 0], "Uncertain": [230, 159, 0]}
LABELS = {"Tumor": 1, "Normal": 0}
ENDING, TABLE = ".annotations.geojson", "decisions.csv"
COLUMNS = ("slide", "id", "x_px", "y_px", "width_px", "height_px", "label", "decision", "user", "time")
# An outline that crosses itself is repaired, which takes long where it has many points.
_MOST_POINTS, _MOST_REPAIRED = 100_000, 2_000
# Of what is drawn beyond the edges of a slide, in its widths or heights.
_BEYOND = 1.0


class AnnotationStore:
    """The annotations of slides in a folder.

    Parameters
    ----------
    folder : Path
        Made when something is saved.
    user : str
        Recorded with each decision.
    """

    def __init__(self, folder: Path, user: str) -> None:
        self._folder, self._user = folder, user
        self._lock = threading.Lock()

    def file(self, slide: Path) -> Path:
        """Return the file of a slide's annotations."""
        return self._folder / f"{slide.stem}{ENDING}"

    def read(self, slide: Path, offset_px: tuple[int, int]) -> dict[str, Any]:
        """Return the version of a slide's annotations and its features in level-0 px.

        Parameters
        ----------
        slide : Path
            The slide's file.
        offset_px : tuple of int
            x and y of its scanned part, which the file counts from, as QuPath does.
        """
        content = self._load(slide)
        return {"version": content["version"], "features": [_moved(each, offset_px) for each in content["features"]]}

    def put(
        self, slide: Path, offset_px: tuple[int, int], size_px: tuple[int, int], name: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Save an object.

        Parameters
        ----------
        slide, offset_px
            See `read`.
        size_px : tuple of int
            Width and height of the slide.
        name : str
            The object's UUID.
        body : mapping
            ``geometry`` in level-0 px, ``class``, ``decision``, ``source``, ``lesion``, and ``base_version``: the
            version that was edited, 0 for a new object.

        Returns
        -------
        dict
            ``feature`` and ``version``.

        Raises
        ------
        ViewerError
            409 when the object has another version; 422 when the body is not valid.
        """
        name = _uuid(name)
        geometry = _geometry(body.get("geometry"), size_px)
        kind = _one_of(body, "class", get_args(AnnotationClass))
        decision = _one_of(body, "decision", (*get_args(Decision), None))
        if decision == "rejected" and kind == "Tumor":
            kind = "Normal"  # QuPath and `extract` know classes alone.
        lesion = body.get("lesion")
        about = {
            "decision": decision,
            "source": _one_of(body, "source", get_args(Source)),
            "lesion": None if lesion is None else _uuid(lesion),
            "user": self._user,
            "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        with self._changing(slide) as content:
            before = self._checked(content, name, body.get("base_version"), offset_px)
            reviews = {} if before is None else dict(before["properties"]["sentinode"].get("reviews", {}))
            reviews[self._user] = kind
            version = content["version"] + 1
            feature = {
                "type": "Feature",
                "id": name,
                "geometry": geometry,
                "properties": {
                    "objectType": "annotation",
                    "name": f"{decision or about['source']}",
                    "classification": {"name": kind, "color": COLORS[kind]},
                    "sentinode": {**about, "version": version, "reviews": reviews},
                },
            }
            others = [each for each in content["features"] if each["id"] != name]
            self._save(slide, version, offset_px, [*others, _moved(feature, (-offset_px[0], -offset_px[1]))])
        return {"feature": feature, "version": version}

    def delete(self, slide: Path, offset_px: tuple[int, int], name: str, base_version: int) -> dict[str, Any]:
        """Delete an object; see `put`."""
        name = _uuid(name)
        with self._changing(slide) as content:
            if self._checked(content, name, base_version, offset_px) is None:
                raise not_found("object")
            version = content["version"] + 1
            self._save(slide, version, offset_px, [each for each in content["features"] if each["id"] != name])
        return {"version": version}

    def reviews(self, slides: Iterable[Path], folders: Iterable[Path] = ()) -> list[dict[str, str]]:
        """Return for each object of the slides the class that each user gave it last.

        Parameters
        ----------
        slides : iterable of Path
        folders : iterable of Path
            Further folders with annotations of these slides.
        """
        stores = [self, *(AnnotationStore(folder, self._user) for folder in folders)]
        found: dict[tuple[str, str], dict[str, str]] = {}
        for slide in slides:
            for store in reversed(stores):  # The own folder comes last, and counts.
                for feature in store._load(slide)["features"]:
                    given = feature["properties"]["sentinode"].get("reviews", {})
                    found.setdefault((slide.name, feature["id"]), {}).update(given)
        return list(found.values())

    def write_table(self, slides: Iterable[Path]) -> None:
        """Write ``decisions.csv`` anew from the annotations of the slides, keeping rows of other slides."""
        found = {slide: self._load(slide) for slide in slides if self.file(slide).is_file()}
        if found:
            rows = {slide.name: _rows(slide, each["features"], each["offset_px"]) for slide, each in found.items()}
            with FileLock(self._folder / f".{TABLE}.lock"):
                _write_rows(self._folder / TABLE, rows)

    def _changing(self, slide: Path) -> "_Changing":
        return _Changing(self, slide)

    def _load(self, slide: Path) -> dict[str, Any]:
        """Return version and features of a file; those of other programs get what is missing."""
        file = self.file(slide)
        try:
            content = read_json(file)
        except FileNotFoundError:
            return {"version": 0, "offset_px": (0, 0), "features": []}
        features = content.get("features") if isinstance(content, dict) else content
        if not isinstance(features, list):
            raise DataError(f"{file.name}: holds no features; restore it or move it away")
        try:
            version, (x, y) = int(content["sentinode"]["version"]), content["sentinode"]["offset_px"]
        except (KeyError, TypeError, ValueError):  # Saved by another program.
            version, (x, y) = 1, (0, 0)
        known = [_completed(feature) for feature in features]
        return {
            "version": version,
            "offset_px": (int(x), int(y)),
            "features": [feature for feature in known if feature is not None],
        }

    def _checked(
        self, content: Mapping[str, Any], name: str, base_version: Any, offset_px: tuple[int, int]
    ) -> dict[str, Any] | None:
        """Return an object as it was; refuse when another version was edited."""
        if isinstance(base_version, bool) or not isinstance(base_version, int):
            raise ViewerError(f"base_version {base_version!r}: it must be a whole number, 0 for a new object", 422)
        before: dict[str, Any] | None = next((each for each in content["features"] if each["id"] == name), None)
        version = 0 if before is None else before["properties"]["sentinode"]["version"]
        if version != base_version:
            what = "was changed" if before is not None else "was deleted"
            raise ViewerError(
                f"this object {what} meanwhile; look at it as it is now, and repeat your change if you still want it",
                409,
                current=None if before is None else _moved(before, offset_px),
            )
        return before

    def _save(self, slide: Path, version: int, offset_px: tuple[int, int], features: list[dict[str, Any]]) -> None:
        about = {"version": version, "offset_px": list(offset_px)}
        content = {"type": "FeatureCollection", "sentinode": about, "features": features}
        try:
            write_text(self.file(slide), json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
            sync_folder(self._folder)
        except OSError as error:
            raise ViewerError(
                f"not saved: {error.strerror or error}; make room or check the disk, then try again", 507
            ) from error
        try:
            with FileLock(self._folder / f".{TABLE}.lock"):
                _write_rows(self._folder / TABLE, {slide.name: _rows(slide, features, offset_px)})
        except OSError as error:  # The table follows from the annotations; it is written anew with the next start.
            log.warning("%s: not written (%s); the annotations are saved", TABLE, first_line(error))


class _Changing:
    """Holds the locks on a slide's annotations while they are changed, against other processes too."""

    def __init__(self, store: AnnotationStore, slide: Path) -> None:
        self._store, self._slide = store, slide

    def __enter__(self) -> dict[str, Any]:
        store = self._store
        store._lock.acquire()
        try:
            store._folder.mkdir(parents=True, exist_ok=True)
            self._file_lock = FileLock(store._folder / f".{self._slide.stem}.lock")
            self._file_lock.acquire()
        except OSError as error:
            store._lock.release()
            raise ViewerError(f"not saved: {error.strerror or error}; check the folder, then try again", 507) from error
        try:
            return store._load(self._slide)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        self._file_lock.release()
        self._store._lock.release()


def _completed(feature: Any) -> dict[str, Any] | None:
    """Add what another program did not write; None for what is no annotation with an area."""
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


def _geometry(geometry: Any, size_px: tuple[int, int]) -> dict[str, Any]:
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
            raise ValueError("outside of the slide")
        if max(x1 - x0, y1 - y0) > (1 + 2 * _BEYOND) * max(size_px):
            raise ValueError("far larger than the slide")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
        raise ViewerError(
            f"geometry: {first_line(error)}; a GeoJSON Polygon with an area on the slide is needed, in level-0 px", 422
        ) from error
    mapping: dict[str, Any] = shapely.geometry.mapping(shapely.transform(shape, lambda points: np.round(points, 2)))
    return mapping


def _ring(points: Any) -> list[tuple[float, float]]:
    ring = [(float(x), float(y)) for x, y, *_ in points]
    if not all(math.isfinite(value) for point in ring for value in point):
        raise ValueError("a coordinate is not finite")
    return ring


def _moved(feature: Mapping[str, Any], offset_px: tuple[int, int]) -> dict[str, Any]:
    if offset_px == (0, 0):
        return dict(feature)

    def move(part: Any) -> Any:
        if part and isinstance(part[0], int | float):
            return [part[0] + offset_px[0], part[1] + offset_px[1]]
        return [move(each) for each in part]

    geometry = feature["geometry"]
    return {**feature, "geometry": {**geometry, "coordinates": move(geometry["coordinates"])}}


def _rows(slide: Path, features: Iterable[Mapping[str, Any]], offset_px: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the rows of the table, in level-0 px."""
    shapely = optional("shapely", "slides")
    rows = []
    for feature in features:
        about, kind = feature["properties"]["sentinode"], feature["properties"]["classification"].get("name")
        if kind not in LABELS:
            continue
        x0, y0, x1, y1 = shapely.geometry.shape(feature["geometry"]).bounds
        corner = round(x0 + offset_px[0]), round(y0 + offset_px[1])
        box = {"x_px": corner[0], "y_px": corner[1], "width_px": round(x1 - x0), "height_px": round(y1 - y0)}
        rows.append(
            {
                "slide": slide.name,
                "id": feature["id"],
                **box,
                "label": LABELS[kind],
                "decision": about["decision"] or "",
                "user": about["user"],
                "time": about["time"],
            }
        )
    return rows


def _write_rows(file: Path, rows_of_slides: Mapping[str, list[dict[str, Any]]]) -> None:
    """Replace the rows of slides in the table."""
    kept: list[dict[str, Any]] = []
    if file.is_file():
        with file.open(encoding="utf-8", newline="") as opened:
            kept = [row for row in csv.DictReader(opened) if row.get("slide") not in rows_of_slides]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows([*kept, *(row for rows in rows_of_slides.values() for row in rows)])
    with atomic_file(file) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def _uuid(text: Any) -> str:
    try:
        return str(uuid.UUID(text))
    except (AttributeError, TypeError, ValueError) as error:
        raise ViewerError(f"{str(text)[:80]!r} is not a UUID; give one such as {uuid.uuid4()}", 422) from error


def _one_of(body: Mapping[str, Any], name: str, allowed: tuple[Any, ...]) -> Any:
    value = body.get(name)
    if value not in allowed:
        listed = ", ".join("null" if each is None else str(each) for each in allowed)
        raise ViewerError(f"{name} {value!r}: it must be one of {listed}", 422)
    return value
