"""Options that the commands for whole slides share."""

import argparse
from pathlib import Path

from sentinode.errors import ConfigError


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
    """The µm per pixel that ``--mpp`` states for each slide."""

    def __init__(self, text: str | None) -> None:
        self._all: float | None = None
        self._each: dict[str, float] = {}
        if text is None:
            return
        if Path(text).suffix.lower() == ".csv":
            from sentinode.data.io.csv import read_csv

            table = read_csv(text, ("slide", "mpp"))
            self._each = {
                name: _spacing(value, f"{text}: slide {name}")
                for name, value in zip(table["slide"], table["mpp"], strict=True)
            }
        else:
            self._all = _spacing(text, "--mpp")

    def __call__(self, path: Path) -> float | None:
        """Return the µm per pixel of a slide; None where the file must say it."""
        return self._all or self._each.get(path.name) or self._each.get(path.stem)


def _spacing(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"{where}: {text!r} is not a pixel size in µm; expected a number above 0, such as 0.25")
    return value
