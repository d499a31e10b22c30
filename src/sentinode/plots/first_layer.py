"""The first layer's kernels, and below each what it finds in some patches."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sentinode.plots.style import BLUE, GREY, INK, ORANGE, rgb

KERNEL_PX, SIDE_PX, GAP_PX, HEADING_PX = 48, 96, 8, 44
# A row of kernels has so many; the others follow below.
ACROSS = 16


def draw_first_layer(pixels: np.ndarray, kernels: np.ndarray, responses: np.ndarray) -> Image.Image:
    """Draw a column a kernel: its weights in colour, then its response to each patch.

    Grey is a weight of 0, and of each colour more is brighter. Responses are orange above 0 and blue below, on a scale
    of their kernel's own.

    Parameters
    ----------
    pixels
        uint8, ``(n, 96, 96, 3)``.
    kernels
        float, ``(filters, side, side, 3)``.
    responses
        float, ``(n, filters, rows, columns)``.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Examples
    --------
    >>> draw_first_layer(np.zeros((1, 96, 96, 3), np.uint8), np.ones((2, 3, 3, 3)), np.ones((1, 2, 94, 94))).size
    (320, 212)
    """
    pitch, columns = SIDE_PX + GAP_PX, min(ACROSS, len(kernels))
    bands = -(-len(kernels) // ACROSS)
    band_px = KERNEL_PX + GAP_PX + len(pixels) * pitch + GAP_PX
    sheet = Image.new("RGB", (GAP_PX + pitch * (1 + columns), HEADING_PX + band_px * bands), "white")
    draw, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(size=16), ImageFont.load_default(size=13)
    draw.text((GAP_PX, 6), "first layer", fill=INK, font=font)
    draw.text((GAP_PX + pitch, 8), "kernels, and where each responds (white: not at all)", fill=GREY, font=small)
    largest = np.maximum(np.abs(responses).max(axis=(0, 2, 3)), 1e-12)
    for number, kernel in enumerate(kernels):
        band, column = divmod(number, ACROSS)
        left, top = GAP_PX + (column + 1) * pitch, HEADING_PX + band * band_px
        sheet.paste(_tile(_coloured(kernel), KERNEL_PX), (left + (SIDE_PX - KERNEL_PX) // 2, top))
        for row, patch in enumerate(pixels):
            below = top + KERNEL_PX + GAP_PX + row * pitch
            sheet.paste(_tile(_signed(responses[row, number] / largest[number]), SIDE_PX), (left, below))
            if column == 0:
                sheet.paste(_tile(patch, SIDE_PX), (GAP_PX, below))
    return sheet


def _coloured(kernel: np.ndarray) -> np.ndarray:
    scale = max(float(np.abs(kernel).max()), 1e-12)
    return np.rint(127.5 + 127.5 * kernel / scale).astype(np.uint8)


def _signed(values: np.ndarray) -> np.ndarray:
    """Return an image of values from -1, blue, over 0, white, to 1, orange."""
    strength = np.sqrt(np.abs(values))[..., None]  # Weak responses are many, and would not be seen.
    colour = np.where(values[..., None] >= 0, rgb(ORANGE), rgb(BLUE))
    return np.rint(255 + (colour - 255) * strength).astype(np.uint8)


def _tile(picture: np.ndarray, side_px: int) -> Image.Image:
    return Image.fromarray(picture).resize((side_px, side_px), Image.Resampling.NEAREST)
