"""What every slide reader offers."""

from dataclasses import dataclass
from typing import Protocol

from sentinode.data.types import UInt8Array

WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Level:
    """One resolution of a slide.

    Attributes
    ----------
    width_px, height_px : int
        Size in pixels of this level.
    downsample : float
        Level-0 pixels along one of its pixels.
    """

    width_px: int
    height_px: int
    downsample: float


@dataclass(frozen=True)
class SlideMetadata:
    """Metadata of a slide in its file, without label and macro images and free text.

    Attributes
    ----------
    spacing_um_px : float or None
        µm per level-0 pixel, the mean of both directions; None where the file does not say.
    spacing_source : str
        Where `spacing_um_px` comes from, or why it is not known.
    bounds_px : tuple of int or None
        x, y, width and height of the scanned part in level-0 px, where the file states one.
    background : tuple of int
        RGB of places without pixels.
    has_color_profile : bool
        Whether an ICC profile is embedded. Pixels are not converted.
    """

    spacing_um_px: float | None
    spacing_source: str
    bounds_px: tuple[int, int, int, int] | None = None
    background: tuple[int, int, int] = WHITE
    has_color_profile: bool = False


class SlideReader(Protocol):
    """Reads rectangles of one slide; safe to use from several threads.

    Attributes
    ----------
    name : str
        Name of the library, for records.
    levels : tuple of Level
        From the finest to the coarsest.
    metadata : SlideMetadata
        Metadata in the file.
    """

    name: str
    levels: tuple[Level, ...]
    metadata: SlideMetadata

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array:
        """Read a rectangle in pixels of a level.

        Parameters
        ----------
        level : int
            Index into `levels`.
        x_px, y_px : int
            Top left corner in pixels of this level; may lie outside.
        width_px, height_px : int
            Size in pixels of this level.

        Returns
        -------
        ndarray of uint8, shape (height_px, width_px, 3)
            RGB. Places outside the slide and missing tiles have the background color.

        Raises
        ------
        DataError
            The file is damaged there.
        """

    def close(self) -> None:
        """Release the file."""


class ShrinkingReader(SlideReader, Protocol):
    """A reader that shrinks while it decodes, which takes a fraction of the time."""

    def shrink_factors(self, level: int) -> tuple[int, ...]:
        """Return the factors by which a level can be shrunk, from the largest to the smallest; without 1.

        Only those with which the most detailed tile of the level comes near the mean over area.
        """

    def read_shrunk(self, level: int, factor: int, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array:
        """Read a rectangle in pixels of a level that is shrunk; see `SlideReader.read`.

        Parameters
        ----------
        level : int
            Index into `levels`.
        factor : int
            One of `shrink_factors`: pixels of the level along a pixel that is returned.
        x_px, y_px, width_px, height_px : int
            Rectangle in shrunk pixels.

        Returns
        -------
        ndarray of uint8, shape (height_px, width_px, 3)
            Nearly the mean over area.
        """
