"""Ctrl-C and SIGTERM as a request that is met after the current step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from sentinode.training.distributed import ProcessGroup


class StopRequest:
    """Which signal asked to stop, if any."""

    signal_number: int | None = None

    def asked(self) -> int | None:
        """Return the signal."""
        return self.signal_number


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note SIGINT and SIGTERM instead of dying of them; a second one interrupts at once.

    Outside the main thread signals cannot be caught, and nothing is changed.
    """
    request = StopRequest()

    def note(number: int, _: FrameType | None) -> None:
        if request.signal_number is not None:
            raise KeyboardInterrupt
        request.signal_number = number

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class SharedStopRequest(StopRequest):
    """A stop that is asked of one process, and met by all after the same step.

    What a process was asked is known to all one step later: nobody waits for an answer while there is a step to do.

    Parameters
    ----------
    request
        Of this process.
    crew
        All of them ask after every step.
    """

    def __init__(self, request: StopRequest, group: ProcessGroup) -> None:
        self._request, self._crew = request, group
        self._on_its_way: Any = None

    def asked(self) -> int | None:
        """Return the signal; the same in every process."""
        if self.signal_number is None:
            number = int(self._on_its_way or 0)
            self._on_its_way = self._crew.launch_largest(self._request.asked() or 0)
            self.signal_number = number or None
        return self.signal_number
