"""Routes of the patch under the cursor, and of the queue for labeling."""

import io
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
from sentinode.viewer.viewer import Viewer, choice, number, whole_number

_KINDS = ("uncertain", "informative")
# Of the most uncertain places, among which the most diverse are chosen.
_CANDIDATES_PER_ITEM = 4


def patch_routes(viewer: Viewer) -> list[Route]:
    """Return the routes of the patch under the cursor, and of the queue for labeling."""

    async def pixels_at(request: Request) -> tuple[UInt8Array, float]:  # Of one patch.
        entry = viewer.catalogue[request.path_params["slide"]]
        x, y = (number(request.query_params, name) for name in ("x", "y"))
        if result := request.query_params.get("result"):
            await viewer.run(viewer.catalogue.result, entry, result)
        return await viewer.read(request, entry, patches, [(x, y)])

    async def patch(request: Request) -> JSONResponse:
        pixels, spacing = await pixels_at(request)
        model = viewer.model
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

    async def picture(request: Request) -> Response:
        pixels, _ = await pixels_at(request)
        return _png(pixels[0])

    async def attribution(request: Request) -> Response:
        pixels, _ = await pixels_at(request)
        return _png((await viewer.model.ask("attribution", pixels))[0])

    async def pixels_of(request: Request, places: list[Place]) -> UInt8Array:
        found = np.empty((len(places), *PATCH_SHAPE), np.uint8)
        for slide in {place.slide for place in places}:
            rows = [row for row, place in enumerate(places) if place.slide == slide]
            centers = [(places[row].x_px, places[row].y_px) for row in rows]
            found[rows], _ = await viewer.read(request, viewer.catalogue[slide], patches, centers)
        return found

    async def queue(request: Request) -> JSONResponse:
        kind = choice(request.query_params, "kind", _KINDS, "uncertain")
        limit = whole_number(request.query_params, "limit", 50, 1, 100)
        places = await viewer.run(uncertain_places, viewer.catalogue, limit * _CANDIDATES_PER_ITEM)
        reasons = [f"probability {place.probability:.2f}" for place in places]
        if kind == "informative" and len(places) > limit:
            # Decisions do not change what is chosen, so that progress is counted against the same list.
            pixels = await pixels_of(request, places)
            chosen = diverse(await viewer.model.ask("features", pixels), limit)
            places = [places[each] for each in chosen]
            reasons = [f"probability {place.probability:.2f}, different from the previous patches" for place in places]
        places, reasons = places[:limit], reasons[:limit]
        decided = await viewer.run(_decided, viewer, places)
        items = [
            {
                "slide": place.slide,
                "x_px": place.x_px,
                "y_px": place.y_px,
                "side_px": place.side_px,
                "probability": place.probability,
                "reason": reason,
            }
            for place, reason, done in zip(places, reasons, decided, strict=True)
            if not done
        ]
        return JSONResponse({"items": items, "done": sum(decided), "total": len(places)})

    at = "/api/slides/{slide}"
    return [
        Route(f"{at}/patch", patch),
        Route(f"{at}/patch.png", picture),
        Route(f"{at}/attribution.png", attribution),
        Route("/api/queue", queue),
    ]


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
