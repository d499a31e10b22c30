"""The section of a report with patches to look at: mistakes first."""

from collections.abc import Callable
from html import escape

import numpy as np

from sentinode.data.types import UInt8Array
from sentinode.evaluation.outcomes import confidence, outcomes
from sentinode.plots.style import shorten_start
from sentinode.report.attribution_overlays import AttributionOverlays
from sentinode.report.data import Facts
from sentinode.report.formatting import fixed
from sentinode.report.old_html import paragraph
from sentinode.report.page import data_uri

# Of each outcome: the surest calls, and the least sure.
SUREST = {"false negative": 18, "false positive": 18, "true positive": 6, "true negative": 6}
LEAST_SURE = {"false negative": 12, "false positive": 12, "true positive": 6, "true negative": 6}
OUTCOMES = {
    "false negative": ("false negative", "False negatives"),
    "false positive": ("false positive", "False positives"),
    "true positive": ("true positive", "True positives"),
    "true negative": ("true negative", "True negatives"),
}

# From patches, uint8 (n, 96, 96, 3), to what is laid over them.
Overlays = Callable[[UInt8Array], AttributionOverlays]


def examples(facts: Facts, overlays: Overlays | None = None) -> list[str]:
    """Return the parts of the section.

    Parameters
    ----------
    facts
        What is known.
    overlays
        What shows where a network looked; without it patches stand alone.
    """
    of, sure = becameof(facts)
    rows = choose(of, sure)
    pixels = facts.patches.read(rows)
    looked = overlays(pixels) if overlays else AttributionOverlays([""] * len(rows), "")
    figures = [
        _figure(facts, int(row), str(of[row]), float(sure[row]), patch, above)
        for row, patch, above in zip(rows, pixels, looked.images, strict=True)
    ]
    counts = {name: int((of == name).sum()) for name in OUTCOMES}
    shown = {name: int((of[rows] == name).sum()) for name in OUTCOMES}
    return [
        paragraph(
            f"At threshold {fixed(facts.threshold, 4)} there are {counts['false negative']:,} false negatives, "
            f"{counts['false positive']:,} false positives, {counts['true positive']:,} true positives and "
            f"{counts['true negative']:,} true negatives. "
            "Of each the surest calls and those nearest to the threshold are here, with their probability of tumour. "
            "The square marks the central 32 × 32 px that the label is about."
        ),
        _controls(shown, looked.sentences),
        f'<div id="patches" class="patches">{"".join(figures)}</div>',
        '<dialog id="large" aria-label="The patch, enlarged"><form method="dialog"><button>Close</button></form>'
        '<div class="thumb"></div><p></p></dialog>',
    ]


def becameof(facts: Facts) -> tuple[np.ndarray, np.ndarray]:
    """Return for each patch what became of it at the run's threshold, and how far its log-odds are from it."""
    table, threshold = facts.predictions, facts.threshold
    of = outcomes(table["label"].to_numpy(dtype=np.int64), table["probability"].to_numpy(), threshold)
    return of, confidence(table["logit"].to_numpy(), threshold)


def choose(became: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Return rows to show: mistakes first, the surest of each outcome first.

    Examples
    --------
    >>> choose(np.array(["true negative", "false negative", "false negative"]), np.array([1.0, 0.5, 2.0])).tolist()
    [2, 1, 0]
    """
    rows: list[int] = []
    for name in OUTCOMES:
        of = np.flatnonzero(became == name)
        of = of[np.argsort(-sure[of], kind="stable")]
        least = of[max(SUREST[name], len(of) - LEAST_SURE[name]) :]
        rows += [*of[: SUREST[name]].tolist(), *least.tolist()]
    return np.array(rows, dtype=np.int64)


def _controls(shown: dict[str, int], explained: str) -> str:
    choices = [("all", "All"), ("mistakes", "All mistakes"), *((name, words) for name, (_, words) in OUTCOMES.items())]
    counts = {"all": sum(shown.values()), "mistakes": shown["false negative"] + shown["false positive"], **shown}
    radios = "".join(
        f'<label><input type="radio" name="outcome" value="{name}"{" checked" if name == "mistakes" else ""}>'
        f"<span>{words} <small>{counts[name]}</small></span></label>"
        for name, words in choices
    )
    switch = (
        '<label class="switch"><input id="overlay" type="checkbox" aria-describedby="looked"> show where it looked'
        "</label>"
        if explained
        else ""
    )
    return (
        f'<div class="controls"><fieldset class="chips"><legend class="unseen">Outcome</legend>{radios}</fieldset>'
        '<label>Order <select id="order"><option value="sure">surest first</option>'
        '<option value="unsure">least sure first</option></select></label>'
        f'{switch}<p id="patches-shown" class="soft" role="status"></p>'
        f'{f"""<p id="looked" class="soft" hidden>{escape(explained)}</p>""" if explained else ""}</div>'
    )


def _figure(facts: Facts, row: int, outcome: str, confidence: float, patch: UInt8Array, above: str) -> str:
    of = facts.predictions.iloc[row]
    name, words = str(of["id"]), OUTCOMES[outcome][0]
    alt = f"{words}, probability {fixed(float(of['probability']))}"
    layer = f'<img class="over" src="{above}" alt="where it looked" hidden>' if above else ""
    warning = f"<span>unusual {escape(str(of['warning']))}</span>" if of.get("warning") else ""
    return (
        f'<figure data-outcome="{outcome}" data-sureness="{confidence:.6f}">'
        f'<button type="button" class="thumb" aria-label="{escape(f"{name}: {alt}; enlarge")}">'
        f'<img src="{data_uri(patch)}" alt="" width="96" height="96">{layer}</button>'
        f"<figcaption><b>{fixed(float(of['probability']))}</b><span>{words}</span>{warning}"
        f'<span class="name">{escape(shorten_start(name, 15))}</span></figcaption></figure>'
    )
