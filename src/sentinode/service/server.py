"""Run the application on uvicorn."""

import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from sentinode.errors import OutputError

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
        return socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        raise OutputError(
            f"cannot listen on {host} port {port} ({error.strerror or error}); choose another with --host or --port"
        ) from error


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
        application, log_level="warning", access_log=False, timeout_graceful_shutdown=_SHUTDOWN_S, server_header=False
    )
    Server(settings).run(sockets=[listening])
