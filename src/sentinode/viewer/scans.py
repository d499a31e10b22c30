"""Scans that are started from the page, one after the other, in a process of their own."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sentinode.errors import SentinodeError, first_line
from sentinode.slides.isolation import IsolatedWorker, ProcessDiedError
from sentinode.slides.scanning.leases import take_lease
from sentinode.viewer.catalogue import Catalogue, Entry
from sentinode.viewer.errors import ViewerError

WAITING, SCANNING, DONE, FAILED, CANCELED = "waiting", "scanning", "done", "failed", "canceled"

# A slide's file, its µm per pixel where the user states it, and the folder for its result.
_Job = tuple[Path, float | None, Path]


@dataclass(frozen=True)
class ScanState:
    """How far the scan of a slide is.

    Attributes
    ----------
    state : str
    error : str or None
        Why it failed.
    """

    state: str
    error: str | None = None


class ScanQueue:
    """Scans slides one after the other.

    Parameters
    ----------
    catalogue : Catalogue
    model : str
        A run, the name of pretrained weights, or a model file.
    out : Path
        Folder for the results, one folder for each slide.
    spacing : callable
        µm per pixel that the user states for a slide, or None.
    """

    def __init__(self, catalogue: Catalogue, model: str, out: Path, spacing: Callable[[Path], float | None]) -> None:
        self._catalogue, self._out, self._spacing = catalogue, out, spacing
        # Shared memory: the fraction of the present scan that is done. A killed process could keep a lock.
        self._progress = multiprocessing.get_context("spawn").Value("d", 0.0, lock=False)
        # Ends the present scan; cleared when the next one begins.
        self._stop = threading.Event()
        self._worker: IsolatedWorker[_Job, None] = IsolatedWorker(partial(_prepare, model, self._progress), self._stop)
        self._states: dict[str, ScanState] = {}
        self._waiting: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._running: Entry | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self, entry: Entry) -> None:
        """Queue a slide."""
        with self._changed:
            if self.state(entry).state in (WAITING, SCANNING):
                raise ViewerError(f"{entry.name} is already being scanned or queued", 409)
            self._states[entry.id] = ScanState(WAITING)
            self._waiting.append(entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="scans", daemon=True)
                self._thread.start()
            self._changed.notify()

    def cancel(self, entry: Entry) -> None:
        """End the scan of a slide, or take it from the queue; finished rows are kept for the next scan."""
        with self._changed:
            if self.state(entry).state not in (WAITING, SCANNING):
                raise ViewerError(f"{entry.name} is not being scanned", 409)
            self._states[entry.id] = ScanState(CANCELED)
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif self._running is entry:
                self._stop.set()

    def state(self, entry: Entry) -> ScanState:
        """Return how far the scan of a slide is."""
        return self._states.get(entry.id, ScanState(""))

    def progress(self, entry: Entry) -> float | None:
        """Return the fraction that is done of the slide that is scanned now."""
        return round(self._progress.value, 3) if self._running is entry else None

    def is_running(self, entry: Entry) -> bool:
        """Tell whether a slide is scanned now, or its scan is about to end."""
        return self._running is entry

    def touched(self) -> list[str]:
        """Return the ids of the slides that were queued."""
        return list(self._states)

    def close(self) -> None:
        """End the scan that runs."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._stop.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while (entry := self._next()) is not None:
            state = self._scan(entry)
            self._catalogue.refresh()
            with self._changed:
                self._running = None
                if not self._stop.is_set():  # It was canceled, and perhaps queued again since.
                    self._states[entry.id] = state
        self._worker.close()

    def _next(self) -> Entry | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            self._stop.clear()
            self._running = self._waiting.popleft()
            self._states[self._running.id] = ScanState(SCANNING)
            self._progress.value = 0.0
            return self._running

    def _scan(self, entry: Entry) -> ScanState:
        try:
            lease = take_lease(self._out, entry.path.stem)
            if lease is None:
                return ScanState(FAILED, "another process is scanning this slide; try again later")
            with lease:
                self._worker.call((entry.path, self._spacing(entry.path), self._out / entry.path.stem))
            return ScanState(DONE)
        except ProcessDiedError as error:
            return ScanState(FAILED, f"the process that scanned died ({error}); the file is damaged, or memory ran out")
        except (SentinodeError, OSError) as error:
            return ScanState(FAILED, self._catalogue.hide_names(first_line(error)))


def _prepare(model: str, progress: Any) -> Callable[[_Job], None]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from sentinode.slides.scanning.scanner import load_scanner
    from sentinode.training.load import load_predictor

    scanner = load_scanner(load_predictor([model]))

    def scan(job: _Job) -> None:
        from sentinode.slides.scanning.folder import scan_to_folder
        from sentinode.slides.slide import open_slide

        path, spacing, folder = job
        with open_slide(path, spacing_um_px=spacing) as slide:
            scan_to_folder(slide, scanner, folder, progress=lambda share: _set(progress, share))

    return scan


def _set(progress: Any, share: float) -> None:
    progress.value = share
