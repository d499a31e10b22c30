"""Routes of scans, and of the events that tell how far they are."""

import asyncio
import json
import time
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
# Interval at which scans of other processes are searched for.
_LOOK_S = 2.0
# A comment now and then shows that a connection is broken.
_SILENT_S = 15.0


def scan_routes(viewer: Viewer, describe: Callable[[Entry], dict[str, Any]]) -> list[Route]:
    """Return the routes of scans.

    Parameters
    ----------
    viewer : Viewer
    describe : callable
        Returns the entry of a slide in the worklist.
    """

    def scan_queue() -> ScanQueue:
        viewer.check_writable()
        assert viewer.scans is not None
        return viewer.scans

    async def start(request: Request) -> JSONResponse:
        scans = scan_queue()
        entry = viewer.catalogue[str((await read_body(request)).get("slide"))]
        if not (await viewer.run(describe, entry))["can_scan"]:
            raise ViewerError(f"{entry.name} is already scanned or being scanned", 409)
        await viewer.run(scans.start, entry)
        return JSONResponse(await viewer.run(describe, entry), 202)

    async def cancel(request: Request) -> JSONResponse:
        scans = scan_queue()
        entry = viewer.catalogue[request.path_params["slide"]]
        await viewer.run(scans.cancel, entry)
        return JSONResponse(await viewer.run(describe, entry))

    def all_slides() -> list[dict[str, Any]]:
        viewer.catalogue.refresh()
        return [describe(entry) for entry in viewer.catalogue]

    def own_slides() -> list[dict[str, Any]]:
        return [describe(viewer.catalogue[name]) for name in (viewer.scans.touched() if viewer.scans else ())]

    async def changes() -> AsyncIterator[str]:
        yield ": connected\n\n"
        began = time.monotonic()
        sent = {slide["id"]: slide for slide in await viewer.run(all_slides)}
        took_s = time.monotonic() - began
        for slide in sent.values():  # They may have changed since the page asked for them.
            yield _event(slide)
        wake_s = looked_s = time.monotonic()
        while not viewer.stopping.is_set():
            began = time.monotonic()
            wanted = all_slides if began - looked_s > max(_LOOK_S, 20 * took_s) else own_slides
            changed = [slide for slide in await viewer.run(wanted) if sent.get(slide["id"]) != slide]
            if wanted is all_slides:
                looked_s, took_s = began, time.monotonic() - began
            for slide in changed:
                sent[slide["id"]], wake_s = slide, began
                yield _event(slide)
            if began - wake_s > _SILENT_S:
                wake_s = began
                yield ": still here\n\n"
            await asyncio.sleep(_INTERVAL_S)

    async def events(request: Request) -> StreamingResponse:
        return StreamingResponse(changes(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    return [
        Route("/api/scans", start, methods=["POST"]),
        Route("/api/scans/{slide}", cancel, methods=["DELETE"]),
        Route("/api/events", events),
    ]


def _event(slide: dict[str, Any]) -> str:
    return f"event: slide\ndata: {json.dumps(slide)}\n\n"
