"""The page of a comparison: all ROC curves, what each model is worth and costs, and what the differences are worth."""

import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from sentinode.evaluation.comparison import ComparedModel, ComparedPair, Comparison
from sentinode.metrics import Interval, RocCurve
from sentinode.report import svg
from sentinode.report.forest import forest
from sentinode.report.formatting import NONE, code, fixed, plural, with_limits
from sentinode.report.old_html import Html, definitions, findings, paragraph, table
from sentinode.report.page import Fragment, Section, write_page
from sentinode.samples import PRETRAINED, pretrained_path
from sentinode.serialize import to_json

ROC = svg.Frame(width=400, height=400, left=46, right=10, top=10, bottom=44)
# The false positive rate that the page starts at, in thousandths.
START = 100
# Differences of more pairs would be read in the table.
MOST_PAIRS = 15


def write_compare_page(found: Comparison, path: str | Path) -> None:
    """Write the page, whole or not at all."""
    sections = {
        "curves": ("ROC curves", _curves(found)),
        "worth": ("What each is worth", [_worth(found.models), *_areas(found)]),
        "differences": ("Differences", [*_differences(found), _pairs(found.pairs), *_all_at_once(found)]),
        "cost": ("What they cost", [_cost(found.models), paragraph(RATE, soft=True)]),
        "again": ("Made from", [definitions(_made_from(found))]),
    }
    count = found.normal + found.tumour
    write_page(
        path,
        f"{len(found.models)} models on the same patches",
        [f"{plural(count, 'patch')} of {found.data}, {found.tumour:,} of them with tumour."],
        [
            Fragment("blocks/html.html", html='<p class="use"><b>Research use only.</b> Not a medical device.</p>'),
            Fragment("blocks/html.html", html=findings(_findings(found))),
            *(
                Section(heading, [Fragment("blocks/html.html", html="".join(parts))], f"s-{name}")
                for name, (heading, parts) in sections.items()
            ),
        ],
        scripts=["compare.js"],
        data={
            "models": [[corners(curve, found) for curve in model.curves] for model in found.models],
            "normal": found.normal,
            "tumour": found.tumour,
            "roc": ROC.to_json(),
        },
    )


RATE = (
    "Patches a second on the machine of the comparison, start of the network and reading of the patches included: "
    "rough."
)


def corners(curve: RocCurve, found: Comparison) -> dict[str, list[int]]:
    """Return false and true positives at the corners of a curve: what finds most tumour for each false alarm."""
    false = np.rint(curve.false_positive_rate * found.normal).astype(np.int64)
    true = np.rint(curve.true_positive_rate * found.tumour).astype(np.int64)
    last = np.append(np.diff(false) != 0, True)  # The most tumour at each number of false alarms.
    false, true = false[last], true[last]
    better = np.append(True, np.diff(true) > 0)
    return {"false_positives": false[better].tolist(), "true_positives": true[better].tolist()}


def sensitivity_at(model: ComparedModel, rate: float) -> float:
    """Return the largest sensitivity with at most this false positive rate; of several seeds the mean."""
    return float(
        np.mean([curve.true_positive_rate[curve.false_positive_rate <= rate + 1e-9].max() for curve in model.curves])
    )


def _findings(found: Comparison) -> list[tuple[str, str]]:
    told = [("bad", f"{warning}.") for model in found.models for warning in model.overlap.warnings]
    unknown = [model.name for model in found.models if model.overlap.trained_on is None]
    if unknown:
        told.append(("warn", f"Whether {', '.join(unknown)} was trained on these patches is not known."))
    if found.clusters is None:
        told.append(
            (
                "warn",
                "Slides of the patches are not known: limits and tests take patches as independent, and are too sure.",
            )
        )
    return told or [("good", "None was trained on these patches.")]


def _look(number: int) -> str:
    """Return the classes of a model's colour and line: sixteen differ."""
    return f"m{number % 4} d{(number + number // 4) % 4}"


def _curves(found: Comparison) -> list[str]:
    parts = [
        svg.axes(
            ROC,
            svg.ticks(0, 1),
            svg.ticks(0, 1),
            "1 − specificity: normal patches called tumour",
            "sensitivity: tumour patches called tumour",
        ),
        svg.line(ROC, [0, 1], [0, 1], "chance"),
    ]
    for number, model in enumerate(found.models):
        thin = " thin" if len(model.curves) > 1 else ""
        parts += [
            svg.line(ROC, curve.false_positive_rate, curve.true_positive_rate, f"curve {_look(number)}{thin}")
            for curve in model.curves
        ]
        parts.append(
            svg.dots(ROC, [1 - model.specificity.estimate], [model.sensitivity.estimate], f"dot m{number % 4}", 5)
        )
    parts.append('<line id="at" class="at"/>')
    alt = "ROC curves. " + "; ".join(f"{model.name}: AUC {fixed(model.auc.estimate)}" for model in found.models)
    rows = "".join(
        f'<tr><th scope="row"><span class="key {_look(number)}">{escape(model.name)}</span></th>'
        f'<td data-model="{number}">{fixed(sensitivity_at(model, START / 1000))}</td></tr>'
        for number, model in enumerate(found.models)
    )
    return [
        paragraph("Dots are the operating points of the models. Move the line to compare them at one specificity."),
        f'<div class="operating"><figure>{svg.drawing(ROC, alt, *parts)}</figure><div>'
        '<div class="threshold"><label for="slider">Specificity</label> '
        f'<output id="specificity" for="slider">{fixed(1 - START / 1000)}</output></div>'
        f'<input id="slider" type="range" min="0" max="1000" step="1" value="{START}" '
        f'aria-valuetext="{fixed(1 - START / 1000)}">'
        '<table class="rates"><caption>Sensitivity there</caption>'
        f"<tbody>{rows}</tbody></table></div></div>",
    ]


