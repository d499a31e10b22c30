"""Collect the patches of concurrent requests into batches for the network."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentinode.data.types import UInt8Array

# Larger batches are not faster, and make each request wait longer.
BATCH_PATCHES = 32


class QueueFullError(Exception):
    """More patches wait than allowed."""


@dataclass(frozen=True)
class _Job:
    pixels: UInt8Array
    answer: "asyncio.Future[list[Any]]"
    loop: asyncio.AbstractEventLoop


class BatchQueue:
    """Computes patches in a thread of its own; what arrives during a batch forms the next one.

    Nothing waits for a batch to fill: a lone request is computed at once, and the more requests there are, the larger
    the batches.

    Parameters
    ----------
    compute : callable
        uint8 patches ``(n, 96, 96, 3)`` in, a list with one result per patch out.
    waiting_patches : int
        The most patches that may wait.
    """

    def __init__(self, compute: Callable[[UInt8Array], list[Any]], waiting_patches: int) -> None:
        self._compute = compute
        self._most = waiting_patches
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._waiting = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of patches that wait."""
        return self._waiting

    async def results(self, pixels: UInt8Array) -> list[Any]:
        """Return one result per patch.

        Raises
        ------
        QueueFullError
            The patches would exceed what may wait.
        """
        loop = asyncio.get_running_loop()
        job = _Job(pixels, loop.create_future(), loop)
        with self._changed:
            if self._waiting + len(pixels) > self._most:
                raise QueueFullError
            self._jobs.append(job)
            self._waiting += len(pixels)
            self._changed.notify()
        return await job.answer

    def close(self) -> None:
        """Compute what still waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._next_batch():
            try:
                results: list[Any] | BaseException = self._compute(np.concatenate([job.pixels for job in jobs]))
            except BaseException as error:
                results = error
            start = 0
            for job in jobs:
                part = results if isinstance(results, BaseException) else results[start : start + len(job.pixels)]
                start += len(job.pixels)
                job.loop.call_soon_threadsafe(_answer, job.answer, part)

    def _next_batch(self) -> list[_Job]:
        """Wait for jobs, and return as many as fit into a batch, at least one; none after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            batch: list[_Job] = []
            patches = 0
            while self._jobs and (not batch or patches + len(self._jobs[0].pixels) <= BATCH_PATCHES):
                batch.append(self._jobs.popleft())
                patches += len(batch[-1].pixels)
            self._waiting -= patches
            return batch


def _answer(future: "asyncio.Future[list[Any]]", result: "list[Any] | BaseException") -> None:
    if future.done():  # The client has gone.
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
