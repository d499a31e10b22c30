"""Routes of annotations."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sentinode.viewer.annotations.agreement import agreement
from sentinode.viewer.annotations.annotations import ENDING
from sentinode.viewer.catalogue import Entry
from sentinode.viewer.viewer import Viewer, read_body, viewer_of, whole_number


async def _features(request: Request) -> JSONResponse:
    viewer = viewer_of(request)
    return JSONResponse(await viewer.run(_read, viewer, viewer.entry(request)))


def _read(viewer: Viewer, entry: Entry) -> dict[str, Any]:
    return viewer.store.read(entry.path, viewer.catalogue.info(entry).bounds_px[:2])


async def _change(request: Request) -> JSONResponse:
    viewer = viewer_of(request)
    viewer.check_writable()
    entry, name = viewer.entry(request), request.path_params["annotation"]
    body = await read_body(request) if request.method == "PUT" else {}

    def changed() -> dict[str, Any]:
        info = viewer.catalogue.info(entry)
        offset = info.bounds_px[:2]
        if request.method == "PUT":
            return viewer.store.put(entry.path, offset, (info.width_px, info.height_px), name, body)
        version = whole_number(request.query_params, "base_version", 0, 0, 1_000_000_000)
        return viewer.store.delete(entry.path, offset, name, version)

    return JSONResponse(await viewer.run(changed))


async def _download(request: Request) -> Response:
    viewer = viewer_of(request)
    entry = viewer.entry(request)
    file = viewer.store.file(entry.path)
    empty = b'{"type": "FeatureCollection", "features": []}\n'
    content = await viewer.run(lambda: file.read_bytes() if file.is_file() else empty)
    name = f"{entry.path.stem if viewer.show_names else entry.id}{ENDING}".encode("ascii", "replace").decode()
    headers = {"Content-Disposition": f'attachment; filename="{name.replace(chr(34), "_")}"'}
    return Response(content, media_type="application/geo+json", headers=headers)


async def _agreement(request: Request) -> JSONResponse:
    viewer = viewer_of(request)
    slides = [entry.path for entry in viewer.catalogue]
    return JSONResponse(agreement(await viewer.run(viewer.store.reviews, slides, viewer.catalogue.folders)))


_AT = "/api/slides/{slide}/annotations"
ROUTES = (
    Route(_AT, _features),
    Route(f"{_AT}/{{annotation}}", _change, methods=["PUT", "DELETE"]),
    Route(f"{_AT}.geojson", _download),
    Route("/api/agreement", _agreement),
)