def _worth(models: Sequence[ComparedModel]) -> str:
    rows = [
        [
            model.name,
            *(_limits(each) for each in (model.auc, model.sensitivity, model.specificity, model.accuracy)),
            NONE if model.auc_sd is None else f"{fixed(model.auc_sd)} of {len(model.curves)}",
        ]
        for model in models
    ]
    return table(["model", "AUC", "sensitivity", "specificity", "accuracy", "AUC, sd over seeds"], rows)


def _areas(found: Comparison) -> list[str]:
    colours = [f"m{number % 4}" for number in range(len(found.models))]
    names = [(model.name, "") for model in found.models]
    return [forest(names, {"AUC, 95 % limits": (colours, [to_json(model.auc) for model in found.models], None)}, 340)]


def _differences(found: Comparison) -> list[str]:
    shown = found.pairs[:MOST_PAIRS]
    names = [(f"{pair.auc.first} − {pair.auc.second}", _p(pair.auc.p_holm)) for pair in shown]
    panels = {"difference of AUC": (["ink"] * len(shown), [to_json(pair.auc.difference) for pair in shown], 0.0)}
    return [
        paragraph(
            "The first one's AUC minus the second's, on the same patches, with 95 % limits; p-values of each kind are "
            "corrected for the number of pairs (Holm)."
        ),
        forest(names, panels, 340),
    ]


def _pairs(pairs: Sequence[ComparedPair]) -> str:
    rows = [
        [
            f"{pair.auc.first} − {pair.auc.second}",
            _limits(pair.auc.difference),
            _p(pair.auc.p_holm),
            _p(pair.bootstrap.p_holm),
            _limits(pair.accuracy.difference),
            _p(pair.accuracy_p_holm),
            fixed(pair.kappa.estimate if pair.kappa else None),
        ]
        for pair in pairs
    ]
    return table(["", "AUC", "p", "p, bootstrap", "accuracy", "p, McNemar", "kappa"], rows)


def _all_at_once(found: Comparison) -> list[str]:
    if len(found.models) < 3:
        return []
    return [paragraph(f"All areas being the same: {_p(found.p_value)}.")]


def _cost(models: Sequence[ComparedModel]) -> str:
    rows = []
    for model in models:
        facts = model.cost
        rows.append(
            [
                model.name,
                NONE if facts.parameters is None else f"{facts.parameters:,}",
                fixed(None if facts.flops is None else facts.flops / 1e9),
                fixed(None if facts.size_bytes is None else facts.size_bytes / 1e6, 2),
                NONE if facts.patches_per_s is None else f"{facts.patches_per_s:,.0f}",
            ]
        )
    return table(["model", "parameters", "GFLOP a patch", "MB", "patches/s"], rows)


def _made_from(found: Comparison) -> list[tuple[str, str]]:
    given = [f"{model.name}={','.join(_source(each) for each in model.made_by)}" for model in found.models]
    words = ["sentinode", "compare", found.data.removesuffix(f", split {found.split}")]
    words += [word for each in given for word in ("--model", each)] + ["--out", "comparison"]
    words += ["--split", found.split] if found.split != "all" else []
    point = found.made_by["point"]
    words += ["--point", point] if point else []
    return [
        ("Patches (SHA-256)", code(found.made_by["fingerprint"])),
        *(
            (f"Weights of {model.name} (SHA-256)", code(str(each["weights_sha256"])))
            for model in found.models
            for each in model.made_by
            if "weights_sha256" in each
        ),
        ("Operating point", point or "the threshold of each model"),
        ("This page again", code(shlex.join(words))),
    ]


def _source(made_by: dict[str, Any]) -> str:
    """Return what to name after ``--model``; a run that ships by its name, wherever the package lies."""
    path = Path(made_by.get("model") or made_by["predictions"])
    return path.name if path.name in PRETRAINED and path == pretrained_path(path.name) else str(path)


def _limits(interval: Interval) -> Html:
    return with_limits(to_json(interval))


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {fixed(value)}"
