"""Where a run looked in the patches of a report, and how far that may be believed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.explanation.attributions import attributions
from sentinode.explanation.sanity import SanityChecks
from sentinode.plots.patches import attribution_overlay, attribution_scale
from sentinode.progress import progress_bar
from sentinode.report.formatting import fixed
from sentinode.report.page import data_uri

if TYPE_CHECKING:
    from sentinode.training.run import Run

# Any network allows it, and what it says is in the answer's own unit.
METHOD = "occlusion"
# Patches at once: little memory, and a bar that moves.
AT_ONCE = 8
# Patches that the checks are made on, since each costs a thousand predictions.
CHECKED = 8


@dataclass(frozen=True)
class AttributionOverlays:
    """What is laid over patches.

    Attributes
    ----------
    images
        For each patch an image that stands in the page itself.
    sentences
        What they show, and what the checks say of it.
    """

    images: list[str]
    sentences: str


def attribution_overlays(run: "Run", pixels: UInt8Array) -> AttributionOverlays:
    """Explain patches, uint8 ``(n, 96, 96, 3)``, by occlusion, all on one scale."""
    found = []
    with progress_bar("looking where it looked", total=len(pixels)) as advance:
        for start in range(0, len(pixels), AT_ONCE):
            found.append(attributions(run.model, pixels[start : start + AT_ONCE], METHOD))
            advance(len(found[-1]))
    maps = np.concatenate(found)
    largest = attribution_scale(maps)
    images = [data_uri(attribution_overlay(patch, its, largest)) for patch, its in zip(pixels, maps, strict=True)]
    return AttributionOverlays(images, _said(SanityChecks.measure(run.model, pixels[:CHECKED], METHOD), largest))


def _said(trust: SanityChecks, largest: float) -> str:
    gain, similarity = _mean(trust.deletion_gain), _mean(trust.randomization_correlation)
    return (
        "Attribution by occlusion: the drop of the logit of tumour if a square of 16 px is replaced by the mean color. "
        f"Orange raises the logit, blue lowers it; full color stands for {fixed(largest, 2)} or more in all patches. "
        f"Checked on {len(trust.randomization_correlation)} of them: deleting the squares in order of attribution "
        f"lowers P(tumour) by {fixed(gain)} more than a random order; the rank correlation with the maps of networks "
        f"with randomized weights is {fixed(similarity, 2)} (0 is best). See docs/explaining.md."
    )


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
