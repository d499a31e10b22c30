"""The section of a report with precision and recall, calibration, selective prediction and decisions."""

from collections.abc import Sequence
from html import escape

import numpy as np

from sentinode.report import svg
from sentinode.report.data import Facts
from sentinode.report.formatting import fixed, percent, with_limits

FRAME = svg.Frame(left=52, height=290)
UNIT = svg.ticks(0, 1)


def curves(facts: Facts) -> list[str]:
    """Return the parts of the section."""
    panels = (_precision_recall(facts), _calibration(facts), _risk_coverage(facts), _decisions(facts))
    return [f'<div class="panels">{"".join(panels)}</div>']


def panel(title: str, drawn: str, reading: str, keys: Sequence[tuple[str, str]] = ()) -> str:
    """Return a drawing with its title, what its lines are, and how to read it; `reading` is html."""
    named = "".join(f'<span class="key {css}">{escape(words)}</span>' for css, words in keys)
    legend = f'<span class="keys">{named}</span>' if keys else ""
    return f"<figure><figcaption><b>{escape(title)}</b>{legend}</figcaption>{drawn}<p>{reading}</p></figure>"


def _precision_recall(facts: Facts) -> str:
    curve, found = facts.curves["precision_recall"], facts.metrics["ranking"]["average_precision"]
    counts = facts.metrics
    share = counts["tumour"] / (counts["normal"] + counts["tumour"])
    alt = f"Precision against recall. Average precision {fixed(found['estimate'])}, by chance {fixed(share)}."
    drawn = svg.drawing(
        FRAME,
        alt,
        svg.axes(FRAME, UNIT, UNIT, "recall: tumour patches called tumour", "precision: tumour calls that are right"),
        svg.line(FRAME, [0, 1], [share, share], "chance"),
        svg.line(FRAME, curve["recall"], curve["precision"], "curve one"),
    )
    reading = (
        f"Average precision {with_limits(found)}. It depends on the share of tumour, which is {percent(share, 0)} here."
    )
    return panel("Precision and recall", drawn, reading, [("one", "model"), ("chance", "chance")])


def _calibration(facts: Facts) -> str:
    found = facts.metrics["calibration"]
    points, error, line = found["reliability"], found["error"], found["recalibration"]
    said = [each["probability"] for each in points]
    came, low, high = ([each["frequency"][name] for each in points] for name in ("estimate", "low", "high"))
    alt = f"Share of tumour against probability, in {len(points)} groups. Calibration error {fixed(error['estimate'])}."
    drawn = svg.drawing(
        FRAME,
        alt,
        svg.axes(FRAME, UNIT, UNIT, "probability of tumour", "share of tumour"),
        svg.line(FRAME, [0, 1], [0, 1], "chance"),
        svg.bars(FRAME, said, low, high, "limit one"),
        svg.line(FRAME, said, came, "curve one"),
        svg.dots(FRAME, said, came, "dot one"),
    )
    slope = "" if line["slope"] is None else f" Slope {with_limits(line['slope'])}, 1 is right."
    reading = (
        f"Calibration error {fixed(error['estimate'])}; 95 % of probabilities that are right stay below "
        f"{fixed(error['q95_if_calibrated'])}.{slope}"
    )
    return panel("Calibration", drawn, reading, [("one", "model"), ("chance", "probabilities that come true")])


def _risk_coverage(facts: Facts) -> str:
    curve, found = facts.curves["risk_coverage"], facts.metrics["selective"]
    coverage, risk = curve["coverage"].to_numpy(), curve["risk"].to_numpy()
    shown = coverage >= min(0.02, coverage[-1])  # The first few patches jump between 0 and 1.
    frame = svg.Frame(left=52, height=290, y=(0, float(max(risk[shown].max() * 1.08, 0.01))))
    alt = f"Share of wrong calls among the surest patches. When all are called it is {fixed(float(risk[-1]))}."
    drawn = svg.drawing(
        frame,
        alt,
        svg.axes(frame, UNIT, svg.ticks(*frame.y), "patches called, the surest first", "wrong calls among them"),
        svg.line(frame, coverage[shown], risk[shown], "curve one"),
    )
    parts = [f"If all patches are called, {percent(float(risk[-1]))} of calls are wrong."]
    for each in found["coverage_at_risk"]:
        asked = f"At most {percent(each['risk'], 0)} wrong"
        shown_by = (
            "no share of patches shows it" if each["coverage"] is None else f"{percent(each['coverage'], 0)} of them"
        )
        parts.append(f"{asked}: {shown_by}.")
    sets = found["conformal"]
    if sets:
        parts.append(
            f"Prediction sets meant to hold {percent(sets['nominal'], 0)} of labels hold "
            f"{with_limits(sets['coverage'])}."
        )
    return panel("Selective prediction", drawn, " ".join(parts), [("one", "model")])


def _decisions(facts: Facts) -> str:
    curve = facts.metrics["decision_curve"]
    share, at = curve["prevalence"], curve["thresholds"]
    frame = svg.Frame(left=52, height=290, y=(-0.1 * share, 1.1 * share))
    every = np.maximum(curve["treat_all"], frame.y[0])
    seen = np.asarray(curve["treat_all"]) >= frame.y[0]
    alt = "Net benefit of acting on the calls, against the probability from which one would act."
    low, high = (np.clip(curve[name], *frame.y) for name in ("low", "high"))
    drawn = svg.drawing(
        frame,
        alt,
        svg.axes(frame, UNIT, svg.ticks(*frame.y), "probability from which one would act", "net benefit a patch"),
        svg.line(frame, [0, 1], [0, 0], "chance"),
        svg.line(frame, np.asarray(at)[seen], every[seen], "curve two"),
        svg.band(frame, at, low, high, "band one"),
        svg.line(frame, at, np.clip(curve["net_benefit"], *frame.y), "curve one"),
    )
    reading = (
        "True positives a patch, less false positives at the price that the probability says. Above both other lines "
        f"acting on the calls is worth it, where {percent(share, 0)} are tumour."
    )
    keys = [("one", "model"), ("two", "call all tumour"), ("chance", "call none")]
    return panel("Decisions", drawn, reading, keys)
