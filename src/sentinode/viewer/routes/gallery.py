"""Routes of the gallery of patches."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sentinode.viewer.errors import ViewerError
from sentinode.viewer.gallery import ORDERS, OUTCOMES, Gallery
from sentinode.viewer.slides.tiles import encode_jpeg
from sentinode.viewer.viewer import Viewer, choice, number, read_body, viewer_of, whole_number

_MOST_ROWS, _MOST_ON_A_SHEET = 1000, 256


def _gallery(viewer: Viewer) -> Gallery:
    if viewer.gallery is None:
        raise ViewerError("there are no patches; specify their source when you start the viewer", 404)
    return viewer.gallery


async def _about(request: Request) -> JSONResponse:
    return JSONResponse(_gallery(viewer_of(request)).describe())


async def _rows(request: Request) -> JSONResponse:
    viewer, query = viewer_of(request), request.query_params
    found = await viewer.run(
        _gallery(viewer).rows,
        whole_number(query, "start", 0, 0, 1_000_000_000),
        whole_number(query, "count", 128, 1, _MOST_ROWS),
        split=query.get("split", ""),
        label=choice(query, "label", ("0", "1")),
        outcome=choice(query, "outcome", list(OUTCOMES)),
        order=choice(query, "order", ORDERS, "index") or "index",
        least=number(query, "min_p", 0.0),
        most=number(query, "max_p", 1.0),
    )
    return JSONResponse(found)


async def _sheet(request: Request) -> Response:
    viewer, text = viewer_of(request), request.query_params.get("indices", "")
    listed = text.split(",")
    if not all(each.isdecimal() and len(each) < 10 for each in listed) or len(listed) > _MOST_ON_A_SHEET:
        raise ViewerError(f"indices {text[:80]!r}: 1 to {_MOST_ON_A_SHEET} numbers with commas between are needed")
    columns = whole_number(request.query_params, "columns", 16, 1, _MOST_ON_A_SHEET)

    def draw() -> bytes:
        return encode_jpeg(_gallery(viewer).sheet([int(each) for each in listed], columns), viewer.jpeg_quality)

    content = await viewer.cached(("sheet", text, columns), partial(viewer.run_wanted, request, draw))
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


async def _label(request: Request) -> JSONResponse:
    viewer = viewer_of(request)
    viewer.check_writable()
    body: dict[str, Any] = dict(await read_body(request))
    return JSONResponse(await viewer.run(_gallery(viewer).put, int(request.path_params["index"]), body))


ROUTES = (
    Route("/api/patches", _about),
    Route("/api/patches/rows", _rows),
    Route("/api/patches/sheet.jpg", _sheet),
    Route("/api/patches/{index:int}", _label, methods=["PUT"]),
)
