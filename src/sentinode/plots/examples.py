"""Example patches with what the network says of each, small and quick enough to be drawn after every epoch."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sentinode.plots.style import BLUE, GREY, INK, ORANGE

SIDE_PX, GAP_PX, HEADING_PX, CAPTION_PX = 192, 16, 28, 42
CLASSES = (("normal", BLUE), ("tumour", ORANGE))


def draw_examples(pixels: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> Image.Image:
    """Draw one row of patches a class, each at twice its size over P(tumour) as a number and as a bar.

    Parameters
    ----------
    pixels
        uint8, shape ``(n, 96, 96, 3)``.
    labels
        0 or 1, shape ``(n,)``.
    probabilities
        0–1, shape ``(n,)``.

    Returns
    -------
    PIL.Image.Image
        RGB. The white square marks the part that the label is about.

    Examples
    --------
    >>> draw_examples(np.zeros((3, 96, 96, 3), np.uint8), np.array([0, 1, 1]), np.array([0.1, 0.9, 0.4])).size
    (432, 572)
    """
    groups = [np.flatnonzero(labels == label) for label in range(len(CLASSES))]
    pitch, height = SIDE_PX + GAP_PX, HEADING_PX + SIDE_PX + CAPTION_PX
    columns = max(len(group) for group in groups)
    sheet = Image.new("RGB", (columns * pitch + GAP_PX, len(CLASSES) * (height + GAP_PX) + GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=16)
    for number, ((name, colour), group) in enumerate(zip(CLASSES, groups, strict=True)):
        top = GAP_PX + number * (height + GAP_PX)
        draw.text((GAP_PX, top), f"labelled {name}", fill=colour, font=font)
        for column, patch in enumerate(group):
            x, y = GAP_PX + column * pitch, top + HEADING_PX
            _draw_patch(sheet, draw, (x, y), pixels[patch], colour)
            draw.text((x, y + SIDE_PX + 6), f"P(tumour) {probabilities[patch]:.3f}", fill=INK, font=font)
            _draw_bar(draw, (x, y + SIDE_PX + 30), float(probabilities[patch]))
    return sheet


def _draw_patch(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], pixels: np.ndarray, colour: str
) -> None:
    x, y = at
    third = SIDE_PX // 3
    sheet.paste(Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST), at)
    draw.rectangle((x - 3, y - 3, x + SIDE_PX + 2, y + SIDE_PX + 2), outline=colour, width=3)
    draw.rectangle((x + third, y + third, x + 2 * third - 1, y + 2 * third - 1), outline="white")


def _draw_bar(draw: ImageDraw.ImageDraw, at: tuple[int, int], probability: float) -> None:
    """Draw a frame that is filled as far as the probability goes, with a mark at one half."""
    x, y = at
    draw.rectangle((x, y, x + SIDE_PX - 1, y + 9), outline=GREY)
    draw.rectangle((x, y, x + round(probability * (SIDE_PX - 1)), y + 9), fill=ORANGE, outline=GREY)
    draw.line((x + SIDE_PX // 2, y - 3, x + SIDE_PX // 2, y + 12), fill=INK)
