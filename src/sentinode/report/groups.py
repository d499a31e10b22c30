"""The sections of a report on groups of patches and on shifted ones."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sentinode.report import svg
from sentinode.report.facts import Facts
from sentinode.report.page import paragraph
from sentinode.report.words import fixed, many, with_limits

FIGURES = {"auc": ("AUC", "one"), "sensitivity": ("sensitivity", "two"), "specificity": ("specificity", "three")}
ROW = 22


def groups(facts: Facts) -> list[str]:
    """Return the parts of the section on groups; none where none are known."""
    parts = []
    for column, found in facts.metrics["subgroups"].items():
        parts += [f"<h3>By {escape(column)}, the lowest AUC first</h3>", _forest(column, found)]
    if parts:
        return [
            paragraph(f"Each at the run's threshold of {fixed(facts.threshold, 4)}, with 95 % limits."),
            *parts,
        ]
    return [
        paragraph(
            "No column of these patches says which slide, patient or centre they come from, or none has between 2 and "
            "30 values. Whether it works as well everywhere is not known."
        )
    ]


def _forest(column: str, found: Sequence[Mapping[str, Any]]) -> str:
    """Draw one row a group; the names are a column of text so that they stay readable on a phone."""
    panels = []
    for key, (name, css) in FIGURES.items():
        intervals = [each["auc"] if key == "auc" else each["rates"][key] for each in found]
        panels.append(_forest_panel(name, css, intervals))
    rows = "".join(
        f'<li title="{escape(each["note"])}"><b>{escape(each["name"])}</b> '
        f"<span>{many(each['normal'] + each['tumour'], 'patch', 'patches')}</span></li>"
        for each in found
    )
    notes = [f"{each['name']}: {each['note']}" for each in found if each["note"]]
    return (
        f'<div class="forest"><ol style="--row:{ROW}px">{rows}</ol><div class="forests">{"".join(panels)}</div></div>'
        + "".join(paragraph(note, soft=True) for note in notes)
    )


def _forest_panel(name: str, css: str, intervals: Sequence[Mapping[str, Any] | None]) -> str:
    known = [each for each in intervals if each is not None]
    low = min((each["low"] for each in known), default=0.0)
    frame = svg.Frame(
        x=(max(0.0, low - 0.04), 1.0),
        y=(len(intervals), 0),
        width=240,
        height=ROW * len(intervals) + 48,
        left=8,
        right=10,
        top=24,
        bottom=24,
    )
    parts = [
        f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="24" y2="{frame.height - 24:g}"/>'
        + svg.text(at, frame.height - 8, f"{tick:g}", "middle")
        for tick in svg.ticks(*frame.x, most=5)
        for at in [float(frame.across(tick))]
    ]
    for row, each in enumerate(intervals):
        at = float(frame.down(row + 0.5))
        if each is None:
            parts.append(svg.text(frame.left, at + 4, "–"))
            continue
        ends = frame.across([each["low"], each["high"]])
        parts.append(f'<path class="limit {css}" d="M{ends[0]:.1f} {at:.1f}H{ends[1]:.1f}"/>')
        parts.append(f'<circle class="dot {css}" cx="{frame.across(each["estimate"]):.1f}" cy="{at:.1f}" r="4"/>')
    alt = f"{name} of each group with its limits, from {fixed(low)} to 1."
    return svg.drawing(frame, alt, svg.text(frame.left, 14, name, css="title"), *parts, css="fixed-size")


def stress(facts: Facts) -> list[str]:
    """Return the parts of the section on shifts; none where no stress test was made."""
    found = facts.stress
    if found is None:
        return [
            paragraph(
                "No stress test of this run on this split was found: what is left of it under another stain, focus or "
                "scanner is not known. sentinode stress makes one, and the next report shows it."
            )
        ]
    summary, count = found["summary"], found["patches"]["normal"] + found["patches"]["tumour"]
    lowest = min(
        point[key]["low"] for shift in found["shifts"].values() for point in shift["levels"] for key in FIGURES
    )
    panels = [
        _shift(name, shift, found["unshifted"], max(0.0, lowest - 0.02)) for name, shift in found["shifts"].items()
    ]
    keys = "".join(f'<span class="key {css}">{name}</span>' for name, css in FIGURES.values())
    quick = " The extremes of each shift alone were measured." if found["made_by"]["quick"] else ""
    return [
        f"<p>{many(count, 'patch', 'patches')}, changed as other laboratories, scanners and programs change them; the "
        f"threshold stays {fixed(found['threshold'], 4)}.{quick} AUC {with_limits(summary['unshifted_auc'])} as they "
        f"are, {with_limits(summary['shifted_auc'])} on the mean over shifts; the worst is "
        f"{escape(summary['worst_shift'])}.</p>",
        f'<p class="keys">{keys}<span class="key chance">as they are</span></p>',
        f'<div class="shifts">{"".join(panels)}</div>',
    ]


def _shift(name: str, shift: Mapping[str, Any], unshifted: Mapping[str, Any], lowest: float) -> str:
    points = sorted([*shift["levels"], {**unshifted, "level": shift["neutral"]}], key=lambda each: each["level"])
    levels = [each["level"] for each in points]
    frame = svg.Frame(x=(levels[0], levels[-1]), y=(lowest, 1.0), width=260, height=200, left=34, top=8, right=14)
    parts = [
        svg.axes(frame, levels if len(levels) <= 5 else levels[::2], svg.ticks(*frame.y, most=5), shift["what"], "")
    ]
    parts.append(svg.line(frame, [shift["neutral"]] * 2, frame.y, "chance"))
    for key, (_, css) in FIGURES.items():
        low, middle, high = ([each[key][end] for each in points] for end in ("low", "estimate", "high"))
        parts += [svg.band(frame, levels, low, high, f"band {css}"), svg.line(frame, levels, middle, f"curve {css}")]
        parts.append(svg.dots(frame, levels, middle, f"dot {css}", 2.5))
    worst = min(points, key=lambda each: each["auc"]["estimate"])
    alt = f"{name}: AUC, sensitivity and specificity by level. AUC is lowest at {worst['level']:g}, "
    alt += f"{fixed(worst['auc']['estimate'])}."
    return f"<figure><figcaption><b>{escape(name)}</b></figcaption>{svg.drawing(frame, alt, *parts)}</figure>"
