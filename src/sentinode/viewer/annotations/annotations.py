"""Decisions and drawn regions of slides, in files that QuPath and `sentinode extract` read.

Each slide has ``NAME.annotations.geojson``. It is written and flushed to disk before a request is answered. Objects
have versions, so that of two edits of the same object the later one is refused unless it has seen the earlier.
"""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from sentinode.errors import DataError
from sentinode.storage import read_json, sync_folder, write_text
from sentinode.viewer.annotations.features import (
    COLORS,
    AnnotationClass,
    Decision,
    Source,
    completed,
    moved,
    one_of,
    shown,
    valid_geometry,
    valid_uuid,
)
from sentinode.viewer.errors import ViewerError, not_found
from sentinode.viewer.saving import saving, utc_now

ENDING = ".annotations.geojson"


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
        return {"version": content["version"], "features": [shown(each, offset_px) for each in content["features"]]}

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
        name = valid_uuid(name)
        geometry = valid_geometry(body.get("geometry"), size_px)
        kind = one_of(body, "class", get_args(AnnotationClass))
        decision = one_of(body, "decision", (*get_args(Decision), None))
        if decision == "rejected" and kind == "Tumor":
            kind = "Normal"  # QuPath and `extract` know classes alone.
        lesion = body.get("lesion")
        about = {
            "decision": decision,
            "source": one_of(body, "source", get_args(Source)),
            "lesion": None if lesion is None else valid_uuid(lesion),
            "user": self._user,
            "time": utc_now(),
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
            placed = moved(feature, (-offset_px[0], -offset_px[1]))
            self._save(slide, version, offset_px, [*others, placed, *content["foreign"]])
        return {"feature": feature, "version": version}

    def delete(self, slide: Path, offset_px: tuple[int, int], name: str, base_version: int) -> dict[str, Any]:
        """Delete an object; see `put`."""
        name = valid_uuid(name)
        with self._changing(slide) as content:
            if self._checked(content, name, base_version, offset_px) is None:
                raise not_found("object")
            version = content["version"] + 1
            others = [each for each in content["features"] if each["id"] != name]
            self._save(slide, version, offset_px, [*others, *content["foreign"]])
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

    @contextmanager
    def _changing(self, slide: Path) -> Iterator[dict[str, Any]]:
        with saving(self._folder, slide.stem, self._lock):
            yield self._load(slide)

    def _load(self, slide: Path) -> dict[str, Any]:
        """Return version and features of a file; those of other programs get what is missing.

        ``foreign`` are the features that the viewer does not show, such as points, lines and detections of QuPath.
        """
        file = self.file(slide)
        try:
            content = read_json(file)
        except FileNotFoundError:
            return {"version": 0, "features": [], "foreign": []}
        features = content.get("features") if isinstance(content, dict) else content
        if not isinstance(features, list):
            raise DataError(f"{file.name}: contains no features; restore the file or move it elsewhere")
        try:
            version = int(content["sentinode"]["version"])
        except (KeyError, TypeError, ValueError):  # Saved by another program.
            version = 1
        known = [(feature, completed(feature)) for feature in features]
        return {
            "version": version,
            "features": [ours for _, ours in known if ours is not None],
            "foreign": [feature for feature, ours in known if ours is None],
        }

    def _checked(
        self, content: Mapping[str, Any], name: str, base_version: Any, offset_px: tuple[int, int]
    ) -> dict[str, Any] | None:
        """Return an object as it was; refuse when another version was edited."""
        if isinstance(base_version, bool) or not isinstance(base_version, int):
            raise ViewerError(f"base_version must be a whole number, 0 for a new object; got {base_version!r}", 422)
        before: dict[str, Any] | None = next((each for each in content["features"] if each["id"] == name), None)
        version = 0 if before is None else before["properties"]["sentinode"]["version"]
        if version != base_version:
            what = "was changed" if before is not None else "was deleted"
            raise ViewerError(
                f"this object {what} elsewhere; review the current version and repeat your change if needed",
                409,
                current=None if before is None else shown(before, offset_px),
            )
        return before

    def _save(self, slide: Path, version: int, offset_px: tuple[int, int], features: list[dict[str, Any]]) -> None:
        about = {"version": version, "offset_px": list(offset_px)}
        content = {"type": "FeatureCollection", "sentinode": about, "features": features}
        write_text(self.file(slide), json.dumps(content, ensure_ascii=False) + "\n")
        sync_folder(self._folder)
