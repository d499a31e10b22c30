"""Sheets of patches as images: contact sheets, predictions, attribution maps, neighbors, first-layer responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sentinode.plots.style import BLUE, GRAY, INK, ORANGE, rgb, shorten_start

GAP_PX, HEADING_PX, CAPTION_PX, BAR_PX = 12, 30, 22, 16
CLASS_COLORS = {"normal": BLUE, "tumour": ORANGE, "unlabeled": GRAY}
# A row of the first layer holds this many kernels; the others follow below.
KERNELS_PER_ROW = 16


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


def draw_attributions(
    pixels: np.ndarray, captions: Sequence[Sequence[str]], attributions: Mapping[str, np.ndarray]
) -> Image.Image:
    """Draw one row for each patch: the patch, then the attribution map of each method laid over it.

    Parameters
    ----------
    pixels : ndarray of shape (n, 96, 96, 3)
        Patches, uint8.
    captions : sequence of sequence of str
        For each patch, one text for it and one for each method.
    attributions : mapping
        By method, attribution maps of shape ``(n, 96, 96)``.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    rows = []
    for number, (patch, texts) in enumerate(zip(pixels, captions, strict=True)):
        images = [patch, *(attribution_overlay(patch, maps[number]) for maps in attributions.values())]
        rows.append(Row([Tile(image, text) for image, text in zip(images, texts, strict=True)]))
    return draw_sheet(rows, columns=("patch", *attributions))


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


def draw_first_layer(pixels: np.ndarray, kernels: np.ndarray, responses: np.ndarray) -> Image.Image:
    """Draw the kernels of a first layer, and below each its responses to some patches.

    A weight of 0 is gray, and a larger weight is brighter in its color channel. A response is orange above 0, blue
    below and white at 0, on a scale of its own for each kernel.

    Parameters
    ----------
    pixels : ndarray of shape (n, 96, 96, 3)
        Patches, uint8.
    kernels : ndarray of shape (filters, side, side, 3)
        Weights.
    responses : ndarray of shape (n, filters, height, width)
        Responses.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    scale = np.maximum(np.abs(responses).max(axis=(0, 2, 3)), 1e-12)
    blank = Tile(np.full((1, 1, 3), 255, np.uint8))
    rows = []
    for start in range(0, len(kernels), KERNELS_PER_ROW):
        shown = range(start, min(start + KERNELS_PER_ROW, len(kernels)))
        rows.append(Row([blank, *(Tile(_kernel_image(kernels[each])) for each in shown)]))
        for patch, its in zip(pixels, responses, strict=True):
            rows.append(Row([Tile(patch), *(Tile(_signed_image(its[each] / scale[each])) for each in shown)]))
    title = "first layer: kernels, and the response of each (white: none)"
    return draw_sheet(rows, side_px=96, title=title, marked=False)


def _kernel_image(kernel: np.ndarray) -> np.ndarray:
    largest = max(float(np.abs(kernel).max()), 1e-12)
    return np.rint(127.5 + 127.5 * kernel / largest).astype(np.uint8)


def _signed_image(values: np.ndarray) -> np.ndarray:
    strength = np.sqrt(np.abs(values))[..., None]  # Weak responses are many, and would not be visible.
    color = np.where(values[..., None] >= 0, rgb(ORANGE), rgb(BLUE))
    return np.rint(255 + (color - 255) * strength).astype(np.uint8)


def attribution_overlay(pixels: np.ndarray, attribution: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Lay an attribution map over its patch: orange is evidence for tumour, blue is evidence against it.

    The map is smoothed by a Gaussian of 1.5 px, because single pixels are too small to be visible.

    Parameters
    ----------
    pixels : ndarray of shape (96, 96, 3)
        The patch, uint8; it is shown in gray, so that color belongs to the map.
    attribution : ndarray of shape (96, 96)
        The map.
    largest : float, optional
        The attribution that is drawn densest; the same for patches that are to be compared. When left out that of
        `attribution_scale`.

    Returns
    -------
    ndarray of shape (96, 96, 3)
        uint8.

    Examples
    --------
    >>> attribution = np.where(np.arange(96) < 48, 1.0, 0.0) * np.ones((96, 1))
    >>> attribution_overlay(np.zeros((96, 96, 3), np.uint8), attribution)[0, [0, 95]].tolist()
    [[159, 70, 0], [0, 0, 0]]
    """
    from scipy.ndimage import gaussian_filter

    gray = Image.fromarray(pixels).convert("L").convert("RGB")
    smooth = gaussian_filter(attribution, 1.5)
    strength = np.abs(smooth) / max(attribution_scale(smooth) if largest is None else largest, 1e-12)
    mask = Image.fromarray((np.clip(strength, 0, 1) * 190).astype(np.uint8))
    colors = np.where((smooth >= 0)[..., None], rgb(ORANGE), rgb(BLUE)).astype(np.uint8)
    gray.paste(Image.fromarray(colors), (0, 0), mask)
    return np.asarray(gray)


def attribution_scale(attributions: np.ndarray) -> float:
    """Return the 99.5 % quantile of the absolute attributions: what an overlay draws densest.

    Examples
    --------
    >>> attribution_scale(np.arange(-200.0, 1.0))
    199.0
    """
    return float(np.quantile(np.abs(attributions), 0.995))
