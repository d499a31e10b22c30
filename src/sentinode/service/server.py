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
    _in_head = False
    _bytes_without_body = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # noqa: D102
        super().connection_made(transport)
        self._start_deadline()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._bytes_without_body += len(data)
        super().data_received(data)
        if self._bytes_without_body > MAX_HEAD_BYTES:
            self._refuse("431 Request Header Fields Too Large")
        elif self.cycle is None or self.cycle.response_complete:
            # uvicorn has stopped its timer, but the data may be an empty line, or the rest of a body that nobody reads.
            self._start_deadline()

    def on_message_begin(self) -> None:  # noqa: D102
        super().on_message_begin()
        self._in_head, self._bytes_without_body = True, 0
        self._start_deadline()

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102
        if self._in_head:  # Else a trailer after a body, which uvicorn would add to the headers.
            super().on_header(name, value)

    def on_headers_complete(self) -> None:  # noqa: D102
        self._in_head, self._bytes_without_body = False, 0
        self._end_deadline()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:  # noqa: D102
        self._bytes_without_body = 0
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._end_deadline()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: D102
        self._abandon_request()
        super().send_400_response(msg)

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_S, self._refuse, "408 Request Timeout")

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: str) -> None:
        self._end_deadline()
        self._abandon_request()
        if not self.transport.is_closing():
            self.transport.write(f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode())
            self.transport.close()

    def _abandon_request(self) -> None:
        if self.cycle is not None:  # It shall not answer on a connection that is closed here.
            self.cycle.disconnected = True
            self.cycle.message_event.set()


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
