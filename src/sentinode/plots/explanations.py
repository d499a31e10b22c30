"""Patches beside what speaks for tumour in them, one column a method."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sentinode.plots.style import BLUE, GREY, INK, ORANGE, shortened

SIDE_PX, GAP_PX, HEADING_PX, CAPTION_PX = 192, 16, 34, 24


def overlaid(pixels: np.ndarray, found: np.ndarray) -> Image.Image:
    """Lay an explanation over its patch: orange speaks for tumour, blue against, the more the denser.

    Parameters
    ----------
    pixels
        uint8, ``(96, 96, 3)``; shown in grey, so that colour belongs to the explanation.
    found
        float, ``(96, 96)``; its scale is its own.

    Returns
    -------
    PIL.Image.Image
        RGB, 192 px a side. The white square marks the part that the label is about.

    Examples
    --------
    >>> overlaid(np.zeros((96, 96, 3), np.uint8), np.eye(96)).size
    (192, 192)
    """
    grey = Image.fromarray(pixels).convert("L").convert("RGB")
    strength = np.abs(found) / max(float(np.quantile(np.abs(found), 0.995)), 1e-12)
    mask = Image.fromarray((np.clip(strength, 0, 1) * 190).astype(np.uint8))
    colours = np.where((found >= 0)[..., None], _rgb(ORANGE), _rgb(BLUE)).astype(np.uint8)
    grey.paste(Image.fromarray(colours), (0, 0), mask)
    shown = grey.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
    _mark_centre(shown)
    return shown


def draw_explanations(
    pixels: np.ndarray, captions: Sequence[Sequence[str]], found: Mapping[str, np.ndarray]
) -> Image.Image:
    """Draw one row a patch: the patch itself, then each method's explanation.

    Parameters
    ----------
    pixels
        uint8, ``(n, 96, 96, 3)``.
    captions
        Of each patch, one text for it and one for each method.
    found
        By method, float ``(n, 96, 96)``.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Examples
    --------
    >>> found = {"grad-cam": np.ones((2, 96, 96))}
    >>> draw_explanations(np.zeros((2, 96, 96, 3), np.uint8), [["a", "b"]] * 2, found).size
    (432, 514)
    """
    pitch, height = SIDE_PX + GAP_PX, SIDE_PX + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (GAP_PX + pitch * (1 + len(found)), HEADING_PX + GAP_PX + height * len(pixels)), "white")
    draw, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(size=16), ImageFont.load_default(size=13)
    for column, name in enumerate(("patch", *found)):
        draw.text((GAP_PX + column * pitch, GAP_PX - 4), name, fill=INK, font=font)
    for row, patch in enumerate(pixels):
        top = HEADING_PX + GAP_PX // 2 + row * height
        whole = Image.fromarray(patch).resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST)
        _mark_centre(whole)
        for column, picture in enumerate([whole, *(overlaid(patch, maps[row]) for maps in found.values())]):
            left = GAP_PX + column * pitch
            sheet.paste(picture, (left, top))
            draw.text((left, top + SIDE_PX + 4), shortened(captions[row][column], 30), fill=GREY, font=small)
    return sheet


def _mark_centre(picture: Image.Image) -> None:
    third = SIDE_PX // 3
    ImageDraw.Draw(picture).rectangle((third, third, 2 * third - 1, 2 * third - 1), outline="white")


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))
