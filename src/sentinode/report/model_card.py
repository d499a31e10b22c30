"""A model card: Markdown with the metadata that Hugging Face reads, from the data of a report."""

import json
import re
from pathlib import Path, PurePath

from sentinode.errors import plural
from sentinode.metrics.intervals.interval import Interval
from sentinode.report.data import ReportData
from sentinode.report.formatting import fixed, shareable
from sentinode.report.page import environment
from sentinode.report.sections.reproduce import commands, limitations, provenance
from sentinode.storage import write_text


def write_model_card(data: ReportData, path: Path) -> None:
    """Write a model card, whole or not at all.

    Its metadata has no license: whoever trained the weights states that.

    Parameters
    ----------
    data : ReportData
        The run and its results.
    path : Path
        The Markdown file.
    """
    config, found = data.run.config, data.evaluation
    source, trained = shareable(data.patches.path), plain(shareable(config["data"]["path"]))
    metrics = [
        ("roc_auc", "AUC", found.ranking.auc),
        ("recall", "Sensitivity", data.point.sensitivity),
        ("specificity", "Specificity", data.point.specificity),
        ("accuracy", "Accuracy", data.point.accuracy),
    ]
    seen = data.overlap.warnings
    card = (
        environment()
        .get_template("model-card.md")
        .render(
            name=plain(data.run.name),
            model=plain(config["model"]["name"]),
            parameters=plural(config["model"]["parameters"], "parameter"),
            threshold=fixed(data.threshold, 4),
            data=[
                (f"training: {trained}", config["data"]["train"]),
                (f"validation (threshold, calibration): {trained}", config["data"]["valid"]),
                (f"evaluation: {plain(data.source)}", {**vars(found), "fingerprint": data.patches.fingerprint}),
            ],
            weights=data.run.identity["weights_sha256"],
            evaluated=plain(data.source),
            metrics=[(id_, name, interval, _limits(interval)) for id_, name, interval in metrics if interval],
            error=fixed(found.calibration.error.estimate),
            expected=fixed(found.calibration.error.q95_if_calibrated),
            limitations=[plain(each) for each in limitations(data)],
            commands=[(purpose, code_span(command)) for purpose, command in commands(data)],
            provenance=[plain(each) for each in provenance(data)],
            quoted_name=_quoted(data.run.name),
            dataset_type=_quoted(PurePath(source).stem),
            dataset_name=_quoted(f"{source} (development set)" if seen else source),
            dataset_split=_quoted(found.split) if found.split != "all" else "",
        )
    )
    write_text(path, card)


def _limits(interval: Interval) -> str:
    return f"{fixed(interval.estimate)} ({fixed(interval.low)}–{fixed(interval.high)})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def plain(text: str) -> str:
    r"""Escape what Markdown or HTML would take for markup; a line break becomes a space.

    Examples
    --------
    >>> plain("a<b>|c"), plain("my_run [x](y)")
    ('a&lt;b>\\|c', 'my\\_run \\[x](y)')
    """
    escaped = re.sub(r"[\\`*_|\[]", r"\\\g<0>", text.replace("&", "&amp;").replace("<", "&lt;"))
    return " ".join(escaped.splitlines())


def code_span(text: str) -> str:
    """Format a text as code in Markdown, whatever it contains; a line break becomes a space.

    Examples
    --------
    >>> code_span("sentinode report run"), code_span("a `b` c")
    ('`sentinode report run`', '`` a `b` c ``')
    """
    text = " ".join(text.splitlines())
    longest = max(map(len, re.findall("`+", text)), default=0)
    space, fence = " " if longest else "", "`" * (longest + 1)
    return f"{fence}{space}{text}{space}{fence}"
