"""Where a run looked in the patches of a report, and how far that may be believed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.explanation.attributions import attributions
from sentinode.explanation.sanity import Trust
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
    return AttributionOverlays(images, _said(Trust.of(run.model, pixels[:CHECKED], METHOD), largest))


def _said(trust: Trust, largest: float) -> str:
    gain, similarity = _mean(trust.deletion_gain), _mean(trust.randomised)
    return (
        "By occlusion: what the log-odds of tumour lose where a square of 16 px is hidden. Orange speaks for tumour, "
        f"blue against; the densest is {fixed(largest, 2)} or more, in all patches alike. Checked on "
        f"{len(trust.randomised)} of them: to hide what speaks most for tumour first, and not just anything, lowers "
        f"P(tumour) by {fixed(gain)} on the way; the similarity to networks with shuffled weights is "
        f"{fixed(similarity, 2)}, where 0 is none. No proof: See docs/explaining.md."
    )


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
