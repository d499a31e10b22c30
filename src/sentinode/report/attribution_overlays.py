"""Attribution overlays for the patches of a report, with their sanity checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.explanation.attributions import attributions
from sentinode.explanation.sanity import SanityChecks
from sentinode.plots.attributions import attribution_overlay, attribution_scale
from sentinode.progress import progress_bar
from sentinode.report.formatting import fixed

if TYPE_CHECKING:
    from sentinode.training.run import Run

# It works for every network, and its values have a unit: log-odds.
METHOD = "occlusion"
BATCH_SIZE = 8
# The sanity checks cost a thousand predictions per patch.
CHECKED_PATCHES = 8


@dataclass(frozen=True)
class AttributionOverlays:
    """Attribution overlays of some patches.

    Attributes
    ----------
    images : sequence of ndarray, or of None
        For each patch an image to lay over it, uint8 of shape ``(96, 96, 3)``.
    description : str
        What they show, and the results of the sanity checks; empty without overlays.
    """

    images: Sequence[UInt8Array | None]
    description: str


def attribution_overlays(run: "Run", pixels: UInt8Array) -> AttributionOverlays:
    """Compute attribution overlays by occlusion, all on one scale.

    Parameters
    ----------
    run : Run
        The run to explain.
    pixels : ndarray of shape (n, 96, 96, 3)
        Patches.

    Returns
    -------
    AttributionOverlays
        One overlay for each patch.
    """
    found = []
    with progress_bar("explaining patches", total=len(pixels)) as advance:
        for start in range(0, len(pixels), BATCH_SIZE):
            found.append(attributions(run.model, pixels[start : start + BATCH_SIZE], METHOD))
            advance(len(found[-1]))
    maps = np.concatenate(found)
    scale = attribution_scale(maps)
    images = [attribution_overlay(patch, its, scale) for patch, its in zip(pixels, maps, strict=True)]
    return AttributionOverlays(
        images, _description(SanityChecks.measure(run.model, pixels[:CHECKED_PATCHES], METHOD), scale)
    )


def _description(checks: SanityChecks, scale: float) -> str:
    return (
        "Attribution by occlusion: the drop of the logit of tumour if a square of 16 px is replaced by the mean color. "
        f"Orange raises the logit, blue lowers it; full color stands for {fixed(scale, 2)} or more in all patches. "
        f"Sanity checks on {len(checks.randomization_correlation)} of them: deleting the squares in order of "
        f"attribution lowers P(tumour) by {fixed(_mean(checks.deletion_gain))} more than a random order; the rank "
        "correlation with the maps of networks with randomized weights is "
        f"{fixed(_mean(checks.randomization_correlation), 2)} (0 is best)."
    )


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
