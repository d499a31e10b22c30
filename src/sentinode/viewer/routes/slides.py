"""Routes of slides: list, description, tiles, thumbnail, heat map, lesions, tissue."""

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sentinode.slides.results.files import LOG_ODDS
from sentinode.slides.results.heatmap import load_heatmap
from sentinode.viewer.catalogue import Entry, Result
from sentinode.viewer.errors import ViewerError
from sentinode.viewer.figure import COLORS, MOST_PX, lay_over, with_scale_bar
from sentinode.viewer.overlay import describe_result, heatmap_bytes, lesions
from sentinode.viewer.slides import reading
from sentinode.viewer.slides.tiles import OVERLAP_PX, TILE_PX, DeepZoom
from sentinode.viewer.viewer import Viewer, choice, number, viewer_of, whole_number
from sentinode.viewer.worklist import describe_slides

# A browser asks again whether a tile is still the same, which costs no decoding.
_CACHING = "private, max-age=3600"
_THUMBNAIL_PX = 256


async def _slides(request: Request) -> JSONResponse:
    viewer = viewer_of(request)
    return JSONResponse({"slides": await viewer.run(describe_slides, viewer)})


async def _slide(request: Request) -> JSONResponse:
    viewer = viewer_of(request)
    return JSONResponse(await viewer.run(_describe, viewer, viewer.entry(request)))


def _describe(viewer: Viewer, entry: Entry) -> dict[str, Any]:
    info = viewer.catalogue.info(entry)
    return {
        "id": entry.id,
        "name": entry.name,
        "width_px": info.width_px,
        "height_px": info.height_px,
        "spacing_um_px": info.spacing_um_px,
        "tile_px": TILE_PX,
        "overlap_px": OVERLAP_PX,
        "max_level": DeepZoom(info.width_px, info.height_px).max_level,
        "notes": [viewer.catalogue.hide_names(note) for note in info.notes],
        "results": [_with_hidden_names(viewer, result) for result in viewer.catalogue.results(entry)],
    }


def _with_hidden_names(viewer: Viewer, result: Result) -> dict[str, Any]:
    described = describe_result(result)
    described["warnings"] = [viewer.catalogue.hide_names(warning) for warning in described["warnings"]]
    return described


async def _tile(request: Request) -> Response:
    viewer = viewer_of(request)
    entry = viewer.entry(request)
    level, column, row = (int(request.path_params[name]) for name in ("level", "column", "row"))
    key = ("tile", entry.id, entry.stamp(), level, column, row, viewer.jpeg_quality)
    read = partial(viewer.read, request, entry, reading.tile, viewer.jpeg_quality, level, column, row)
    return await _cached(request, key, "image/jpeg", read)


async def _thumbnail(request: Request) -> Response:
    viewer = viewer_of(request)
    entry = viewer.entry(request)
    side = whole_number(request.query_params, "size", _THUMBNAIL_PX, 1, 1024)
    key = ("thumbnail", entry.id, entry.stamp(), side)
    read = partial(viewer.read, request, entry, reading.thumbnail, viewer.jpeg_quality, side)
    return await _cached(request, key, "image/jpeg", read)


async def _tissue(request: Request) -> Response:
    viewer = viewer_of(request)
    entry = viewer.entry(request)
    key = ("tissue", entry.id, entry.stamp())
    return await _cached(request, key, "application/geo+json", partial(viewer.read, request, entry, reading.tissue))


async def _heatmap(request: Request) -> Response:
    viewer = viewer_of(request)
    result = await viewer.run(_result, viewer, request)
    key = ("heatmap", result.id, _stamp(result))

    def compressed() -> bytes:
        return gzip.compress(heatmap_bytes(load_heatmap(result.folder)).tobytes(), 1, mtime=0)

    make = partial(viewer.run_wanted, request, compressed)
    answer = await _cached(request, key, "application/octet-stream", make)
    answer.headers["Content-Encoding"] = "gzip"
    return answer


async def _lesions(request: Request) -> JSONResponse:
    viewer = viewer_of(request)
    entry = viewer.entry(request)
    result = await viewer.run(_result, viewer, request)

    def outlined() -> list[dict[str, Any]]:
        bounds = result.summary["bounds_px"] or viewer.catalogue.info(entry).bounds_px
        return lesions(result, (bounds[0], bounds[1]))

    return JSONResponse({"lesions": await viewer.run(outlined)})


async def _figure(request: Request) -> Response:
    viewer, query = viewer_of(request), request.query_params
    entry = viewer.entry(request)
    x, y, width, height = (number(query, name) for name in ("x", "y", "w", "h"))
    columns = whole_number(query, "width", 2000, 16, MOST_PX)
    if not (width > 0 and height > 0 and columns * height / width <= MOST_PX):
        raise ViewerError(f"w {width:g}, h {height:g}: both must be above 0, and the picture at most {MOST_PX} px")
    threshold, opacity = (number(query, name, default) for name, default in (("threshold", 0.5), ("opacity", 0.5)))
    colors = choice(query, "colors", COLORS, COLORS[0])
    named = query.get("result")
    result = await viewer.run(viewer.catalogue.result, entry, named) if named else None
    pixels = await viewer.read(request, entry, reading.part, x, y, width, height, columns)

    def draw() -> bytes:
        scale, colored = width / columns, pixels
        if result is not None and opacity > 0:
            look = {"threshold": threshold, "opacity": min(opacity, 1.0)}
            colored = lay_over(pixels, load_heatmap(result.folder), (x, y), scale, colors=colors, **look)
        return with_scale_bar(colored, viewer.catalogue.info(entry).spacing_um_px * scale)

    content = await viewer.run_wanted(request, draw)
    return Response(content, media_type="image/png", headers={"Cache-Control": "private, no-store"})


def _result(viewer: Viewer, request: Request) -> Result:
    return viewer.catalogue.result(viewer.entry(request), request.path_params["result"])


def _stamp(result: Result) -> int:
    return (result.folder / LOG_ODDS).stat().st_mtime_ns


async def _cached(request: Request, key: tuple[Any, ...], kind: str, make: Callable[[], Awaitable[bytes]]) -> Response:
    """Answer from the cache, with nothing where the browser has the same already, or with what is made now."""
    tag = f'"{hashlib.blake2s(repr(key).encode(), digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": _CACHING}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(await viewer_of(request).cached(key, make), media_type=kind, headers=headers)


_AT = "/api/slides/{slide}"
ROUTES = (
    Route("/api/slides", _slides),
    Route(_AT, _slide),
    Route(f"{_AT}/tiles/{{level:int}}/{{column:int}}_{{row:int}}.jpg", _tile),
    Route(f"{_AT}/thumbnail.jpg", _thumbnail),
    Route(f"{_AT}/tissue", _tissue),
    Route(f"{_AT}/figure.png", _figure),
    Route(f"{_AT}/results/{{result}}/heatmap", _heatmap),
    Route(f"{_AT}/results/{{result}}/lesions", _lesions),
)
