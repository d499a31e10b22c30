"""The application: ``POST /predict``, ``GET /health``, ``GET /openapi.json``, and a page that says how to use them."""

import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sentinode.data.types import DEFAULT_OPTIONS, ReadOptions, UInt8Array
from sentinode.errors import plural
from sentinode.inference.logits import probability
from sentinode.machine import processor_count
from sentinode.service.access import LOOPBACK, AccessControl
from sentinode.service.batching import BatchQueue, QueueFullError
from sentinode.service.bodies import BUSY, RETRY, HeldBodies, read_images
from sentinode.service.images import Limits, decode_images
from sentinode.service.openapi import describe_service
from sentinode.version import __version__

if TYPE_CHECKING:
    from sentinode.inference.predictor import Session

DEFAULT_LIMITS = Limits()


def create_application(
    session: "Session",
    *,
    limits: Limits = DEFAULT_LIMITS,
    options: ReadOptions = DEFAULT_OPTIONS,
    hosts: Collection[str] = LOOPBACK,
    token: str | None = None,
) -> Starlette:
    """Create the HTTP application of a loaded model, for any ASGI server.

    Parameters
    ----------
    session : Session
        From ``run.session()``.
    limits : Limits
        What a request may hold, and how much may wait.
    options : ReadOptions
        Treatment of images of other sizes and scales, of transparent and of gray images.
    hosts : collection of str
        Host names under which the service may be called; ``"*"`` allows all.
    token : str, optional
        Requests must send it as a bearer token, except those for ``/health``.

    Returns
    -------
    Starlette

    Examples
    --------
    >>> from sentinode import load_run
    >>> application = create_application(load_run("d4net-m").session())
    >>> [route.path for route in application.routes]
    ['/', '/predict', '/health', '/openapi.json']
    """
    model = session.source
    queue = BatchQueue(
        lambda images: decode_images(images, options, limits),
        lambda pixels: _results(session, pixels),
        limits.waiting_patches,
        # Keras is not made for calls from several threads.
        threads=processor_count() if session.settings.get("engine") == "onnxruntime" else 1,
    )
    description = describe_service(model.name, limits, with_token=token is not None)
    page = _page(model.name, limits, with_token=token is not None)
    bodies = HeldBodies(limits)
    started = time.monotonic()

    async def predict(request: Request) -> JSONResponse:
        with bodies.request() as body:
            images = await read_images(request, limits, body)
            try:
                results = await queue.results(images)
            except QueueFullError:
                raise HTTPException(
                    BUSY,
                    f"{plural(queue.waiting, 'patch')} in the queue, and at most {limits.waiting_patches:,} may wait; "
                    "try again",
                    RETRY,
                ) from None
        named = [{"name": image.name, **result} for image, result in zip(images, results, strict=True)]
        return JSONResponse({"model": model.name, "threshold": model.threshold, "results": named})

    async def health(request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "status": "ok",
                "model": model.name,
                "version": __version__,
                "uptime_s": round(time.monotonic() - started, 1),
                "waiting_patches": queue.waiting,
            }
        )

    async def openapi(request: Request) -> JSONResponse:
        # Clients add the paths to the place of the service, which another application or a proxy may have chosen.
        return JSONResponse({**description, "servers": [{"url": request.scope.get("root_path") or "/"}]})

    async def index(request: Request) -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"})

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(queue.close)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/predict", predict, methods=["POST"]),
            Route("/health", health),
            Route("/openapi.json", openapi),
        ],
        middleware=[Middleware(AccessControl, hosts=hosts, token=token, open_paths=("/health",))],
        exception_handlers={HTTPException: _refuse, ClientDisconnect: _ignore, Exception: _fail},
        lifespan=lifespan,
    )


def _results(session: "Session", pixels: UInt8Array) -> list[dict[str, Any]]:
    logits = session.compute(pixels)
    warnings = session.source.warnings(pixels) or [""] * len(pixels)
    probabilities = probability(logits)
    return [
        {
            "probability": round(float(p), 6),
            "logit": round(float(logit), 6),
            "prediction": int(p >= session.source.threshold),
            "warning": warning or None,
        }
        for p, logit, warning in zip(probabilities, logits, warnings, strict=True)
    ]


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _ignore(request: Request, error: Exception) -> Response:
    return Response()  # The client has gone, and will not see it.


async def _fail(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "the prediction failed; see the log of the service"}, 500)


def _page(model: str, limits: Limits, with_token: bool) -> str:
    environment = jinja2.Environment(loader=jinja2.PackageLoader("sentinode.service", "."), autoescape=True)
    template = environment.get_template("index.html.j2")
    return template.render(model=model, limits=limits, with_token=with_token, version=__version__)
