"""What can be wrong with a patch, seen without a model: blank, blurred, marked by a pen, clipped, stained otherwise.

The limits were chosen on 28,000 real patches (PatchCamelyon and Kaggle), some blurred or painted on purpose;
``benchmarks/quality_checks.py`` prints how many each finds and how many it takes wrongly.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.data.duplicates.near_duplicates import near_duplicates_within
from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.quality.inspection import is_near_blank
from sentinode.data.types import UInt8Array

Bools = NDArray[np.bool_]

# Variance of the Laplacian over the variance of brightness: 99 % of sharp patches are above 1.0, and all that a
# Gaussian of 1.5 px has blurred below 0.25.
SHARP = 0.25
# The part of a patch that has a colour which haematoxylin and eosin do not make.
INK = 0.05
BLACK_INK = 0.2
# The part of the pixels that have a channel at 255: the brightness beyond is lost.
CLIPPED = 0.4
# Colours of haematoxylin and eosin in optical density (Ruifrok and Johnston 2001), the third across both.
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
# Optical density (natural logarithm) above which every colour of a pixel is tissue, as in stain normalisation.
TISSUE = 0.15

FLAGS = {
    "near_blank": "near-blank",
    "out_of_focus": "out of focus",
    "pen": "with ink, dye or a black edge",
    "clipped": "clipped in the highlights",
}


@dataclass(frozen=True)
class Quality:
    """What `judge` found.

    Attributes
    ----------
    flags
        One row a patch, in the set's order; bool columns ``near_blank``, ``out_of_focus``, ``pen``, ``clipped``.
    stains
        One row for each group of patches, largest first; see `stain_statistics`.
    stains_by
        What the groups are: ``"centre"``, else ``"slide"``, else ``"split"``: the first of which there are several.
    alike
        Pairs of near copies, as `sentinode.data.duplicates.near_duplicates.near_duplicates_within` gives them.
    divided
        How many of these pairs are divided between splits.
    """

    flags: pd.DataFrame
    stains: pd.DataFrame
    stains_by: str
    alike: pd.DataFrame
    divided: int

    def to_json(self) -> dict[str, object]:
        """Return the findings as plain values."""
        return {
            "flags": {name: int(self.flags[name].sum()) for name in FLAGS},
            "near_copies": len(self.alike),
            "near_copies_divided": self.divided,
            "stains_by": self.stains_by,
            "stains": self.stains.round(3).astype(object).where(self.stains.notna(), None).to_dict(orient="index"),
        }


def judge(patches: PatchSet) -> Quality:
    """Look at every patch once for what needs no model, and for near copies.

    Parameters
    ----------
    patches
        A cached set.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> found = judge(open_patches("pcam-mini", split="test").cached())
    >>> found.flags.sum().to_dict()
    {'near_blank': 0, 'out_of_focus': 1, 'pen': 0, 'clipped': 0}
    """
    _ = patches.fingerprint  # Says what to do when the set is not cached.
    flags, measured = zip(*map_patches(patches, _look, "judging"), strict=True)
    table = pd.DataFrame({name: np.concatenate([part[name] for part in flags]) for name in FLAGS})
    by = next((name for name in ("centre", "slide") if patches.table[name].nunique() > 1), "split")
    groups = patches.table[by].astype("string").fillna("not known")
    alike, split = near_duplicates_within(patches), patches.table["split"].fillna("").to_numpy()
    divided = int((split[alike["first"]] != split[alike["second"]]).sum())
    return Quality(table, stain_statistics(np.concatenate(measured), groups), by, alike, divided)


def _look(pixels: UInt8Array) -> tuple[dict[str, Bools], np.ndarray]:
    blank = is_near_blank(pixels)
    flags = {
        "near_blank": blank,
        "out_of_focus": is_out_of_focus(pixels) & ~blank,
        "pen": has_pen(pixels),
        "clipped": is_clipped(pixels),
    }
    return flags, measure_stain(pixels)


def is_out_of_focus(pixels: UInt8Array) -> Bools:
    """Say which patches have no fine detail for the detail that they have: blurred, or enlarged from fewer pixels.

    Parameters
    ----------
    pixels
        uint8 RGB, shape ``(n, 96, 96, 3)``.

    Returns
    -------
    numpy.ndarray
        bool, shape ``(n,)``: the variance of the Laplacian (Pech-Pacheco et al. 2000, Diatom autofocusing in
        brightfield microscopy) is below a quarter of the variance of brightness, so that neither contrast nor
        light matters.
    """
    bright = pixels.sum(axis=3, dtype=np.float32) / 3
    middle = bright[:, 1:-1, 1:-1]
    edges = 4 * middle - bright[:, :-2, 1:-1] - bright[:, 2:, 1:-1] - bright[:, 1:-1, :-2] - bright[:, 1:-1, 2:]
    return np.asarray(edges.var(axis=(1, 2)) < SHARP * bright.var(axis=(1, 2)))


def has_pen(pixels: UInt8Array) -> Bools:
    """Say which patches bear green, blue or black: a pen, the dye of cut margins, the edge of a slide, padding.

    Red ink looks like eosin and blood, violet like haematoxylin, grey like a shadow: these are not looked for.

    Parameters
    ----------
    pixels
        uint8 RGB, shape ``(n, 96, 96, 3)``.

    Returns
    -------
    numpy.ndarray
        bool, shape ``(n,)``: 5 % of the pixels are green (20 levels above red, not below blue) or blue (80 above red;
        60 where green is above red too), or 20 % are black without any tint. One that is black throughout is
        near-blank and not this.
    """
    red, green, blue = (pixels[..., channel].astype(np.int16) for channel in range(3))
    highest, lowest = pixels.max(axis=3), pixels.min(axis=3)
    is_green = (green > red + 20) & (green >= blue - 10)
    is_blue = (blue > red + 80) | ((blue > red + 60) & (green > red + 15))
    is_black = (highest < 50) & (highest - lowest < 12)
    ink = np.maximum(is_green.mean(axis=(1, 2)), is_blue.mean(axis=(1, 2)))
    black = is_black.mean(axis=(1, 2))
    return np.asarray((ink >= INK) | ((black >= BLACK_INK) & (black < 1)))


def is_clipped(pixels: UInt8Array) -> Bools:
    """Say which patches have a channel at 255 in 40 % of their pixels or more: too bright for the camera.

    Parameters
    ----------
    pixels
        uint8 RGB, shape ``(n, 96, 96, 3)``.
    """
    return np.asarray((pixels.max(axis=3) == 255).mean(axis=(1, 2)) >= CLIPPED)


def measure_stain(pixels: UInt8Array) -> NDArray[np.float32]:
    """Measure the stain of patches where there is tissue.

    Parameters
    ----------
    pixels
        uint8 RGB, shape ``(n, 96, 96, 3)``.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n, 6)``: the part of the patch that is tissue; the mean amounts of haematoxylin and eosin in
        it (optical density, natural logarithm); its mean red, green and blue (0–255). NaN without tissue.
    """
    # Every second pixel says as much of a mean, for a quarter of the time.
    few = pixels[:, ::2, ::2].reshape(len(pixels), -1, 3)
    densities = _DENSITY[few]
    tissue = (densities >= TISSUE).all(axis=2)
    count = tissue.sum(axis=1, dtype=np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        density = np.einsum("np,npc->nc", tissue.astype(np.float32), densities) / count[:, None]
        colour = np.einsum("np,npc->nc", tissue.astype(np.float32), few.astype(np.float32)) / count[:, None]
    amounts = density @ _UNMIX[:, :2]
    return np.concatenate([(count / few.shape[1])[:, None], amounts, colour], axis=1).astype(np.float32)


_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)
_UNMIX = np.linalg.inv(STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)).astype(np.float32)


def stain_statistics(measured: NDArray[np.float32], groups: pd.Series) -> pd.DataFrame:
    """Return stain statistics of groups of patches, such as slides or centres.

    Parameters
    ----------
    measured
        As `measure_stain` gives it.
    groups
        A name for each patch.

    Returns
    -------
    pandas.DataFrame
        One row a group, the largest first: ``patches``, ``tissue`` (0–1), ``haematoxylin`` and ``eosin`` (means over
        the patches) with their standard deviations ``haematoxylin_sd`` and ``eosin_sd``, ``red``, ``green``, ``blue``.
    """
    columns = ["tissue", "haematoxylin", "eosin", "red", "green", "blue"]
    table = pd.DataFrame(measured, columns=columns).groupby(groups.to_numpy())
    means, spreads = table.mean(), table.std(ddof=0)
    together = means.assign(
        patches=table.size(), haematoxylin_sd=spreads["haematoxylin"], eosin_sd=spreads["eosin"]
    ).rename_axis(index=None)
    order = ["patches", "tissue", "haematoxylin", "haematoxylin_sd", "eosin", "eosin_sd", "red", "green", "blue"]
    return together[order].sort_values("patches", ascending=False, kind="stable")
