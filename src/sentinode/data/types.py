"""Constants and types that the whole data package shares."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

PATCH_SIZE_PX = 96
# Scale of PatchCamelyon, and so of the networks that are trained on it: 0.243 µm/px at the scanner, reduced four times.
# One fourteenth of it is at 0.905.
PATCH_SPACING_UM_PX = 0.972
PATCH_SHAPE = (PATCH_SIZE_PX, PATCH_SIZE_PX, 3)
PATCH_BYTES = PATCH_SIZE_PX * PATCH_SIZE_PX * 3
CLASS_NAMES = ("normal", "tumour")
# Patches that are read together, by loops over a whole set.
CHUNK_PATCHES = 256

# Column of SHA-1 values that a table states; removed once they have been compared with the pixels.
EXPECTED_SHA1 = "expected_sha1"

IndexArray = NDArray[np.int64]
UInt8Array = NDArray[np.uint8]
Resize = Literal["error", "crop", "pad", "resample"]


def evenly_spaced(count: int, at_most: int) -> IndexArray:
    """Choose rows that are spread over a whole set.

    Parameters
    ----------
    count : int
        Rows of the set.
    at_most : int
        Rows to choose; all if there are fewer.

    Returns
    -------
    ndarray of int64, shape (min(count, at_most),)
        Row numbers, ascending and different.

    Examples
    --------
    >>> evenly_spaced(100, 4)
    array([ 0, 33, 66, 99])
    """
    return np.linspace(0, count - 1, min(count, at_most)).astype(np.int64)


class PixelReader(Protocol):
    """Reader of the patches of a source."""

    def read(self, rows: IndexArray) -> UInt8Array:
        """Read patches.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
            Row numbers in the source, in any order.

        Returns
        -------
        ndarray of uint8, shape (n, 96, 96, 3)
            RGB pixels.
        """

    def stamps(self, rows: IndexArray) -> list[str]:
        """Return a text for each row that changes whenever its pixels may have changed.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
            Row numbers in the source.

        Returns
        -------
        list of str
            One text per row, such as path, size and modification time of its file.
        """


@dataclass(frozen=True)
class Skipped:
    """A patch that was left out because it cannot be used.

    Attributes
    ----------
    id : str
        Identifier of the patch in its source.
    reason : str
        Error message that names the file or row and the fault.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class ReadOptions:
    """Options that decide how a source is read.

    Attributes
    ----------
    resize : {"error", "crop", "pad", "resample"}
        Treatment of images that are not 96 × 96 px, after `spacing_um_px`: raise an error; keep the center; keep the
        center and fill up with white; scale the whole image, which must be square.
    spacing_um_px : float, optional
        Size of a pixel of the images in µm; they are resampled to 0.972 µm per pixel, the scale of PatchCamelyon.
    flatten : {"error", "white"}
        Treatment of images that are partly transparent: raise an error, or put them on white.
    gray : {"error", "rgb"}
        Treatment of gray images: raise an error, or repeat the channel.
    classes : tuple of (str, int)
        Names of class folders and labels with their classes, instead of the usual words; ``"*"`` stands for every
        other name.
    patient_from : str, optional
        Regular expression whose first group, or group ``patient``, is the patient; it is searched in each id.
    group_by : {"folder"}, optional
        ``"folder"``: the patient is the innermost folder that is neither a class nor a split.
    """

    resize: Resize = "error"
    spacing_um_px: float | None = None
    flatten: Literal["error", "white"] = "error"
    gray: Literal["error", "rgb"] = "error"
    classes: tuple[tuple[str, int], ...] = ()
    patient_from: str | None = None
    group_by: Literal["folder"] | None = None

    @property
    def decoding(self) -> str:
        """Text of the options that change pixels; empty when all have their defaults."""
        parts = {
            "resize": self.resize if self.resize != "error" else None,
            "mpp": self.spacing_um_px,
            "flatten": self.flatten if self.flatten != "error" else None,
            "gray": self.gray if self.gray != "error" else None,
        }
        return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)

    def to_arguments(self) -> list[str]:
        """Return the options as arguments of a command; options that have their defaults are left out.

        Examples
        --------
        >>> ReadOptions(resize="crop", classes=(("TUM", 1), ("*", 0))).to_arguments()
        ['--resize', 'crop', '--classes', 'TUM=1,*=0']
        """
        values = {
            "--resize": self.resize if self.resize != "error" else None,
            "--mpp": self.spacing_um_px,
            "--flatten": self.flatten if self.flatten != "error" else None,
            "--gray": self.gray if self.gray != "error" else None,
            "--classes": ",".join(f"{name}={value}" for name, value in self.classes) or None,
            "--patient-from": self.patient_from,
            "--group-by": self.group_by,
        }
        return [word for name, value in values.items() if value is not None for word in (name, str(value))]

    @staticmethod
    def from_arguments(arguments: Sequence[str]) -> "ReadOptions":
        """Return the options that `to_arguments` wrote.

        Raises
        ------
        ValueError
            An argument is not known, or a value cannot be parsed.
        """
        given = dict(zip(arguments[::2], arguments[1::2], strict=True))
        classes = [part.rpartition("=") for part in given.pop("--classes", "").split(",") if part]
        spacing = given.pop("--mpp", None)
        names = {"--resize": "resize", "--flatten": "flatten", "--gray": "gray"}
        names |= {"--patient-from": "patient_from", "--group-by": "group_by"}
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"unknown option {unknown[0]}")
        return ReadOptions(
            spacing_um_px=None if spacing is None else float(spacing),
            classes=tuple((name, int(label)) for name, _, label in classes),
            **{names[name]: value for name, value in given.items()},  # type: ignore[arg-type]
        )

    def over(self, others: "ReadOptions") -> "ReadOptions":
        """Return these options where they differ from the defaults, else those of `others`."""
        values = {
            each.name: getattr(self, each.name)
            if getattr(self, each.name) != each.default
            else getattr(others, each.name)
            for each in fields(self)
        }
        return ReadOptions(**values)


DEFAULT_OPTIONS = ReadOptions()
