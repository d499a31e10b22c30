"""The page of a comparison: ROC curves, results, differences and costs of several models."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from sentinode.errors import plural
from sentinode.evaluation.comparison import ComparedModel, ComparedPair, Comparison
from sentinode.evaluation.formatting import format_p_value
from sentinode.metrics.intervals.interval import Interval
from sentinode.metrics.ranking.roc_curve import RocCurve
from sentinode.plots import plot_forest, plot_roc_comparison
from sentinode.plots.comparison import pair_labels
from sentinode.plots.style import COLOR_OF_16, INK, LINE_OF_16
from sentinode.report.figures import VARIABLES, Frame, frame_of, to_svg
from sentinode.report.formatting import NONE, code, fixed, shareable, shareable_command, with_limits
from sentinode.report.page import (
    Definitions,
    Figure,
    Figures,
    Findings,
    Fragment,
    Note,
    Part,
    Section,
    Table,
    write_page,
)
from sentinode.report.sections import comparison as sections
from sentinode.samples import PRETRAINED, pretrained_path
from sentinode.serialize import to_json

# The false positive rate at which the page starts, in thousandths.
START = 100
# Differences of more pairs are better read in the table.
MAX_PAIRS = 15
DASHES = {"-": "none", "--": "7 3", "-.": "9 3 2 3", ":": "2 3"}


def write_compare_page(found: Comparison, path: str | Path) -> None:
    """Write the page of a comparison, whole or not at all.

    Parameters
    ----------
    found : Comparison
        From `compare`.
    path : str or Path
        The HTML file.
    """
    curves, frame = _curves(found)
    parts: list[Part] = [
        Fragment("research-use.html"),
        Findings(_findings(found)),
        Section("ROC curves", curves, "s-curves"),
        Section("Results", [RESULTS, _results_table(found.models), _results_figures(found.models)], "s-results"),
        Section("Differences", _differences(found), "s-differences"),
        Section("Operating points", [sections.operating_points(found.models)], "s-points"),
        Section("Precision, calibration, decisions", sections.curves(found.models), "s-more-curves"),
        Section("Subgroups", sections.subgroups(found.models), "s-groups"),
        Section("Cost", [_cost(found.models), Note(THROUGHPUT)], "s-cost"),
        Section("Reproduce", [Definitions(_reproduce(found))], "s-reproduce"),
    ]
    count = found.normal + found.tumour
    write_page(
        path,
        f"Comparison of {plural(len(found.models), 'model')}",
        [f"On the same {plural(count, 'patch')} of {_data(found)}, {found.tumour:,} of them tumour."],
        parts,
        scripts=["comparison.js"],
        data={
            "models": [[corners(curve, found) for curve in model.curves] for model in found.models],
            "normal": found.normal,
            "tumour": found.tumour,
            "frame": to_json(frame),
        },
    )


RESULTS = "With 95 % confidence intervals, at the operating point of each model."
THROUGHPUT = (
    "Patches per second were measured once on this machine, including loading and decoding; treat them as an order of "
    "magnitude."
)


def corners(curve: RocCurve, found: Comparison) -> dict[str, list[int]]:
    """Return false and true positives at the corners of a ROC curve."""
    false = np.rint(curve.false_positive_rate * found.normal).astype(np.int64)
    true = np.rint(curve.true_positive_rate * found.tumour).astype(np.int64)
    last = np.append(np.diff(false) != 0, True)  # The most true positives at each number of false positives.
    false, true = false[last], true[last]
    better = np.append(True, np.diff(true) > 0)
    return {"false_positives": false[better].tolist(), "true_positives": true[better].tolist()}


def sensitivity_at(model: ComparedModel, rate: float) -> float:
    """Return the largest sensitivity with at most this false positive rate, averaged over seeds."""
    return float(
        np.mean([curve.true_positive_rate[curve.false_positive_rate <= rate + 1e-9].max() for curve in model.curves])
    )


def _findings(found: Comparison) -> list[tuple[str, str]]:
    findings = [
        ("bad" if model.overlap.trained_on else "warn", f"{warning[0].upper()}{warning[1:]}.")
        for model in found.models
        for warning in model.overlap.warnings
    ]
    unknown = [model.name for model in found.models if model.overlap.trained_on is None]
    if unknown:
        findings.append(("warn", f"It is not known whether {', '.join(unknown)} was trained on these patches."))
    if found.clusters is None:
        findings.append(
            (
                "warn",
                "The slides of the patches are unknown: confidence intervals and tests treat patches as independent, "
                "so the intervals are too narrow and the p-values too small.",
            )
        )
    return findings or [("good", "No source of optimistic bias was found.")]


def _curves(found: Comparison) -> tuple[list[Part], Frame]:
    axes = plot_roc_comparison(
        {model.name: model.curves for model in found.models},
        {model.name: model.auc for model in found.models},
        {model.name: (1 - model.specificity.estimate, model.sensitivity.estimate) for model in found.models},
    )
    alt = "ROC curves. " + "; ".join(f"{model.name}: AUC {fixed(model.auc.estimate)}" for model in found.models)
    svg = to_svg(axes, alt, "roc", '<line id="at" class="at"/>')
    models = [
        (
            model.name,
            f"stroke: var(--{VARIABLES[color]}); stroke-dasharray: {DASHES[line]}",
            fixed(sensitivity_at(model, START / 1000)),
        )
        for model, color, line in zip(found.models, cycle(COLOR_OF_16), cycle(LINE_OF_16), strict=False)
    ]
    fragment = Fragment("comparison.html", svg=svg, start=START, specificity=fixed(1 - START / 1000), models=models)
    text = "Dots are the operating points of the models. Move the line to compare sensitivities at one specificity."
    return [text, fragment], frame_of(axes)


def _results_table(models: Sequence[ComparedModel]) -> Table:
    rows = [
        [
            model.name,
            *map(with_limits, (model.auc, model.sensitivity, model.specificity, model.accuracy)),
            NONE if model.auc_sd is None else f"{fixed(model.auc_sd)} of {len(model.curves)}",
        ]
        for model in models
    ]
    header = ["model", "AUC", "sensitivity", "specificity", "accuracy", "SD of AUC over seeds"]
    return Table(header, rows, "results")


def _results_figures(models: Sequence[ComparedModel]) -> Figures:
    return Figures(
        [
            _forest(metric, {model.name: getattr(model, attribute) for model in models}, colors=COLOR_OF_16)
            for metric, attribute in (
                ("AUC", "auc"),
                ("Sensitivity", "sensitivity"),
                ("Specificity", "specificity"),
                ("Accuracy", "accuracy"),
            )
        ]
    )


def _forest(title: str, intervals: Mapping[str, Interval], **options: Any) -> Figure:
    alt = f"{title} with 95 % confidence intervals; the table has the numbers."
    name = title.lower().replace(" ", "-")
    return Figure(title, to_svg(plot_forest(intervals, **options), alt, name))


def _differences(found: Comparison) -> list[Part]:
    shown = found.pairs[:MAX_PAIRS]
    names = [(pair.auc.first, pair.auc.second) for pair in shown]
    by_auc = pair_labels([(*both, pair.auc.p_holm) for both, pair in zip(names, shown, strict=True)])
    by_accuracy = pair_labels([(*both, pair.accuracy_p_holm) for both, pair in zip(names, shown, strict=True)])
    aucs = {label: pair.auc.difference for label, pair in zip(by_auc, shown, strict=True)}
    accuracies = {label: pair.accuracy.difference for label, pair in zip(by_accuracy, shown, strict=True)}
    parts: list[Part] = [
        "The first model minus the second on the same patches, with 95 % confidence intervals. The p-values of each "
        "test are corrected for the number of pairs (Holm).",
        Figures(
            [
                _forest("Difference of AUC", aucs, reference=0.0, colors=(INK,)),
                _forest("Difference of accuracy", accuracies, reference=0.0, colors=(INK,)),
            ]
        ),
        _pairs(found.pairs),
    ]
    if len(found.models) > 2:
        parts.append(f"P-value for equality of all AUCs: {format_p_value(found.p_value)}.")
    return parts


def _pairs(pairs: Sequence[ComparedPair]) -> Table:
    rows = [
        [
            f"{pair.auc.first} − {pair.auc.second}",
            with_limits(pair.auc.difference),
            format_p_value(pair.auc.p_holm),
            format_p_value(pair.bootstrap.p_holm),
            with_limits(pair.accuracy.difference),
            format_p_value(pair.accuracy_p_holm),
            fixed(pair.kappa.estimate if pair.kappa else None),
        ]
        for pair in pairs
    ]
    return Table(
        ["pair", "AUC", "p (DeLong)", "p (bootstrap)", "accuracy", "p (McNemar)", "kappa"], rows, "differences"
    )


def _cost(models: Sequence[ComparedModel]) -> Table:
    rows = [
        [
            model.name,
            NONE if model.cost.parameters is None else f"{model.cost.parameters:,}",
            fixed(None if model.cost.flops is None else model.cost.flops / 1e9),
            fixed(None if model.cost.size_bytes is None else model.cost.size_bytes / 1e6, 2),
            NONE if model.cost.patches_per_s is None else f"{model.cost.patches_per_s:,.0f}",
        ]
        for model in models
    ]
    return Table(["model", "parameters", "GFLOP per patch", "size in MB", "patches/s"], rows, "cost")


def _reproduce(found: Comparison) -> list[tuple[str, Markup | str]]:
    given = [f"{model.name}={','.join(_source(each) for each in model.made_by)}" for model in found.models]
    command = ["sentinode", "compare", *found.made_by["arguments"]]
    command += [word for each in given for word in ("--model", each)] + ["--out", "comparison"]
    command += ["--split", found.split] if found.split != "all" else []
    point, members = found.made_by["point"], [each for model in found.models for each in model.made_by]
    command += ["--point", point] if point else []
    chosen_on = [each["points_chosen_on"] for each in members if "points_chosen_on" in each]
    if chosen_on and isinstance(chosen_on[0], dict):
        command += ["--point-split", chosen_on[0]["split"]]
    for option, name in (("--input-scale", "input_scale"), ("--model-output", "output")):
        values = {each[name] for each in members if name in each}
        if len(values) == 1:  # One option is for all external models; of several, each was recognized.
            command += [option, *values]
    return [
        ("Patches (SHA-256)", code(found.made_by["fingerprint"])),
        *(
            (f"Weights of {model.name} (SHA-256)", code(str(each["weights_sha256"])))
            for model in found.models
            for each in model.made_by
            if "weights_sha256" in each
        ),
        *(
            (f"Predictions of {model.name}", f"matched to the patches by {each['matched_by']}")
            for model in found.models
            for each in model.made_by
            if "matched_by" in each
        ),
        ("Operating point", point or "the threshold of each model"),
        ("This page", code(shareable_command(command))),
    ]


def _source(made_by: dict[str, Any]) -> str:
    """Return the argument of ``--model``: pretrained weights by name, wherever the package lies."""
    path = Path(made_by.get("model") or made_by["predictions"])
    return path.name if path.name in PRETRAINED and path == pretrained_path(path.name) else shareable(str(path))


def _data(found: Comparison) -> str:
    split = f", split {found.split}" if found.split != "all" else ""
    return shareable(found.data.removesuffix(split)) + split
