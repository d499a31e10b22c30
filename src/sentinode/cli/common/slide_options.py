"""Options that the commands for whole slides share."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from sentinode.errors import ConfigError, plural

log = logging.getLogger("sentinode")


def add_slides(parser: argparse.ArgumentParser) -> None:
    """Add SLIDE: files and folders."""
    parser.add_argument(
        "slide", nargs="+", metavar="SLIDE", help="slides (SVS, TIFF, NDPI, MRXS, DICOM, PNG, …), or folders of slides"
    )


def add_mpp(parser: argparse.ArgumentParser) -> None:
    """Add ``--mpp``: the scale of the slides; see `Spacings`."""
    parser.add_argument(
        "--mpp",
        metavar="UM|CSV",
        help="µm per pixel at full resolution; overrides the value in the file; required if the file has none; or a "
        "csv with columns slide (file name) and mpp",
    )


def add_force(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Add ``--force``: continue despite a doubtful scale."""
    parser.add_argument(
        "--force",
        action="store_true",
        help=f"accept an --mpp that differs from the file's value by more than a factor of 1.5{more}",
    )


class Spacings:
    """The µm per pixel that ``--mpp`` states for each slide.

    Parameters
    ----------
    text : str or None
        A number, or a csv with the columns ``slide`` and ``mpp``. Slides are named with or without folders and the
        ending of their file, in upper or lower case.

    Raises
    ------
    ConfigError
        A value is not a pixel size, or a slide has two.
    """

    def __init__(self, text: str | None) -> None:
        self._all: float | None = None
        self._each: dict[str, float] = {}
        self._file = text
        if text is None:
            return
        if Path(text).suffix.lower() == ".csv":
            from sentinode.data.io.csv import read_csv

            table = read_csv(text, ("slide", "mpp"))
            for name, value in zip(table["slide"], table["mpp"], strict=True):
                spacing = _spacing(value, f"{text}: slide {name}")
                if self._each.setdefault(Path(name).name.casefold(), spacing) != spacing:
                    raise ConfigError(f"{text}: slide {name} has two values of mpp; keep one of them")
        else:
            self._all = _spacing(text, "--mpp")

    def __call__(self, path: Path) -> float | None:
        """Return the µm per pixel of a slide; None where the file must say it.

        Raises
        ------
        ConfigError
            The csv has two values for it, with and without the ending of its file.
        """
        found = {self._each[name] for name in (path.name.casefold(), path.stem.casefold()) if name in self._each}
        if len(found) > 1:
            raise ConfigError(f"{self._file}: slide {path.name} has two values of mpp; keep one of them")
        return self._all or next(iter(found), None)

    def check(self, paths: Sequence[Path]) -> None:
        """Refuse two values of one of the slides, and warn of rows of the csv that name none of them.

        Raises
        ------
        ConfigError
            The csv has two values for a slide, with and without the ending of its file.
        """
        for path in paths:
            self(path)
        names = {name.casefold() for path in paths for name in (path.name, path.stem)}
        others = [name for name in self._each if name not in names]
        if others:
            log.warning("%s: no slide found for %s, such as %s", self._file, plural(len(others), "row"), others[0])


def _spacing(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"{where}: {text!r} is not a pixel size in µm; expected a number above 0, such as 0.25")
    return value
