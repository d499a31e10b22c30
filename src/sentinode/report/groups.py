"""The sections of a report on groups of patches and on shifted ones."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sentinode.report import svg
from sentinode.report.data import Facts
from sentinode.report.forest import forest
from sentinode.report.formatting import fixed, plural, with_limits
from sentinode.report.old_html import paragraph
from sentinode.serialize import to_json

FIGURES = {"auc": ("AUC", "one"), "sensitivity": ("sensitivity", "two"), "specificity": ("specificity", "three")}


def groups(facts: Facts) -> list[str]:
    """Return the parts of the section on groups; none where none are known."""
    parts = []
    for column, found in facts.metrics["subgroups"].items():
        parts += [f"<h3>By {escape(column)}, the lowest AUC first</h3>", _forest(facts, found)]
    if parts:
        return [
            paragraph(
                f"Each at the run's threshold of {fixed(facts.threshold, 4)}, with 95 % limits. Dotted: all patches "
                "together."
            ),
            *parts,
        ]
    return [
        paragraph(
            "No column of these patches says which slide, patient or centre they come from, or none has between 2 and "
            "30 values. Whether it works as well everywhere is not known."
        )
    ]


def _forest(facts: Facts, found: Sequence[Mapping[str, Any]]) -> str:
    names = [(each["name"], plural(each["normal"] + each["tumour"], "patch")) for each in found]
    panels = {}
    for key, (title, css) in FIGURES.items():
        intervals = [each["auc"] if key == "auc" else each["point"][key] for each in found]
        together = facts.metrics["ranking"]["auc"] if key == "auc" else facts.point[key]
        panels[title] = ([css] * len(found), intervals, together["estimate"])
    notes = [f"{each['name']}: {each['note']}" for each in found if each["note"]]
    return forest(names, panels) + "".join(paragraph(note, soft=True) for note in notes)


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
    count = found.normal + found.tumour
    shown: dict[str, Any] = to_json(found.perturbations)
    unperturbed: dict[str, Any] = to_json(found.unperturbed)
    lowest = min(point[key]["low"] for shift in shown.values() for point in shift["points"] for key in FIGURES)
    panels = [_shift(name, shift, unperturbed, max(0.0, lowest - 0.02)) for name, shift in shown.items()]
    keys = "".join(f'<span class="key {css}">{name}</span>' for name, css in FIGURES.values())
    quick = " The extremes of each shift alone were measured." if found.made_by["quick"] else ""
    areas = [with_limits(to_json(each)) for each in (found.unperturbed.auc, found.perturbed_auc)]
    return [
        f"<p>{plural(count, 'patch')}, perturbed as other laboratories, scanners and programs may change them; "
        f"threshold {fixed(found.threshold, 4)}.{quick} AUC {areas[0]} unperturbed, {areas[1]} on the mean over "
        f"perturbations; the worst is {escape(found.worst)}.</p>",
        f'<p class="keys">{keys}<span class="key chance">as they are</span></p>',
        f'<div class="shifts">{"".join(panels)}</div>',
    ]


def _shift(name: str, shift: Mapping[str, Any], unperturbed: Mapping[str, Any], lowest: float) -> str:
    points = sorted([*shift["points"], {**unperturbed, "level": shift["neutral"]}], key=lambda each: each["level"])
    levels = [each["level"] for each in points]
    frame = svg.Frame(x=(levels[0], levels[-1]), y=(lowest, 1.0), width=260, height=200, left=34, top=8, right=14)
    parts = [
        svg.axes(
            frame, levels if len(levels) <= 5 else levels[::2], svg.ticks(*frame.y, most=5), shift["description"], ""
        )
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
