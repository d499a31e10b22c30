"""The section of a report with example patches, errors first."""

from collections.abc import Callable

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.evaluation.outcomes import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    TRUE_NEGATIVE,
    TRUE_POSITIVE,
    confidence,
    outcomes,
)
from sentinode.plots.style import shorten_start
from sentinode.report.attribution_overlays import AttributionOverlays
from sentinode.report.data import ReportData
from sentinode.report.formatting import fixed
from sentinode.report.page import Fragment, Part

# The number of the most and of the least confident predictions that are shown of each outcome.
SHOWN = {FALSE_NEGATIVE: (18, 12), FALSE_POSITIVE: (18, 12), TRUE_POSITIVE: (6, 6), TRUE_NEGATIVE: (6, 6)}

# From patches, uint8 of shape (n, 96, 96, 3), to their attribution overlays.
Explainer = Callable[[UInt8Array], AttributionOverlays]


def examples(data: ReportData, explain: Explainer | None = None) -> list[Part]:
    """Return the parts of the section.

    Parameters
    ----------
    data : ReportData
        The run and its results.
    explain : callable, optional
        Makes attribution overlays; without it the patches are shown alone.

    Returns
    -------
    list of Part
        A paragraph and the gallery.
    """
    outcome, margin = outcomes_of(data)
    rows = choose_examples(outcome, margin)
    pixels = data.patches.read(rows)
    overlays = explain(pixels) if explain else AttributionOverlays([None] * len(rows), "")
    counts = {name: int((outcome == name).sum()) for name in SHOWN}
    shown = {name: int((outcome[rows] == name).sum()) for name in SHOWN}
    errors = shown[FALSE_NEGATIVE] + shown[FALSE_POSITIVE]
    choices = [("all", "All", sum(shown.values())), ("errors", "All errors", errors)]
    choices += [(name, f"{name.capitalize()}s", count) for name, count in shown.items()]
    table = data.predictions.iloc[rows]
    patches = [
        {
            "id": id_,
            "name": shorten_start(id_, 15),
            "outcome": outcome[row],
            "confidence": margin[row],
            "probability": fixed(probability),
            "warning": warning,
            "image": image,
            "overlay": overlay,
        }
        for row, id_, probability, warning, image, overlay in zip(
            rows,
            table["id"].astype(str),
            table["probability"],
            table["warning"].fillna("") if "warning" in table else [""] * len(rows),
            pixels,
            overlays.images,
            strict=True,
        )
    ]
    return [
        f"At the run's threshold of {fixed(data.threshold, 4)}: "
        + ", ".join(f"{count:,} {name}s" for name, count in counts.items())
        + ". Shown are the most confident predictions of each outcome and those nearest to the threshold, with the "
        "predicted probability of tumour. The square marks the central 32 × 32 px, to which the label refers.",
        Fragment("examples.html", choices=choices, explained=overlays.description, patches=patches),
    ]


def outcomes_of(data: ReportData) -> tuple[np.ndarray, np.ndarray]:
    """Return the outcome of each patch at the run's threshold, and the distance of its log-odds from it."""
    table, threshold = data.predictions, data.threshold
    outcome = outcomes(table["label"].to_numpy(dtype=np.int64), table["probability"].to_numpy(), threshold)
    return outcome, confidence(table["logit"].to_numpy(), threshold)


def choose_examples(outcome: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Choose patches to show: errors first, and of each outcome the most confident first.

    Examples
    --------
    >>> choose_examples(np.array(["true negative", "false negative", "false negative"]), np.array([1, 0.5, 2])).tolist()
    [2, 1, 0]
    """
    rows: list[int] = []
    for name, (most, least) in SHOWN.items():
        found = np.flatnonzero(outcome == name)
        found = found[np.argsort(-margin[found], kind="stable")]
        rows += [*found[:most].tolist(), *found[max(most, len(found) - least) :].tolist()]
    return np.array(rows, dtype=np.int64)
