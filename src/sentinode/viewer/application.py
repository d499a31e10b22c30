"""The application: the page, its static files, and the routes that it calls."""

import errno
import hmac
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import jinja2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentinode.errors import OutputError, SentinodeError
from sentinode.service.access import LOOPBACK, AccessControl
from sentinode.version import __version__
from sentinode.viewer.errors import ViewerError
from sentinode.viewer.routes import annotations, gallery, patches, scans, slides
from sentinode.viewer.viewer import CLIENT_GONE, Viewer, viewer_of

STATIC = Path(__file__).parent / "static"
COOKIE = "sentinode_token"
# No script or style but those of the package; pictures may be drawn by the page itself.
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}


def create_viewer(viewer: Viewer, *, token: str, port: int = 0, hosts: Collection[str] = LOOPBACK) -> Starlette:
    """Create the HTTP application of the viewer, for any ASGI server.

    Parameters
    ----------
    viewer : Viewer
        What is shown.
    token : str
        Secret that the page's address holds once, and a cookie from then on.
    port : int
        The port that is listened on. Browsers send a cookie to all ports of a machine, so that its name must differ.
    hosts : collection of str
        Host names under which the viewer may be called; ``"*"`` allows all.

    Returns
    -------
    Starlette
    """
    cookie = f"{COOKIE}_{port}"
    application = Starlette(
        routes=[
            Route("/", _index),
            Route("/api/session", _session),
            *slides.ROUTES,
            *annotations.ROUTES,
            *patches.ROUTES,
            *gallery.ROUTES,
            *scans.ROUTES,
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[
            Middleware(_SafeHeaders),
            Middleware(AccessControl, hosts=hosts, token=token, open_paths=("/", "/static/*"), cookie=cookie),
        ],
        exception_handlers={HTTPException: _refuse, SentinodeError: _refuse, OSError: _refuse, Exception: _refuse},
        lifespan=_lifespan,
    )
    application.state.viewer, application.state.token, application.state.cookie = viewer, token, cookie
    return application


async def _index(request: Request) -> Response:
    state, given = request.app.state, request.query_params.get("token")
    if given is None:
        # The page itself holds no data, so that it can say what is wrong when the token is missing.
        environment = jinja2.Environment(loader=jinja2.PackageLoader("sentinode.viewer", "."), autoescape=True)
        return HTMLResponse(environment.get_template("index.html.j2").render(version=__version__))
    if not hmac.compare_digest(given.encode(), state.token.encode()):
        raise ViewerError("the token in the address is wrong; open the address that sentinode view printed", 401)
    answer = RedirectResponse("/", 303, {"Cache-Control": "no-store"})
    answer.set_cookie(state.cookie, state.token, path="/", httponly=True, samesite="strict")
    return answer


async def _session(request: Request) -> JSONResponse:
    viewer = viewer_of(request)
    pages = [*(["slides"] if len(viewer.catalogue) else []), *(["patches"] if viewer.gallery else [])]
    return JSONResponse({"user": viewer.user, "read_only": viewer.read_only, "pages": pages})


@asynccontextmanager
async def _lifespan(application: Starlette) -> AsyncIterator[None]:
    viewer: Viewer = application.state.viewer
    viewer.open_first()
    yield
    viewer.close()


async def _refuse(request: Request, error: Exception) -> Response:
    # Messages about patches name no slide, but words that a slide may be called.
    hide_names = str if request.url.path.startswith("/api/patches") else viewer_of(request).catalogue.hide_names
    if isinstance(error, ViewerError):
        if error.status == CLIENT_GONE:
            return Response(status_code=CLIENT_GONE)
        return JSONResponse({"error": hide_names(str(error)), **error.facts}, error.status)
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    if isinstance(error, SentinodeError):
        status = 507 if isinstance(error, OutputError) else 422
        return JSONResponse({"error": hide_names(str(error))}, status)
    if isinstance(error, OSError):
        status = 507 if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else 500
        return JSONResponse({"error": f"{error.strerror or 'a file cannot be read or written'}; try again"}, status)
    return JSONResponse({"error": "internal error; see the terminal running `sentinode view`"}, 500)


class _SafeHeaders:
    """Adds the headers of the content security policy to every answer."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), *_HEADERS.items()]
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-cache"))
                message["headers"] = headers
            await send(message)

        await self._application(scope, receive, send_safely if scope["type"] == "http" else send)
