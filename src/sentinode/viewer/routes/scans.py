"""Routes of scans, and of the events that tell how far they are."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from sentinode.viewer.catalogue import Entry
from sentinode.viewer.errors import ViewerError
from sentinode.viewer.scans import ScanQueue
from sentinode.viewer.viewer import Viewer, read_body

_INTERVAL_S = 0.5
# A comment now and then shows that a connection is broken.
_SILENT_ROUNDS = 30


def scan_routes(viewer: Viewer, describe: Callable[[Entry], dict[str, Any]]) -> list[Route]:
    """Return the routes of scans.

    Parameters
    ----------
    viewer : Viewer
    describe : callable
        Returns what the list says of a slide.
    """

    def scan_queue() -> ScanQueue:
        viewer.check_writable()
        assert viewer.scans is not None
        return viewer.scans

    async def start(request: Request) -> JSONResponse:
        scans = scan_queue()
        entry = viewer.catalogue[str((await read_body(request)).get("slide"))]
        if not (await viewer.run(describe, entry))["can_scan"]:
            raise ViewerError(f"{entry.name} has been scanned, or is being scanned", 409)
        await viewer.run(scans.start, entry)
        return JSONResponse(await viewer.run(describe, entry), 202)

    async def cancel(request: Request) -> JSONResponse:
        scans = scan_queue()
        entry = viewer.catalogue[request.path_params["slide"]]
        await viewer.run(scans.cancel, entry)
        return JSONResponse(await viewer.run(describe, entry))

    async def changes() -> AsyncIterator[str]:
        sent: dict[str, dict[str, Any]] = {}
        silent = 0
        yield ": connected\n\n"
        while not viewer.stopping.is_set():
            for name in viewer.scans.touched() if viewer.scans else ():
                now = await viewer.run(describe, viewer.catalogue[name])
                if sent.get(name) != now:
                    sent[name], silent = now, 0
                    yield f"event: slide\ndata: {json.dumps(now)}\n\n"
            silent += 1
            if silent % _SILENT_ROUNDS == 0:
                yield ": still here\n\n"
            await asyncio.sleep(_INTERVAL_S)

    async def events(request: Request) -> StreamingResponse:
        return StreamingResponse(changes(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    return [
        Route("/api/scans", start, methods=["POST"]),
        Route("/api/scans/{slide}", cancel, methods=["DELETE"]),
        Route("/api/events", events),
    ]
