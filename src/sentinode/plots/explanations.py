"""Patches beside what speaks for tumour in them, and beside training patches that are like them."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from sentinode.plots.style import BLUE, GREY, INK, ORANGE, rgb, shortened

SIDE_PX, GAP_PX, HEADING_PX, CAPTION_PX = 192, 16, 34, 24
# uint8 (96, 96, 3), and what stands below it.
Captioned = tuple[np.ndarray, str]


def tinted(pixels: np.ndarray, found: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Lay an explanation over its patch: orange speaks for tumour, blue against, the more the denser.

    It is smoothed by 1.5 px: single pixels are too small to be seen.

    Parameters
    ----------
    pixels
        uint8, ``(96, 96, 3)``; shown in grey, so that colour belongs to the explanation.
    found
        float, ``(96, 96)``.
    largest
        What is drawn densest; of several patches that are to be compared the same. When left out the patch's own.

    Returns
    -------
    numpy.ndarray
        uint8, ``(96, 96, 3)``.

    Examples
    --------
    >>> found = np.where(np.arange(96) < 48, 1.0, 0.0) * np.ones((96, 1))
    >>> tinted(np.zeros((96, 96, 3), np.uint8), found)[0, [0, 95]].tolist()
    [[159, 70, 0], [0, 0, 0]]
    """
    grey = Image.fromarray(pixels).convert("L").convert("RGB")
    found = gaussian_filter(found, 1.5)
    strength = np.abs(found) / max(most(found) if largest is None else largest, 1e-12)
    mask = Image.fromarray((np.clip(strength, 0, 1) * 190).astype(np.uint8))
    colours = np.where((found >= 0)[..., None], rgb(ORANGE), rgb(BLUE)).astype(np.uint8)
    grey.paste(Image.fromarray(colours), (0, 0), mask)
    return np.asarray(grey)


def most(found: np.ndarray) -> float:
    """Return the strength that all but the strongest half per cent stay below."""
    return float(np.quantile(np.abs(found), 0.995))


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
    rows = [
        [
            (patch, texts[0]),
            *((tinted(patch, maps[row]), text) for maps, text in zip(found.values(), texts[1:], strict=True)),
        ]
        for row, (patch, texts) in enumerate(zip(pixels, captions, strict=True))
    ]
    return _sheet(("patch", *found), rows)


def draw_neighbours(pixels: np.ndarray, captions: Sequence[str], near: Sequence[Sequence[Captioned]]) -> Image.Image:
    """Draw one row a patch: the patch itself, then the training patches that are nearest to it.

    Parameters
    ----------
    pixels
        uint8, ``(n, 96, 96, 3)``.
    captions
        Of each patch.
    near
        Of each patch its neighbours, uint8 ``(96, 96, 3)``, each with a caption.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Examples
    --------
    >>> patch = np.zeros((96, 96, 3), np.uint8)
    >>> draw_neighbours(patch[None], ["a"], [[(patch, "normal"), (patch, "tumour")]]).size
    (640, 282)
    """
    rows = [[(patch, text), *its] for patch, text, its in zip(pixels, captions, near, strict=True)]
    return _sheet(("patch", "nearest training patches"), rows)


def _sheet(headings: Sequence[str], rows: Sequence[Sequence[Captioned]]) -> Image.Image:
    """Draw rows of patches, magnified, with the part that the label is about drawn into each."""
    pitch, height = SIDE_PX + GAP_PX, SIDE_PX + CAPTION_PX + GAP_PX
    size = GAP_PX + pitch * max(map(len, rows)), HEADING_PX + GAP_PX + height * len(rows)
    sheet = Image.new("RGB", size, "white")
    draw, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(size=16), ImageFont.load_default(size=13)
    for column, name in enumerate(headings):
        draw.text((GAP_PX + column * pitch, GAP_PX - 4), name, fill=INK, font=font)
    for row, pictures in enumerate(rows):
        top = HEADING_PX + GAP_PX // 2 + row * height
        for column, (picture, caption) in enumerate(pictures):
            left, third = GAP_PX + column * pitch, SIDE_PX // 3
            sheet.paste(Image.fromarray(picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST), (left, top))
            for inset, colour in ((0, "black"), (1, "white"), (2, "black")):  # Seen on pale tissue and on dark.
                near, far = third + inset, 2 * third - 1 - inset
                draw.rectangle((left + near, top + near, left + far, top + far), outline=colour)
            draw.text((left, top + SIDE_PX + 4), shortened(caption, 30), fill=GREY, font=small)
    return sheet
