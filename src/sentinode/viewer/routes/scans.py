"""Routes of scans, and of the events that tell how far they are."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from sentinode.viewer.errors import ViewerError
from sentinode.viewer.scans import ScanQueue
from sentinode.viewer.viewer import Viewer, read_body, viewer_of
from sentinode.viewer.worklist import describe_slide, describe_slides

_INTERVAL_S = 0.5
# Interval at which scans of other processes are searched for.
_LOOK_S = 2.0
# A comment now and then shows that a connection is broken.
_SILENT_S = 15.0


async def _start(request: Request) -> JSONResponse:
    viewer = viewer_of(request)
    scans = _scan_queue(viewer)
    entry = viewer.catalogue[str((await read_body(request)).get("slide"))]
    if not (await viewer.run(describe_slide, viewer, entry))["can_scan"]:
        raise ViewerError(f"{entry.name} is already scanned or being scanned", 409)
    await viewer.run(scans.start, entry)
    return JSONResponse(await viewer.run(describe_slide, viewer, entry), 202)


async def _cancel(request: Request) -> JSONResponse:
    viewer = viewer_of(request)
    scans, entry = _scan_queue(viewer), viewer.entry(request)
    await viewer.run(scans.cancel, entry)
    return JSONResponse(await viewer.run(describe_slide, viewer, entry))


def _scan_queue(viewer: Viewer) -> ScanQueue:
    viewer.check_writable()
    assert viewer.scans is not None
    return viewer.scans


async def _events(request: Request) -> StreamingResponse:
    changes = _changes(viewer_of(request))
    return StreamingResponse(changes, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _changes(viewer: Viewer) -> AsyncIterator[str]:
    yield ": connected\n\n"
    began = time.monotonic()
    sent = {slide["id"]: slide for slide in await viewer.run(describe_slides, viewer)}
    took_s = time.monotonic() - began
    for slide in sent.values():  # They may have changed since the page asked for them.
        yield _event(slide)
    wake_s = looked_s = time.monotonic()
    while not viewer.stopping.is_set():
        began = time.monotonic()
        wanted = describe_slides if began - looked_s > max(_LOOK_S, 20 * took_s) else _own_slides
        changed = [slide for slide in await viewer.run(wanted, viewer) if sent.get(slide["id"]) != slide]
        if wanted is describe_slides:
            looked_s, took_s = began, time.monotonic() - began
        for slide in changed:
            sent[slide["id"]], wake_s = slide, began
            yield _event(slide)
        if began - wake_s > _SILENT_S:
            wake_s = began
            yield ": still here\n\n"
        await asyncio.sleep(_INTERVAL_S)


def _own_slides(viewer: Viewer) -> list[dict[str, Any]]:
    names = viewer.scans.touched() if viewer.scans else ()
    return [describe_slide(viewer, viewer.catalogue[name]) for name in names]


def _event(slide: dict[str, Any]) -> str:
    return f"event: slide\ndata: {json.dumps(slide)}\n\n"


ROUTES = (
    Route("/api/scans", _start, methods=["POST"]),
    Route("/api/scans/{slide}", _cancel, methods=["DELETE"]),
    Route("/api/events", _events),
)
