"""The slides that the viewer shows, under ids that tell nothing of their files, and the results of their scans."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinode.data.camelyon17 import camelyon17_patient
from sentinode.errors import DataError
from sentinode.slides.results.files import SUMMARY
from sentinode.slides.slide import fingerprint
from sentinode.slides.staging import classify_lesion, pn_stage
from sentinode.storage import read_json
from sentinode.viewer.errors import ViewerError, not_found
from sentinode.viewer.slides.readers import SlideFile, SlideReaders, Stamp
from sentinode.viewer.slides.reading import SlideInfo, describe
from sentinode.viewer.targets import Targets


@dataclass
class Entry:
    """One slide.

    Attributes
    ----------
    id : str
        Its id, such as ``"s1"``.
    path : Path
        Its file.
    name : str
        What the page shows.
    results : dict of str to Result
        Finished scans, by id.
    info : SlideInfo or None
    opened : SlideFile or None
        The file as it was opened last, and what it holds.
    """

    id: str
    path: Path
    name: str
    results: "dict[str, Result]" = field(default_factory=dict)
    info: SlideInfo | None = None
    opened: SlideFile | None = None

    def stamp(self) -> Stamp:
        """Return what changes when the file does.

        Raises
        ------
        ViewerError
            The file is gone.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise ViewerError(
                f"{self.name}: its file cannot be read ({error.strerror}); check that it was not moved and that its "
                "disk is connected",
                410,
            ) from error
        return status.st_mtime_ns, status.st_size


@dataclass(frozen=True)
class Result:
    """A finished scan of a slide.

    Attributes
    ----------
    id : str
        Its id, such as ``"r1"``.
    folder : Path
        The result folder.
    summary : dict
        What ``summary.json`` holds.
    finished_ns : int
        Time of that file in ns.
    """

    id: str
    folder: Path
    summary: dict[str, Any]
    finished_ns: int


class Catalogue:
    """The slides among the targets.

    Parameters
    ----------
    targets : Targets
    out : Path
        Folder of decisions, and of scans that are started from the page.
    spacing : callable
        µm per pixel that the user states for a slide, or None.
    readers : SlideReaders
        Read the slides.
    show_names : bool
        Whether the page may show the names of files.

    Attributes
    ----------
    folders : tuple of Path
        Where results and decisions are.
    """

    def __init__(
        self,
        targets: Targets,
        out: Path,
        spacing: Callable[[Path], float | None],
        readers: SlideReaders,
        show_names: bool = False,
    ) -> None:
        self.folders = tuple(dict.fromkeys((*(folder.absolute() for folder in targets.results), out.absolute())))
        self._spacing, self._readers, self._show_names = spacing, readers, show_names
        self._entries = {
            f"s{number}": Entry(f"s{number}", path, path.name if show_names else f"Slide {number}")
            for number, path in enumerate(targets.slides, 1)
        }
        self._ids: dict[Path, int] = {}
        self._read: dict[Path, Result] = {}
        self._checked: dict[tuple[Path, Stamp], bool] = {}
        self._lock = threading.Lock()
        self.refresh()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, name: str) -> Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise not_found("slide") from None

    def result(self, entry: Entry, name: str) -> Result:
        """Return a scan of a slide by its id."""
        if name not in entry.results or not self._belongs(entry, entry.results[name]):
            raise not_found("result")
        return entry.results[name]

    def results(self, entry: Entry) -> list[Result]:
        """Return the finished scans of a slide, the latest last, without those of another file of the same name."""
        found = [result for result in entry.results.values() if self._belongs(entry, result)]
        return sorted(found, key=lambda result: result.finished_ns)

    def latest(self, entry: Entry) -> Result | None:
        """Return the latest scan of a slide."""
        return next(reversed(self.results(entry)), None)

    def refresh(self) -> None:
        """Look for finished scans."""
        by_name: dict[str, dict[str, Result]] = {}
        for folder in self.folders:
            for file in sorted(folder.glob(f"*/{SUMMARY}")):  # It says that a scan is finished.
                result = self._result(file)
                if result is not None:
                    by_name.setdefault(result.summary["slide"], {})[result.id] = result
        for entry in self:
            entry.results = by_name.get(entry.path.name, {})

    def _result(self, file: Path) -> Result | None:
        """Read a summary, or return what was read before; None where it is none of a scan."""
        try:
            finished_ns = file.stat().st_mtime_ns
            with self._lock:
                before = self._read.get(file)
            if before is not None and before.finished_ns == finished_ns:
                return before
            summary = read_json(file)
            name = summary["slide"] if isinstance(summary, dict) and "grid" in summary else None
        except (OSError, DataError, KeyError):
            return None
        if not isinstance(name, str):
            return None
        with self._lock:
            number = self._ids.setdefault(file.parent, len(self._ids) + 1)
            result = self._read[file] = Result(f"r{number}", file.parent, summary, finished_ns)
        return result

    def pn_stage(self, entry: Entry) -> str | None:
        """Return the stage of a slide's patient; None unless CAMELYON17's names say who it is and all are scanned."""
        patient = camelyon17_patient(entry.path.stem)
        if patient is None:
            return None
        found = [self.latest(node) for node in self if camelyon17_patient(node.path.stem) == patient]
        scanned = [result for result in found if result is not None]
        if len(scanned) < len(found):
            return None
        return pn_stage([classify_lesion(result.summary["largest_lesion_mm"]) for result in scanned])

    def file(self, entry: Entry) -> SlideFile:
        """Return what identifies the file of a slide as it is now.

        Raises
        ------
        ViewerError
            The file is gone.
        """
        return SlideFile(entry.path, entry.stamp(), self._spacing(entry.path))

    def info(self, entry: Entry) -> SlideInfo:
        """Return what the page must know of a slide; what it was last, where its file is gone."""
        try:
            file = self.file(entry)
        except ViewerError:
            if entry.info is None:
                raise
        else:
            if entry.info is None or entry.opened != file:
                entry.info, entry.opened = self._readers.submit(file, describe).result(), file
        return entry.info

    def hide_names(self, message: str) -> str:
        """Replace the paths and names of files in a message by what the page shows."""
        shown = {str(entry.path): (r"", entry.name, r"") for entry in self}
        if not self._show_names:
            for entry in self:
                stem = entry.path.stem
                shown[entry.path.name] = r"(?<!\w)", entry.name, r"(?!\w)"
                if stem.isdecimal():  # Messages have numbers of their own: 20 s, Slide 1.
                    shown[stem] = r"(?<![\w.])(?<!Slide )", entry.name, r"(?=[/:]|\.(?!\d)|$)"
                else:
                    shown[stem] = r"(?<!\w)", entry.name, r"(?!\w)"
        for folder in self.folders:
            shown[str(folder)] = r"", folder.name, r""
            shown[f"{folder}/"] = r"", r"", r""
        texts = sorted(shown, key=len, reverse=True)  # A path holds the names of its file and folder.
        patterns = "|".join(f"{shown[text][0]}{re.escape(text)}{shown[text][2]}" for text in texts)
        return re.sub(patterns, lambda found: shown[found[0]][1], message)

    def _belongs(self, entry: Entry, result: Result) -> bool:
        """Tell whether a result is of this file, and not of another one of the same name."""
        try:
            key = result.folder, entry.stamp()
        except ViewerError:
            return True  # The file is gone; its heat map can still be looked at.
        if key not in self._checked:
            self._checked[key] = fingerprint(entry.path) == result.summary.get("slide_fingerprint")
        return self._checked[key]
