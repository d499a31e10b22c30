"""Read slides in processes of their own: a file that crashes or stalls its decoder ends one of them, not the server."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import numpy as np

from sentinode.data.parallel import MAX_THREADS
from sentinode.data.types import UInt8Array
from sentinode.errors import DataError, SentinodeError, first_line
from sentinode.machine import processor_count
from sentinode.slides.isolation import IsolatedWorker, ProcessDiedError, reason
from sentinode.slides.slide import Slide, open_slide
from sentinode.viewer.errors import ViewerError
from sentinode.viewer.slides.tiles import encode_jpeg

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")

Stamp = tuple[int, int]

# Without an answer and without a part of a slide read; decoding a tile takes milliseconds.
STALLED_S = 20.0
# Calls that may end a process before nothing is read from a file any more.
_MOST_DEATHS = 2
# Tiles of so many columns and rows are decoded by the same process: those of the file are larger than those sent.
_NEIGHBORS = 4
# In each process; each slide keeps decoded tiles.
_MOST_OPEN_SLIDES, _CACHED_BYTES = 4, 64 << 20


@dataclass(frozen=True)
class SlideFile:
    """What identifies an open slide.

    Attributes
    ----------
    path : Path
    stamp : tuple of int
        What changes when the file does.
    spacing_um_px : float or None
        µm per pixel that the user states.
    """

    path: Path
    stamp: Stamp
    spacing_um_px: float | None = None


@dataclass(frozen=True)
class _Job:
    file: SlideFile
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    # Number of the process that should take it, because it has read what lies near; or that must, where it is fixed.
    home: int
    fixed: bool
    answer: "Future[Any]"


class SlideReaders:
    """Processes that read slides, each with its open slides; one that dies is started again.

    Parameters
    ----------
    count : int, optional
        Number of processes; one for each processor, eight at the most, where it is not given.
    stalled_s : float
        Seconds without progress after which a process is ended.
    """

    def __init__(self, count: int | None = None, stalled_s: float = STALLED_S) -> None:
        self.count = count or min(processor_count(), MAX_THREADS)
        self._stalled_s = stalled_s
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = threading.Event()
        # Calls that ended a process, and the error of each.
        self._fatal: dict[SlideFile, dict[tuple[Any, ...], ViewerError]] = {}
        self._started = 0
        self._threads: list[threading.Thread] = []
        for number in range(self.count):
            moments = get_context("spawn").Value("Q", 0, lock=False)
            worker: IsolatedWorker[Any, Any] = IsolatedWorker(partial(_prepare, moments), self._closed)
            thread = threading.Thread(target=self._work, args=(number, worker, moments), name="slides", daemon=True)
            thread.start()
            self._threads.append(thread)

    def wait_until_started(self) -> None:
        """Return when the processes run."""
        with self._changed:
            self._changed.wait_for(lambda: self._started == self.count or self._closed.is_set())

    def open(self, file: SlideFile) -> None:
        """Open a slide in each process, ahead of what will be asked of it."""
        for number in range(self.count):
            self._submit(_Job(file, _warm_up, (), number, True, Future()))

    def submit(
        self, file: SlideFile, function: Callable[[Slide, *Arguments], T], *arguments: *Arguments
    ) -> "Future[T]":
        """Call a function of a module with an open slide and further arguments in one of the processes.

        Calls with about the same numbers go to the same process while it is free, since it keeps what it has decoded.

        Raises
        ------
        ViewerError
            By the future: the process died, or stood still. The same call is not made again for this file, and after
            a second such end nothing is read from it, until it changes.
        SentinodeError
            By the future: the slide cannot be opened, or what the function raised.
        """
        answer: Future[T] = Future()
        near = (number // _NEIGHBORS for number in arguments if isinstance(number, int))
        self._submit(_Job(file, function, arguments, hash((file.path, *near)) % self.count, False, answer))
        return answer

    def close(self) -> None:
        """End the processes."""
        with self._changed:
            self._closed.set()
            for job in self._jobs:
                job.answer.cancel()
            self._jobs.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _submit(self, job: _Job) -> None:
        with self._changed:
            if self._closed.is_set():
                job.answer.cancel()
                return
            self._jobs.append(job)
            self._changed.notify_all()

    def _next(self, number: int) -> _Job | None:
        def found() -> _Job | None:
            own = next((job for job in self._jobs if job.home == number), None)
            return own or next((job for job in self._jobs if not job.fixed), None)

        with self._changed:
            self._changed.wait_for(lambda: self._closed.is_set() or found() is not None)
            job = None if self._closed.is_set() else found()
            if job is not None:
                self._jobs.remove(job)
            return job

    def _check(self, job: _Job) -> None:
        """Refuse what has ended a process before."""
        with self._changed:
            fatal = self._fatal.get(job.file, {})
            if len(fatal) >= _MOST_DEATHS:
                raise ViewerError(
                    f"{job.file.path}: reading it crashed a process {len(fatal)} times; copy the file again; it is not "
                    "read until it changes",
                    422,
                )
            if (before := fatal.get((job.function, repr(job.arguments)))) is not None:
                raise before

    def _work(self, number: int, worker: IsolatedWorker[Any, Any], moments: Any) -> None:
        with suppress(SentinodeError, OSError):  # Otherwise the first job says what is wrong.
            worker.start()
        with self._changed:
            self._started += 1
            self._changed.notify_all()
        while (job := self._next(number)) is not None:
            if not job.answer.set_running_or_notify_cancel():
                continue
            task = job.file, job.function, job.arguments
            try:
                self._check(job)
                result = worker.call(task, stalled_s=self._stalled_s, progress=lambda: int(moments.value))
            except ProcessDiedError as error:
                refusal = ViewerError(f"{reason(job.file.path, error)}; copy it again", 422)
                job.answer.set_exception(refusal)
                if self._closed.is_set():
                    break
                with self._changed:
                    self._fatal.setdefault(job.file, {})[job.function, repr(job.arguments)] = refusal
                with suppress(SentinodeError, OSError):
                    worker.start()
            except (SentinodeError, OSError) as error:
                job.answer.set_exception(error)
            else:
                job.answer.set_result(result)
        worker.close()


def _warm_up(slide: Slide) -> None:
    """Load the encoder, which the first tile would wait for."""
    encode_jpeg(np.zeros((1, 1, 3), np.uint8), 80)


def _prepare(moments: Any) -> Callable[[Any], Any]:
    """Return the function of a process: it opens slides, keeps them open, and calls what is asked."""
    slides: OrderedDict[SlideFile, Slide] = OrderedDict()

    def opened(file: SlideFile) -> Slide:
        if file not in slides:
            for other in [each for each in slides if each.path == file.path]:  # The file was replaced.
                slides.pop(other).close()
            slide = open_slide(  # Also shows slides that were scanned with --force.
                file.path, spacing_um_px=file.spacing_um_px, force=True, cache_bytes=_CACHED_BYTES
            )
            reader = _CountingReader(slide.reader, moments)
            slides[file] = replace(slide, reader=reader, shrinking=reader if slide.shrinking is not None else None)
            if len(slides) > _MOST_OPEN_SLIDES:
                slides.popitem(last=False)[1].close()
        slides.move_to_end(file)
        return slides[file]

    def answer(job: tuple[SlideFile, Callable[..., Any], tuple[Any, ...]]) -> Any:
        file, function, arguments = job
        try:
            return function(opened(file), *arguments)
        except (OSError, MemoryError) as error:
            raise DataError(f"{file.path}: cannot be read ({first_line(error)})") from error

    return answer


class _CountingReader:
    """Counts what was read: a slide without coarse levels takes long for its overview, but does not stand still."""

    def __init__(self, reader: Any, moments: Any) -> None:
        self._reader, self._moments = reader, moments

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array:
        self._moments.value += 1
        pixels: UInt8Array = self._reader.read(level, x_px, y_px, width_px, height_px)
        return pixels

    def read_shrunk(self, level: int, factor: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array:
        self._moments.value += 1
        pixels: UInt8Array = self._reader.read_shrunk(level, factor, x_px, y_px, width_px, height_px)
        return pixels
