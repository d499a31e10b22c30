"""Collect the images of concurrent requests into batches for the network."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.service.images import EncodedImage

# Larger batches are hardly faster, and make each request wait longer.
BATCH_PATCHES = 12

Decode = Callable[[Sequence[EncodedImage]], UInt8Array]
Compute = Callable[[UInt8Array], list[Any]]


class QueueFullError(Exception):
    """More images wait than allowed."""


@dataclass(frozen=True)
class _Job:
    images: Sequence[EncodedImage]
    answer: "asyncio.Future[list[Any]]"
    loop: asyncio.AbstractEventLoop


class BatchQueue:
    """Decodes and computes in threads of its own; what arrives during a batch forms the next one.

    Nothing waits for a batch to fill: a lone request is computed at once, and the more requests there are, the larger
    the batches. Images are decoded in the thread that computes them: handing them on would cost more than it gains.

    Parameters
    ----------
    decode : callable
        The images of a request in, uint8 patches ``(n, 96, 96, 3)`` out; what it raises is raised for that request.
    compute : callable
        uint8 patches ``(n, 96, 96, 3)`` in, a list with one result per patch out.
    waiting_images : int
        The most images that may wait.
    threads : int
        Batches at a time.
    """

    def __init__(self, decode: Decode, compute: Compute, waiting_images: int, threads: int = 1) -> None:
        self._decode, self._compute = decode, compute
        self._most = waiting_images
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._waiting = 0
        self._count = threads
        self._threads: list[threading.Thread] = []

    @property
    def waiting(self) -> int:
        """The number of images that wait."""
        return self._waiting

    async def results(self, images: Sequence[EncodedImage]) -> list[Any]:
        """Return one result per image.

        Raises
        ------
        QueueFullError
            The images would exceed what may wait.
        """
        loop = asyncio.get_running_loop()
        job = _Job(images, loop.create_future(), loop)
        with self._changed:
            if self._waiting + len(images) > self._most:
                raise QueueFullError
            self._jobs.append(job)
            self._waiting += len(images)
            if not self._threads:
                self._start()
            self._changed.notify()
        return await job.answer

    def _start(self) -> None:
        self._threads = [threading.Thread(target=self._work, name="network", daemon=True) for _ in range(self._count)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Compute what still waits, and end the threads; the next request starts new ones."""
        with self._changed:
            threads, self._threads = self._threads, []  # A request that arrives from here on starts new ones.
            self._changed.notify_all()
        for thread in threads:
            thread.join()

    def _work(self) -> None:
        while jobs := self._next_batch():
            answers = self._answers(jobs)
            for job, answer in zip(jobs, answers, strict=True):
                with suppress(RuntimeError):  # The event loop was closed meanwhile.
                    job.loop.call_soon_threadsafe(_give, job.answer, answer)

    def _answers(self, jobs: list[_Job]) -> "list[list[Any] | BaseException]":
        answers: list[Any] = [_attempt(self._decode, job.images) for job in jobs]
        decoded = [number for number, pixels in enumerate(answers) if isinstance(pixels, np.ndarray)]
        if decoded:
            results = _attempt(self._compute, np.concatenate([answers[number] for number in decoded]))
            start = 0
            for number in decoded:
                end = start + len(jobs[number].images)
                answers[number] = results if isinstance(results, BaseException) else results[start:end]
                start = end
        return answers

    def _next_batch(self) -> list[_Job]:
        """Wait for jobs, and return as many as fit into a batch, at least one; none after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or threading.current_thread() not in self._threads)
            batch: list[_Job] = []
            count = 0
            while self._jobs and (not batch or count + len(self._jobs[0].images) <= BATCH_PATCHES):
                batch.append(self._jobs.popleft())
                count += len(batch[-1].images)
            self._waiting -= count
            return batch


def _attempt(function: Callable[[Any], Any], argument: Any) -> Any:
    """Return what a function returns or raises."""
    try:
        return function(argument)
    except BaseException as error:
        return error


def _give(future: "asyncio.Future[list[Any]]", answer: "list[Any] | BaseException") -> None:
    if future.done():  # The client has gone.
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
