"""Who may use the service: checks of the Host and Origin headers and of a bearer token."""

import secrets
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class AccessControl:
    """Refuses requests of pages on other sites, and those without the token where there is one.

    The Host header must be a name of this service: otherwise a web page could reach it through a domain that it points
    to 127.0.0.1 (DNS rebinding). A browser also states the page a request comes from, which must be of this service.

    Parameters
    ----------
    application : ASGI application
    hosts : collection of str
        Names and addresses of the service, without port; ``"*"`` allows all.
    token : str or None
        What must follow ``Authorization: Bearer``.
    open_paths : collection of str
        Paths that need no token; ``/static/*`` stands for all that begin with ``/static/``.
    cookie : str, optional
        Name of a cookie that may hold the token. Browsers send it to every port of this machine, so that all requests
        of pages must then come from this very host and port.
    """

    def __init__(
        self,
        application: ASGIApp,
        hosts: Collection[str],
        token: str | None,
        open_paths: Collection[str] = (),
        cookie: str = "",
    ) -> None:
        self._application = application
        self._hosts = {host.lower() for host in hosts}
        self._token = token
        self._open_paths = {path for path in open_paths if not path.endswith("*")}
        self._open_prefixes = tuple(path[:-1] for path in open_paths if path.endswith("*"))
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(headers, scope["path"].removeprefix(scope.get("root_path", "")))
        await (refusal or self._application)(scope, receive, send)

    def _refusal(self, headers: Headers, path: str) -> JSONResponse | None:
        host = host_name(headers.get("host", ""))
        if not host:
            return _error(400, "the Host header is missing or invalid; send the name of this service in it")
        if not self._allows(host):
            return _error(400, f"unknown host {host!r}; start the service with --allow-host {host}")
        origin = headers.get("origin")
        if origin is not None and not self._allows_origin(origin, headers):
            return _error(403, f"requests from pages of {origin} are not allowed")
        if self._token is None or path in self._open_paths or path.startswith(self._open_prefixes):
            return None
        if self._cookie and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return _error(403, "requests from other pages are not allowed")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = cookie_parser(headers.get("cookie", "")).get(self._cookie, "") if self._cookie else ""
        if secrets.compare_digest(given.strip().encode(), self._token.encode()):
            return None
        how = "open the address that sentinode view printed, or " if self._cookie else ""
        refused = _error(401, f"{how}send the header Authorization: Bearer TOKEN with the token of this service")
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused

    def _allows_origin(self, origin: str, headers: Headers) -> bool:
        page = origin.lower().partition("://")[2]
        return page == headers.get("host", "").lower() if self._cookie else self._allows(host_name(page))

    def _allows(self, host: str) -> bool:
        return "*" in self._hosts or host.lower() in self._hosts


def host_name(header: str) -> str:
    """Return the host in a Host header, without its port.

    Examples
    --------
    >>> host_name("localhost:8000"), host_name("[::1]:8000"), host_name("example.org")
    ('localhost', '::1', 'example.org')
    """
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
