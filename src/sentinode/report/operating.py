"""The section of a report in which a threshold is moved: ROC curve, calls against truth, predictive values."""

from collections.abc import Mapping
from html import escape
from typing import Any

from scipy.special import logit

from sentinode.report import svg
from sentinode.report.data import Facts
from sentinode.report.formatting import NONE, fixed, percent, with_limits
from sentinode.report.old_html import Html, paragraph, table
from sentinode.report.threshold_table import Histogram, Steps

ROC = svg.Frame(width=400, height=400, left=46, right=10, top=10, bottom=44)
PREVALENCE = 0.05
POSITIONS = 400
RATES = {
    "sensitivity": ("Sensitivity", "tumour patches called tumour"),
    "specificity": ("Specificity", "normal patches called normal"),
    "ppv": ("PPV", "tumour calls that are right"),
    "npv": ("NPV", "normal calls that are right"),
    "accuracy": ("Accuracy", "all calls that are right"),
    "positive_likelihood_ratio": ("LR+", "odds of tumour after a tumour call, times those before"),
    "negative_likelihood_ratio": ("LR−", "odds of tumour after a normal call, times those before"),
}
POINTS = {"0.5": "one half", "validation": "the run's own"}


def operating(facts: Facts) -> list[str]:
    """Return the parts of the section."""
    steps, histogram = steps_of(facts), Histogram.of(facts.predictions)
    return [
        paragraph(
            "A patch is called tumour from a threshold of probability on. Move it and see what it costs: with the "
            "slider, with the buttons, or on the curve, where the pointer or the arrow keys show each threshold and "
            "a click or Enter takes it."
        ),
        f'<div class="operating"><div>{_roc(facts, steps)}</div><div>{_panel(facts, steps, histogram)}</div></div>',
        '<h3 id="points">At the named thresholds, with 95 % limits</h3>',
        _points(facts),
    ]


def steps_of(facts: Facts) -> Steps:
    """Return the thresholds of the page."""
    return Steps.of(facts.predictions, [each["threshold"] for each in facts.metrics["operating_points"].values()])


def values(facts: Facts) -> dict[str, Any]:
    """Return what the scripts of the page start from."""
    steps, histogram = steps_of(facts), Histogram.of(facts.predictions)
    points = facts.metrics["operating_points"]
    return {
        "steps": steps.to_json(),
        "points": {
            name: {"place": steps.place(each["threshold"]), "name": said(name)} for name, each in points.items()
        },
        "slider": {"low": histogram.low, "high": histogram.high, "positions": POSITIONS},
        "roc": ROC.to_json(),
    }


def said(name: str) -> str:
    """Return what a threshold is called on the page."""
    return POINTS.get(name, name.replace(">=", " ≥ "))


def _roc(facts: Facts, steps: Steps) -> str:
    curve, area, point = facts.curves["roc"], facts.metrics["ranking"]["auc"], facts.point
    false, true = 1 - point["specificity"]["estimate"], point["sensitivity"]["estimate"]
    alt = (
        f"ROC curve. AUC {fixed(area['estimate'])}, 95 % limits {fixed(area['low'])} to {fixed(area['high'])}. At the "
        f"run's own threshold: sensitivity {fixed(true)}, specificity {fixed(1 - false)}."
    )
    frame = ROC
    named = [steps.place(each["threshold"]) for each in facts.metrics["operating_points"].values()]
    drawn = svg.drawing(
        frame,
        alt,
        svg.axes(
            frame,
            svg.ticks(0, 1),
            svg.ticks(0, 1),
            "1 − specificity: normal patches called tumour",
            "sensitivity: tumour patches called tumour",
        ),
        svg.line(frame, [0, 1], [0, 1], "chance"),
        svg.line(frame, curve["false_positive_rate"], curve["true_positive_rate"], "curve one"),
        svg.dots(
            frame, steps.false_positives[named] / steps.normal, steps.true_positives[named] / steps.tumour, "named"
        ),
        svg.dots(frame, [false], [true], "now", 6).replace("<circle", '<circle id="roc-now"'),
        '<circle id="roc-look" class="look" r="5" cx="0" cy="0"/>',
    )
    return (
        f"<figure><figcaption><b>ROC curve</b> AUC {with_limits(area)}</figcaption>"
        f'<div id="roc" class="plot" tabindex="0" role="slider" aria-label="Threshold on the ROC curve" '
        f'aria-valuemin="1" aria-valuemax="{len(steps.thresholds)}" aria-valuenow="1" '
        f'aria-valuetext="arrow keys go along the curve, Enter takes the threshold">{drawn}'
        '<div id="roc-tip" class="tip" hidden></div></div></figure>'
    )


def _panel(facts: Facts, steps: Steps, histogram: Histogram) -> str:
    place = steps.place(facts.threshold)
    at = histogram.share(float(logit(facts.threshold)))
    buttons = "".join(
        f'<button type="button" data-point="{escape(name)}" aria-pressed="{str(name == "validation").lower()}">'
        f"{escape(said(name))} <span>{fixed(each['threshold'], 3)}</span></button>"
        for name, each in facts.metrics["operating_points"].items()
    )
    return (
        '<div class="threshold"><label for="slider">Threshold</label> '
        f'<output id="threshold" for="slider">{fixed(facts.threshold, 4)}</output> '
        f'<span id="threshold-name" class="soft">{said("validation")}</span></div>'
        f'<div class="track">{_histogram(histogram, at)}'
        f'<input id="slider" type="range" min="0" max="{POSITIONS}" step="1" value="{round(at * POSITIONS)}" '
        f'aria-valuetext="{fixed(facts.threshold, 4)}">{_marks(histogram)}</div>'
        f'<div class="chips" role="group" aria-label="Named thresholds">{buttons}</div>'
        f"{_matrix(steps, place)}{_rates(facts.point)}{_prevalence(facts.point)}"
    )


