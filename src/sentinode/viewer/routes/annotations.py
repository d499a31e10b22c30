"""Routes of annotations."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sentinode.viewer.annotations.annotations import ENDING
from sentinode.viewer.catalogue import Entry
from sentinode.viewer.viewer import Viewer, read_body, whole_number


def annotation_routes(viewer: Viewer) -> list[Route]:
    """Return the routes of annotations."""

    def read(entry: Entry) -> dict[str, Any]:
        return viewer.store.read(entry.path, viewer.catalogue.info(entry).bounds_px[:2])

    async def features(request: Request) -> JSONResponse:
        entry = viewer.catalogue[request.path_params["slide"]]
        return JSONResponse(await viewer.run(read, entry))

    async def change(request: Request) -> JSONResponse:
        viewer.check_writable()
        entry, name = viewer.catalogue[request.path_params["slide"]], request.path_params["annotation"]
        body = await read_body(request) if request.method == "PUT" else {}

        def changed() -> dict[str, Any]:
            info = viewer.catalogue.info(entry)
            offset = info.bounds_px[:2]
            if request.method == "PUT":
                return viewer.store.put(entry.path, offset, (info.width_px, info.height_px), name, body)
            version = whole_number(request.query_params, "base_version", 0, 0, 1_000_000_000)
            return viewer.store.delete(entry.path, offset, name, version)

        return JSONResponse(await viewer.run(changed))

    async def download(request: Request) -> Response:
        entry = viewer.catalogue[request.path_params["slide"]]
        file = viewer.store.file(entry.path)
        empty = b'{"type": "FeatureCollection", "features": []}\n'
        content = await viewer.run(lambda: file.read_bytes() if file.is_file() else empty)
        name = f"{entry.path.stem if viewer.show_names else entry.id}{ENDING}".encode("ascii", "replace").decode()
        headers = {"Content-Disposition": f'attachment; filename="{name.replace(chr(34), "_")}"'}
        return Response(content, media_type="application/geo+json", headers=headers)

    at = "/api/slides/{slide}/annotations"
    return [
        Route(at, features),
        Route(f"{at}/{{annotation}}", change, methods=["PUT", "DELETE"]),
        Route(f"{at}.geojson", download),
    ]
