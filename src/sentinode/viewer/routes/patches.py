"""Routes of the patch under the cursor, and of the queue for labeling."""

import io
from dataclasses import asdict
from typing import Any

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sentinode.data.types import PATCH_SHAPE, UInt8Array
from sentinode.extras import optional
from sentinode.viewer.queue import Place, diverse, uncertain_places
from sentinode.viewer.slides.reading import patches
from sentinode.viewer.viewer import Viewer, choice, number, viewer_of, whole_number

_KINDS = ("uncertain", "informative")
# Of the most uncertain places, among which the most diverse are chosen.
_CANDIDATES_PER_ITEM = 4


async def _patch(request: Request) -> JSONResponse:
    pixels, spacing = await _pixels_at(request)
    model = viewer_of(request).model
    found = await model.ask("predict", pixels)
    neighbors = await model.ask("neighbors", pixels)
    return JSONResponse(
        {
            "probability": found["probabilities"][0],
            "threshold": found["threshold"],
            "warning": found["warnings"][0] or None,
            "spacing_um_px": spacing,
            "attribution": found["attribution"],
            "neighbors": neighbors[0],
        }
    )


async def _picture(request: Request) -> Response:
    pixels, _ = await _pixels_at(request)
    return _png(pixels[0])


async def _attribution(request: Request) -> Response:
    pixels, _ = await _pixels_at(request)
    return _png((await viewer_of(request).model.ask("attribution", pixels))[0])


async def _pixels_at(request: Request) -> tuple[UInt8Array, float]:  # Of one patch.
    viewer = viewer_of(request)
    entry = viewer.entry(request)
    x, y = (number(request.query_params, name) for name in ("x", "y"))
    if result := request.query_params.get("result"):
        await viewer.run(viewer.catalogue.result, entry, result)
    return await viewer.read(request, entry, patches, [(x, y)])


async def _queue(request: Request) -> JSONResponse:
    viewer = viewer_of(request)
    kind = choice(request.query_params, "kind", _KINDS, "uncertain")
    limit = whole_number(request.query_params, "limit", 50, 1, 100)
    places = await viewer.run(uncertain_places, viewer.catalogue, limit * _CANDIDATES_PER_ITEM)
    reason = "probability {:.2f}"
    if kind == "informative" and len(places) > limit:
        # Decisions do not change what is chosen, so that progress is counted against the same list.
        pixels = await _pixels_of(request, places)
        chosen = diverse(await viewer.model.ask("features", pixels), limit)
        places = [places[each] for each in chosen]
        reason = "probability {:.2f}, different from the previous patches"
    places = places[:limit]
    decided = await viewer.run(_decided, viewer, places)
    items = [
        {**asdict(place), "reason": reason.format(place.probability)}
        for place, done in zip(places, decided, strict=True)
        if not done
    ]
    return JSONResponse({"items": items, "done": sum(decided), "total": len(places)})


async def _pixels_of(request: Request, places: list[Place]) -> UInt8Array:
    viewer = viewer_of(request)
    found = np.empty((len(places), *PATCH_SHAPE), np.uint8)
    for slide in {place.slide for place in places}:
        rows = [row for row, place in enumerate(places) if place.slide == slide]
        centers = [(places[row].x_px, places[row].y_px) for row in rows]
        found[rows], _ = await viewer.read(request, viewer.catalogue[slide], patches, centers)
    return found


def _decided(viewer: Viewer, places: list[Place]) -> list[bool]:
    """Tell which places someone has decided on: those whose center lies in a patch with a decision."""
    boxes: dict[str, list[tuple[float, float, float, float]]] = {}
    for entry in {place.slide: viewer.catalogue[place.slide] for place in places}.values():
        for feature in viewer.store.read(entry.path, viewer.catalogue.info(entry).bounds_px[:2])["features"]:
            if feature["properties"]["sentinode"]["source"] == "patch":
                boxes.setdefault(entry.id, []).append(_bounds(feature["geometry"]))
    found = []
    for place in places:
        inside = (x0 <= place.x_px <= x1 and y0 <= place.y_px <= y1 for x0, y0, x1, y1 in boxes.get(place.slide, []))
        found.append(any(inside))
    return found


def _bounds(geometry: dict[str, Any]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = optional("shapely", "slides").geometry.shape(geometry).bounds
    return x0, y0, x1, y1


def _png(pixels: UInt8Array) -> Response:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Response(buffer.getvalue(), media_type="image/png", headers={"Cache-Control": "private, no-store"})


_AT = "/api/slides/{slide}"
ROUTES = (
    Route(f"{_AT}/patch", _patch),
    Route(f"{_AT}/patch.png", _picture),
    Route(f"{_AT}/attribution.png", _attribution),
    Route("/api/queue", _queue),
)