def _histogram(histogram: Histogram, at: float) -> str:
    most = max(int(histogram.normal.max()), int(histogram.tumour.max()), 1)
    width = 100 / len(histogram.normal)
    shapes = []
    for kind, counts, sign in (("tumour", histogram.tumour, -1), ("normal", histogram.normal, 1)):
        path = "".join(
            f"M{place * width:.2f} 50v{sign * 48 * count / most:.1f}h{width:.2f}V50z"
            for place, count in enumerate(counts.tolist())
            if count
        )
        shapes.append(f'<path class="{kind}" d="{path}"/>')
    line = f'<line id="cut" x1="{100 * at:.2f}" x2="{100 * at:.2f}" y1="0" y2="100"/>'
    alt = "How many patches have which probability: those with tumour drawn upwards, normal ones downwards."
    return (
        '<div class="sides" aria-hidden="true"><span class="key tumour">tumour patches</span>'
        '<span class="key normal">normal patches</span></div>'
        f'<svg class="histogram" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{alt}">'
        f"{''.join(shapes)}{line}</svg>"
    )


def _marks(histogram: Histogram) -> str:
    marks = "".join(f'<span style="left:{100 * at:.2f}%">{text}</span>' for text, at in histogram.marks())
    return f'<div class="marks" aria-hidden="true">{marks}</div><p class="below">probability of tumour</p>'


def _matrix(steps: Steps, place: int) -> str:
    tp, fp = int(steps.true_positives[place]), int(steps.false_positives[place])
    tn, fn = steps.normal - fp, steps.tumour - tp
    rows = (
        ("Tumour", (("tp", tp, "found"), ("fn", fn, "missed"))),
        ("Normal", (("fp", fp, "false alarms"), ("tn", tn, "right"))),
    )
    body = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(
            f'<td class="{"right" if key in ("tp", "tn") else "wrong"}"><b id="{key}">{count:,}</b>'
            f"<span>{words}</span></td>"
            for key, count, words in cells
        )
        + "</tr>"
        for name, cells in rows
    )
    return (
        '<table class="matrix"><caption>Calls against truth, patches</caption><thead><tr><th scope="col">Truth</th>'
        '<th scope="col">called tumour</th><th scope="col">called normal</th></tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _rates(point: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{name} <span>{meaning}</span></th><td id="{key}">{_estimate(point[key])}</td></tr>'
        for key, (name, meaning) in RATES.items()
    )
    return (
        f'<table class="rates"><caption class="unseen">Figures at the threshold</caption><tbody>{rows}</tbody></table>'
    )


def _estimate(interval: Mapping[str, Any] | None) -> str:
    return NONE if interval is None else "∞" if interval["estimate"] is None else fixed(interval["estimate"])


def _prevalence(point: Mapping[str, Any]) -> str:
    sensitivity, specificity = point["sensitivity"]["estimate"], point["specificity"]["estimate"]
    found, alarms = sensitivity * PREVALENCE, (1 - specificity) * (1 - PREVALENCE)
    missed, right = PREVALENCE - found, 1 - PREVALENCE - alarms
    ppv = fixed(found / (found + alarms)) if found + alarms else NONE
    npv = fixed(right / (right + missed)) if right + missed else NONE
    return (
        '<div class="prevalence"><label for="prevalence">Where tumour is in</label> '
        f'<input id="prevalence" type="number" min="0.01" max="99.99" step="any" value="{100 * PREVALENCE:g}" '
        'inputmode="decimal" aria-describedby="prevalence-wrong"> '
        "<span>% of patches</span>"
        '<p id="prevalence-wrong" class="wrong-input" role="alert" hidden>A percentage above 0 and below 100.</p>'
        f'<dl><div><dt>PPV</dt><dd id="ppv-there">{ppv}</dd></div>'
        f'<div><dt>NPV</dt><dd id="npv-there">{npv}</dd></div></dl>'
        f'<p id="thousand" class="soft">{_thousand(found, missed, alarms)}</p></div>'
    )


def _thousand(found: float, missed: float, alarms: float) -> str:
    """Say in whole patches what a rate means."""
    counts = [fixed(1000 * each, 0) for each in (found, missed, alarms)]
    return (
        f"Of 1,000 such patches about {counts[0]} with tumour are found and {counts[1]} are missed; "
        f"{counts[2]} normal ones are called tumour."
    )


def _points(facts: Facts) -> str:
    points = facts.metrics["operating_points"]
    points = {"validation": points["validation"], **points}  # The run's own is seen first on a phone.
    header = ["", *(f"{said(name)}, {fixed(each['threshold'], 4)}" for name, each in points.items())]
    rows: list[list[str]] = [
        [name, *(with_limits(each[key]) for each in points.values())]
        for key, (name, _) in {**RATES, "f1": ("F1", ""), "mcc": ("MCC", "")}.items()
    ]
    stated = sorted({each["prevalence"] for point in points.values() for each in point["at_prevalence"]})
    for prevalence in stated:
        for key in ("ppv", "npv"):
            there = [{each["prevalence"]: each for each in point["at_prevalence"]} for point in points.values()]
            cells = [with_limits(each[prevalence][key]) if prevalence in each else Html(NONE) for each in there]
            rows.append([f"{key.upper()} where {percent(prevalence, 0)} are tumour", *cells])
    return table(header, rows)
