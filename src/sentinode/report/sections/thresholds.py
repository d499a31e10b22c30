"""The section of a report in which a threshold can be moved: ROC curve, confusion matrix, predictive values."""

from typing import Any

from markupsafe import Markup
from scipy.special import logit

from sentinode.evaluation.evaluate import PREVALENCE
from sentinode.plots import plot_roc
from sentinode.report.data import ReportData
from sentinode.report.figures import Frame, frame_of, to_svg
from sentinode.report.formatting import NONE, fixed, percent, with_limits
from sentinode.report.page import Fragment, Note, Part, Subheading, Table
from sentinode.report.threshold_table import Histogram
from sentinode.serialize import to_json

SLIDER_POSITIONS = 400
METRICS = {
    "sensitivity": ("Sensitivity", "tumour patches predicted tumour"),
    "specificity": ("Specificity", "normal patches predicted normal"),
    "ppv": ("PPV", "tumour predictions that are correct"),
    "npv": ("NPV", "normal predictions that are correct"),
    "accuracy": ("Accuracy", "predictions that are correct"),
    "positive_likelihood_ratio": ("LR+", "how a tumour prediction changes the odds of tumour"),
    "negative_likelihood_ratio": ("LR−", "how a normal prediction changes the odds of tumour"),
}


def thresholds(data: ReportData) -> tuple[list[Part], dict[str, Any]]:
    """Return the parts of the section, and the values for its script."""
    histogram = Histogram.of(data.predictions)
    svg, frame = _roc(data)
    points = data.evaluation.operating_points
    names = {name: point_name(name) for name in points}
    buttons = [(name, "" if is_number(name) else fixed(each.threshold, 4)) for name, each in points.items()]
    chosen, rates = data.point.counts, {key: getattr(data.point, key) for key in METRICS}
    fragment = Fragment(
        "thresholds.html",
        svg=svg,
        auc=with_limits(data.evaluation.ranking.auc),
        count=len(data.threshold_table.thresholds),
        threshold=fixed(data.threshold, 4),
        names=names,
        buttons=buttons,
        histogram=_histogram_paths(histogram),
        position=round(histogram.position(float(logit(data.threshold))), 4),
        positions=SLIDER_POSITIONS,
        ticks=histogram.ticks(),
        counts={
            "tp": f"{chosen.true_positives:,}",
            "fn": f"{chosen.false_negatives:,}",
            "fp": f"{chosen.false_positives:,}",
            "tn": f"{chosen.true_negatives:,}",
        },
        rates=[(key, *METRICS[key], fixed(each.estimate) if each else NONE) for key, each in rates.items()],
        prevalence=f"{100 * PREVALENCE:g}",
        **_at_prevalence(data),
    )
    parts: list[Part] = [
        "A patch is predicted to be tumour if its predicted probability is at least the threshold. Move the threshold "
        "with the slider, with the buttons, or on the ROC curve: the pointer or the arrow keys show each threshold; a "
        "click or Enter selects it.",
        fragment,
        Subheading("At the named thresholds, with 95 % confidence intervals"),
        _points(data),
    ]
    chosen_on = data.evaluation.made_by.get("points_chosen_on")
    if chosen_on:
        where = f"the {chosen_on}" if isinstance(chosen_on, str) else f"the split {chosen_on['split']} of the same data"
        parts.append(Note(f"The other named thresholds were chosen on {where}."))
    values = {
        "threshold_table": to_json(data.threshold_table),
        "points": {
            name: {"index": data.threshold_table.index(each.threshold), "name": names[name]}
            for name, each in points.items()
        },
        "slider": {"low": histogram.low, "high": histogram.high, "positions": SLIDER_POSITIONS},
        "frame": to_json(frame),
    }
    return parts, values


def point_name(name: str) -> str:
    """Return the name of an operating point for readers.

    Examples
    --------
    >>> point_name("sensitivity>=0.95")
    'sensitivity ≥ 0.95'
    """
    return "the run's own" if name == "validation" else name.replace(">=", " ≥ ")


