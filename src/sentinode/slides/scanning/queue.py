"""The slides of a command that scans many, in their order, and which of them this process may work on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sentinode.errors import SentinodeError
from sentinode.slides.isolation import reason
from sentinode.slides.scanning.leases import Lease, take_lease

# Where the workers begin that join the scan of a slide: far from those before.
_STARTS = (1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8)


@dataclass(frozen=True)
class Rows:
    """Rows of a slide, from a fraction of them on, for the worker that scans it."""

    path: Path
    start: float


class SlideQueue:
    """Slides to scan: takes the lease of each before it is worked on, and gives it back after.

    Iterating gives the slides that no other process works on.

    Parameters
    ----------
    paths : sequence of Path
    out : Path or None
        Folder of the results and leases; None takes no leases.
    divide : bool
        Whether workers that are free when all slides are begun get rows of the slides that are not finished.

    Attributes
    ----------
    finished : list of Path
        Slides that nothing is left to do for, also those that failed.
    elsewhere : list of str
        Files that other processes work on.
    failures : list of (str, str)
        Files that failed, and why.
    """

    def __init__(self, paths: Sequence[Path], out: Path | None, divide: bool) -> None:
        self._paths, self._out, self._divide = paths, out, divide and out is not None
        self._leases: dict[Path, Lease] = {}
        self.finished: list[Path] = []
        self.elsewhere: list[str] = []
        self.failures: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[Path | Rows]:
        for path in self._paths:
            if self._out is not None:
                try:
                    lease = take_lease(self._out, path.stem)
                except SentinodeError as error:
                    self.done(path, error)
                    continue
                if lease is None:
                    self.finished.append(path)
                    self.elsewhere.append(path.name)
                    continue
                self._leases[path] = lease
            yield path
        for start in _STARTS if self._divide else ():
            for path in self._paths:
                if path in self._leases:
                    yield Rows(path, start)

    def done(self, path: Path, error: SentinodeError | None) -> None:
        """Note that a slide is finished, or why it failed."""
        self.finished.append(path)
        if path in self._leases:
            self._leases.pop(path).release()
        if error is not None:
            self.failures.append((path.name, reason(path, error)))

    def __enter__(self) -> "SlideQueue":
        return self

    def __exit__(self, *error: object) -> None:
        for lease in self._leases.values():
            lease.release()
