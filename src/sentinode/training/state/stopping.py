"""Ctrl-C and SIGTERM as a request to stop after the current step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from sentinode.training.distributed import ProcessGroup


class StopRequest:
    """The signal that requested a stop, if any."""

    signal_number: int | None = None

    def asked(self) -> int | None:
        """Return the signal."""
        return self.signal_number


@contextmanager
def stop_requests(group: ProcessGroup) -> Iterator[StopRequest]:
    """Catch SIGINT and SIGTERM; a second signal interrupts at once.

    Outside the main thread, where Python cannot catch signals, nothing changes.

    Parameters
    ----------
    group : ProcessGroup
        A request to one process stops all of them.
    """
    request = StopRequest()

    def note(number: int, _: FrameType | None) -> None:
        if request.signal_number is not None:
            raise KeyboardInterrupt
        request.signal_number = number

    main = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.signal(number, note) for number in signals}
    try:
        yield SharedStopRequest(request, group) if group.processes > 1 else request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class SharedStopRequest(StopRequest):
    """A stop request to one process that all processes follow after the same step.

    Each process learns of a request one step later, so that no step waits for the exchange.

    Parameters
    ----------
    request : StopRequest
        The request to this process.
    group : ProcessGroup
        All processes call `asked` after every step.
    """

    def __init__(self, request: StopRequest, group: ProcessGroup) -> None:
        self._request, self._group = request, group
        self._pending: Any = None

    def asked(self) -> int | None:
        """Return the signal, the same in all processes."""
        if self.signal_number is None:
            number = int(self._pending or 0)
            self._pending = self._group.reduce_max(self._request.asked() or 0)
            self.signal_number = number or None
        return self.signal_number