def is_number(name: str) -> bool:
    """Return whether an operating point is named by its threshold."""
    return name.replace(".", "", 1).isdigit()


def _roc(data: ReportData) -> tuple[Markup, Frame]:
    found, table = data.evaluation, data.threshold_table
    axes = plot_roc(found.roc, name=data.run.name, auc=found.ranking.auc, band=found.roc_band)
    sensitivity, specificity = data.point.sensitivity, data.point.specificity
    alt = (
        f"ROC curve of {data.run.name}. At the run's threshold: sensitivity "
        f"{fixed(sensitivity.estimate if sensitivity else None)}, specificity "
        f"{fixed(specificity.estimate if specificity else None)}."
    )
    named = {table.index(point.threshold) for point in found.operating_points.values()}
    own = table.index(data.threshold)
    to_svg(axes, alt, "roc")  # The frame is known once the figure has been laid out.
    frame = frame_of(axes)

    def circle(index: int, attributes: str) -> str:
        x = frame.x0 + table.false_positives[index] / table.normal * (frame.x1 - frame.x0)
        y = frame.y0 + table.true_positives[index] / table.tumour * (frame.y1 - frame.y0)
        return f'<circle {attributes} cx="{x:.1f}" cy="{y:.1f}"/>'

    marks = [circle(index, 'class="named" r="3.5"') for index in sorted(named)]
    marks += [circle(own, 'id="roc-now" class="now" r="5"'), circle(own, 'id="roc-preview" class="preview" r="4.5"')]
    return to_svg(axes, alt, "roc", "".join(marks)), frame


def _histogram_paths(histogram: Histogram) -> list[tuple[str, str]]:
    largest = max(int(histogram.normal.max()), int(histogram.tumour.max()), 1)
    width = 100 / len(histogram.normal)
    return [
        (
            name,
            "".join(
                f"M{bar * width:.2f} 50v{sign * 48 * count / largest:.1f}h{width:.2f}V50z"
                for bar, count in enumerate(counts.tolist())
                if count
            ),
        )
        for name, counts, sign in (("tumour", histogram.tumour, -1), ("normal", histogram.normal, 1))
    ]


def _at_prevalence(data: ReportData) -> dict[str, str]:
    """Return PPV, NPV and a sentence at the default prevalence, as the script computes them."""
    counts = data.point.counts
    detected = (counts.sensitivity or 0) * PREVALENCE
    alarms = (1 - (counts.specificity or 0)) * (1 - PREVALENCE)
    missed, correct = PREVALENCE - detected, 1 - PREVALENCE - alarms
    whole = [fixed(1000 * each, 0) for each in (detected, missed, alarms)]
    return {
        "ppv": fixed(detected / (detected + alarms)) if detected + alarms else NONE,
        "npv": fixed(correct / (correct + missed)) if correct + missed else NONE,
        "thousand": f"Of 1,000 patches, about {whole[0]} tumour patches are detected and {whole[1]} are missed; "
        f"{whole[2]} normal patches are false positives.",
    }


def _points(data: ReportData) -> Table:
    points = data.evaluation.operating_points
    points = {"validation": points["validation"], **points}  # The run's own is seen first on a phone.
    header = [
        "metric",
        *(
            name if is_number(name) else f"{point_name(name)} ({fixed(each.threshold, 4)})"
            for name, each in points.items()
        ),
    ]
    rows: list[list[str]] = [
        [name, *(with_limits(getattr(each, key)) for each in points.values())]
        for key, (name, _) in {**METRICS, "f1": ("F1", ""), "mcc": ("MCC", "")}.items()
    ]
    stated = sorted({each.prevalence for point in points.values() for each in point.at_prevalence})
    for prevalence in stated:
        for key in ("ppv", "npv"):
            found = [{each.prevalence: each for each in point.at_prevalence} for point in points.values()]
            cells = [with_limits(getattr(each.get(prevalence), key, None)) for each in found]
            rows.append([f"{key.upper()} at {percent(prevalence, 0)} prevalence", *cells])
    return Table(header, rows, "operating-points")
