"""Run the application on uvicorn."""

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sentinode.errors import OutputError

# Request line and headers of a request; uvicorn has no limits of its own for these.
MAX_HEAD_BYTES = 64 * 1024
HEAD_S = 20

# Requests that run when the service is stopped may take this long.
_SHUTDOWN_S = 30


def listen(host: str, port: int) -> socket.socket:
    """Open the socket of a service.

    Parameters
    ----------
    host : str
        Name or address to listen on.
    port : int
        0: any free one.

    Returns
    -------
    socket

    Raises
    ------
    OutputError
        The address cannot be used.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family, backlog=1024)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no host can have.
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"cannot listen on {host} port {port} ({reason}); choose another with --host or --port"
        ) from error


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with limits on the length of request line and headers, and on how long they take.

    Otherwise one client could fill the memory with headers, or keep all connections open by sending nothing.
    """

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # noqa: D102
        super().connection_made(transport)
        self.on_head_begin()

    def on_head_begin(self) -> None:
        """Start to count bytes and seconds."""
        self._head_bytes = 0
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_S, self._refuse, "408 Request Timeout")

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if self._deadline is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._deadline is not None and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse("431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:  # noqa: D102
        super().on_message_begin()
        self.on_head_begin()

    def on_headers_complete(self) -> None:  # noqa: D102
        self._end_of_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._end_of_head()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: D102
        if self.cycle is not None:  # It shall not answer on a connection that is closed here.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        super().send_400_response(msg)

    def _end_of_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: str) -> None:
        self._end_of_head()
        if not self.transport.is_closing():
            self.transport.write(f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode())
            self.transport.close()


def serve(
    application: Starlette,
    listening: socket.socket,
    started: Callable[[], None],
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve until the process gets SIGINT or SIGTERM, then finish the requests that run.

    Parameters
    ----------
    application : Starlette
    listening : socket
        From `listen`.
    started : callable
        Called when requests are accepted.
    stopping : callable
        Called when a signal arrives, to end answers that have no end by themselves.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                started()

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # uvicorn's own would raise the signal again after the shutdown; a service that was asked to stop succeeded.
            self.force_exit = self.should_exit and sig == signal.SIGINT
            self.should_exit = True
            stopping()

    settings = uvicorn.Config(
        application,
        http=Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        server_header=False,
    )
    Server(settings).run(sockets=[listening])
