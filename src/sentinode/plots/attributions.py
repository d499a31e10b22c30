"""Attribution maps and first-layer responses as images."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from sentinode.plots.patches import Row, Tile, draw_sheet
from sentinode.plots.style import BLUE, ORANGE, rgb

# A row of the first layer holds this many kernels; the others follow below.
KERNELS_PER_ROW = 16


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
