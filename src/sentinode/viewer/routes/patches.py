"""Routes of the patch under the cursor, and of the queue for labeling."""

import io
from typing import Any

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sentinode.data.types import PATCH_SIZE_PX, UInt8Array
from sentinode.inference.engines import optional
from sentinode.slides.scan import SPACING_UM_PX
from sentinode.viewer.catalogue import Entry
from sentinode.viewer.errors import ViewerError
from sentinode.viewer.queue import Place, diverse, uncertain_places
from sentinode.viewer.viewer import Viewer, choice, number, whole_number

_KINDS = ("uncertain", "informative")
# Of the most uncertain places, among which the most diverse are chosen.
_CANDIDATES_PER_ITEM, _MOST_CANDIDATES = 4, 400


def patch_routes(viewer: Viewer) -> list[Route]:
    """Return the routes of the patch under the cursor, and of the queue for labeling."""

    async def pixels_at(request: Request) -> tuple[UInt8Array, float]:
        entry = viewer.catalogue[request.path_params["slide"]]
        x, y = (number(request.query_params, name) for name in ("x", "y"))
        if result := request.query_params.get("result"):
            await viewer.run(viewer.catalogue.result, entry, result)
        return await viewer.run(read_patch, viewer, entry, x, y)

    async def patch(request: Request) -> JSONResponse:
        pixels, spacing = await pixels_at(request)
        model = viewer.model_worker()
        found = await model.ask("predict", pixels[None])
        neighbors = await model.ask("neighbors", pixels[None])
        return JSONResponse(
            {
                "model": found["model"],
                "probability": found["probabilities"][0],
                "logit": found["logits"][0],
                "threshold": found["threshold"],
                "warning": found["warnings"][0] or None,
                "spacing_um_px": spacing,
                "attribution": found["attribution"],
                "neighbors": neighbors[0],
            }
        )

    async def picture(request: Request) -> Response:
        pixels, _ = await pixels_at(request)
        return _png(pixels)

    async def attribution(request: Request) -> Response:
        pixels, _ = await pixels_at(request)
        return _png((await viewer.model_worker().ask("attribution", pixels[None]))[0])

    async def queue(request: Request) -> JSONResponse:
        kind = choice(request.query_params, "kind", _KINDS, "uncertain")
        limit = whole_number(request.query_params, "limit", 50, 1, 100)
        places = await viewer.run(uncertain_places, viewer.catalogue, limit * _CANDIDATES_PER_ITEM)
        reasons = [f"probability {place.probability:.2f}" for place in places]
        if kind == "informative" and len(places) > limit:
            # Decisions do not change what is chosen, so that progress is counted against the same list.
            patches = await viewer.run(_read_all, viewer, places[:_MOST_CANDIDATES])
            chosen = diverse(await viewer.model_worker().ask("features", patches), limit)
            places = [places[each] for each in chosen]
            reasons = [f"probability {place.probability:.2f}, unlike those before it" for place in places]
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


def read_patch(viewer: Viewer, entry: Entry, x_px: float, y_px: float) -> tuple[UInt8Array, float]:
    """Return the patch around a place in level-0 px, and its µm per pixel."""
    with viewer.catalogue.open(entry) as slide:
        full = slide.levels[0]
        if not (0 <= x_px < full.width_px and 0 <= y_px < full.height_px):
            raise ViewerError(f"x {x_px:g}, y {y_px:g}: outside of the slide", 422)
        selection = slide.select_level(SPACING_UM_PX)
        scale = selection.effective_um_px / slide.spacing_um_px
        left, top = (round(value / scale - PATCH_SIZE_PX / 2) for value in (x_px, y_px))
        return slide.read(selection, left, top, PATCH_SIZE_PX, PATCH_SIZE_PX), selection.effective_um_px


def _read_all(viewer: Viewer, places: list[Place]) -> UInt8Array:
    entries = [viewer.catalogue[place.slide] for place in places]
    found = zip(entries, places, strict=True)
    return np.stack([read_patch(viewer, entry, place.x_px, place.y_px)[0] for entry, place in found])


def _decided(viewer: Viewer, places: list[Place]) -> list[bool]:
    """Tell which places someone has decided on: those whose center lies in a patch with a decision."""
    boxes: dict[str, list[tuple[float, float, float, float]]] = {}
    for entry in {place.slide: viewer.catalogue[place.slide] for place in places}.values():
        for feature in viewer.store.read(entry.path, viewer.catalogue.bounds_px(entry)[:2])["features"]:
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
