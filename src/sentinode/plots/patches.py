"""Sheets of patches as images: contact sheets, predictions, neighbors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sentinode.plots.style import BLUE, GRAY, INK, ORANGE, shorten_start

GAP_PX, HEADING_PX, CAPTION_PX, BAR_PX = 12, 30, 22, 16
CLASS_COLORS = {"normal": BLUE, "tumour": ORANGE, "unlabeled": GRAY}


@dataclass(frozen=True)
class Tile:
    """An image on a sheet.

    Attributes
    ----------
    pixels : ndarray of shape (height, width, 3)
        uint8, square.
    caption : str
        Text below it; its middle is left out where it is too long.
    color : str
        The color of its frame; empty for none.
    probability : float, optional
        P(tumour), drawn as a bar with a mark at 0.5.
    """

    pixels: np.ndarray
    caption: str = ""
    color: str = ""
    probability: float | None = None


@dataclass(frozen=True)
class Row:
    """A row of tiles on a sheet, below a heading."""

    tiles: Sequence[Tile]
    heading: str = ""
    color: str = INK


def draw_sheet(
    rows: Sequence[Row], *, side_px: int = 192, title: str = "", columns: Sequence[str] = (), marked: bool = True
) -> Image.Image:
    """Draw rows of tiles.

    Parameters
    ----------
    rows : sequence of Row
        From top to bottom.
    side_px : int
        The side of a tile.
    title : str
        Text above all.
    columns : sequence of str
        Headings of the first columns.
    marked : bool
        Whether a square marks the central third, to which the label of a patch refers.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Examples
    --------
    >>> draw_sheet([Row([Tile(np.zeros((96, 96, 3), np.uint8))] * 2)], side_px=96).size
    (228, 120)
    """
    pitch = side_px + GAP_PX
    font, small = ImageFont.load_default(size=16), ImageFont.load_default(size=13)
    width = max(GAP_PX + pitch * max(len(row.tiles) for row in rows), 2 * GAP_PX + round(font.getlength(title)))
    tops = [GAP_PX + HEADING_PX * bool(title) + HEADING_PX * bool(columns)]
    for row in rows:
        tops.append(tops[-1] + _row_height(row, side_px))
    sheet = Image.new("RGB", (width, tops[-1]), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP_PX, GAP_PX // 2), title, fill=INK, font=font)
    for column, name in enumerate(columns):
        draw.text((GAP_PX + column * pitch, tops[0] - HEADING_PX + 4), name, fill=INK, font=font)
    for row, top in zip(rows, tops, strict=False):
        draw.text((GAP_PX, top), row.heading, fill=row.color, font=font)
        for column, tile in enumerate(row.tiles):
            left, upper = GAP_PX + column * pitch, top + HEADING_PX * bool(row.heading)
            _draw_tile(sheet, draw, tile, (left, upper), side_px, marked)
            caption = _fitting(tile.caption, side_px, small)
            draw.text((left, upper + side_px + 4), caption, fill=GRAY, font=small)
    return sheet


def _row_height(row: Row, side_px: int) -> int:
    captions = CAPTION_PX * any(tile.caption for tile in row.tiles)
    bars = BAR_PX * any(tile.probability is not None for tile in row.tiles)
    return HEADING_PX * bool(row.heading) + side_px + captions + bars + GAP_PX


def _fitting(caption: str, width_px: int, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont") -> str:
    """Return the caption, with as much left out of its middle as makes it fit."""
    shown, kept = caption, len(caption)
    while font.getlength(shown) > width_px and kept > 2:
        kept -= 1
        shown = f"{caption[: kept * 3 // 5]}…{caption[len(caption) - kept * 2 // 5 :]}"
    return shown


def _draw_tile(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, at: tuple[int, int], side_px: int, marked: bool
) -> None:
    left, top = at
    sheet.paste(Image.fromarray(tile.pixels).resize((side_px, side_px), Image.Resampling.NEAREST), at)
    if tile.color:
        draw.rectangle((left - 3, top - 3, left + side_px + 2, top + side_px + 2), outline=tile.color, width=3)
    if marked:
        near, far = side_px // 3, 2 * side_px // 3 - 1
        for outside, color in ((1, "black"), (0, "white")):  # Visible on pale tissue and on dark.
            corners = (left + near - outside, top + near - outside, left + far + outside, top + far + outside)
            draw.rectangle(corners, outline=color)
    if tile.probability is not None:
        upper = top + side_px + CAPTION_PX * bool(tile.caption) + 4
        middle = left + side_px // 2
        draw.rectangle((left, upper, left + side_px - 1, upper + 9), outline=GRAY)
        filled = left + round(tile.probability * (side_px - 1))
        draw.rectangle((left, upper, filled, upper + 9), fill=ORANGE, outline=GRAY)
        draw.line((middle, upper - 3, middle, upper + 12), fill=INK)


def draw_contact_sheet(
    groups: Sequence[tuple[str, str, np.ndarray]], *, title: str = "", columns: int = 12
) -> Image.Image:
    """Draw patches in groups at their own size, framed in the color of their class.

    Parameters
    ----------
    groups : sequence of tuple
        For each group its heading, its class (``"normal"``, ``"tumour"`` or ``"unlabeled"``), and its patches, uint8
        of shape ``(n, 96, 96, 3)``.
    title : str
        Text above all; the beginning is left out where it is too long.
    columns : int
        Patches per row.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    rows = []
    for heading, name, pixels in groups:
        tiles = [Tile(patch, color=CLASS_COLORS[name]) for patch in pixels]
        rows += [
            Row(tiles[start : start + columns], "" if start else heading, CLASS_COLORS[name])
            for start in range(0, max(len(tiles), 1), columns)
        ]
    return draw_sheet(rows, side_px=96, title=shorten_start(title, 8 * columns))


def draw_predictions(pixels: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> Image.Image:
    """Draw one row of patches for each class, each with P(tumour) as a number and as a bar.

    Parameters
    ----------
    pixels : ndarray of shape (n, 96, 96, 3)
        Patches, uint8.
    labels : ndarray of shape (n,)
        0 or 1.
    probabilities : ndarray of shape (n,)
        P(tumour).

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    rows = [
        Row(
            [
                Tile(pixels[patch], f"P(tumour) {probabilities[patch]:.3f}", color, float(probabilities[patch]))
                for patch in np.flatnonzero(labels == label)
            ],
            f"labeled {name}",
            color,
        )
        for label, (name, color) in enumerate((("normal", BLUE), ("tumour", ORANGE)))
    ]
    return draw_sheet([row for row in rows if row.tiles])


def draw_neighbors(
    pixels: np.ndarray, captions: Sequence[str], neighbors: Sequence[Sequence[tuple[np.ndarray, str]]]
) -> Image.Image:
    """Draw one row for each patch: the patch, then the training patches nearest to it.

    Parameters
    ----------
    pixels : ndarray of shape (n, 96, 96, 3)
        Patches, uint8.
    captions : sequence of str
        One for each patch.
    neighbors : sequence
        For each patch its neighbors, each with a caption.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    rows = [
        Row([Tile(patch, caption), *(Tile(*neighbor) for neighbor in nearest)])
        for patch, caption, nearest in zip(pixels, captions, neighbors, strict=True)
    ]
    return draw_sheet(rows, columns=("patch", "nearest training patches"))
