"""A model card: Markdown with the metadata that Hugging Face reads, from the facts of the report."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from sentinode.report.data import Facts
from sentinode.report.formatting import fixed, plural
from sentinode.report.reproduce import commands, limitations
from sentinode.storage import write_text

# By Hugging Face's id of a metric, where it has one: where the figure stands, and its name.
METRICS = {
    "roc_auc": ("auc", "AUC"),
    "recall": ("sensitivity", "Sensitivity"),
    "specificity": ("specificity", "Specificity"),
    "accuracy": ("accuracy", "Accuracy"),
}


def write_model_card(facts: Facts, path: Path) -> None:
    """Write the card, whole or not at all."""
    write_text(path, model_card(facts))


def model_card(facts: Facts) -> str:
    """Return the card as text.

    Its metadata has no license: who trained the weights says under which they may be used.
    """
    counts, run = facts.metrics, facts.run
    data, model = run.config["data"], run.config["model"]
    rows = [f"| {name} | {_interval(_figure(facts, key))} |" for key, name in METRICS.values()]
    error = facts.metrics["calibration"]["error"]
    made = [f"- {what}: `{each}`" for what, each in commands(facts, _source)]
    parts = [
        "---",
        _metadata(facts),
        "---",
        "",
        f"# {_plain(run.name)}",
        "",
        "**Research use only: not a medical device.**",
        "",
        "- **Question**: does the central 32 × 32 px of a 96 × 96 px patch of lymph node, stained with H&E, hold "
        "metastatic tumour?",
        f"- **Network**: {_plain(model['name'])}, {plural(model['parameters'], 'parameter')}.",
        "- **In**: uint8 RGB, 96 × 96 px. **Out**: a probability of tumour, calibrated; a patch is called tumour from "
        f"{fixed(facts.threshold, 4)} on.",
        "",
        "## Made from",
        "",
        "| | normal | tumour | fingerprint |",
        "|---|---|---|---|",
        f"| trained on {_plain(_source(data['path']))} | {_row(data['train'])} |",
        f"| threshold and calibration from {_plain(_source(data['path']))} | {_row(data['valid'])} |",
        f"| evaluated on {_plain(_data(facts))} | {counts['normal']:,} | {counts['tumour']:,} | "
        f"`{facts.patches.fingerprint}` |",
        "",
        f"Weights (SHA-256): `{run.identity['weights_sha256']}`",
        "",
        "## Figures",
        "",
        f"On {_plain(_data(facts))}, with 95 % limits:",
        "",
        "| | |",
        "|---|---|",
        *rows,
        f"| Calibration error | {fixed(error['estimate'])}; of right probabilities below "
        f"{fixed(error['q95_if_calibrated'])} |",
        "",
        "## What they do not say",
        "",
        *(f"- {_plain(each)}" for each in limitations(facts)),
        "",
        "## How to make it again",
        "",
        *made,
        "",
    ]
    return "\n".join(parts)


def _metadata(facts: Facts) -> str:
    """Return the block of YAML; texts are quoted as in json, which YAML understands."""
    share = facts.metrics
    dataset = _source(facts.patches.path)
    called = f"{dataset} (development set)" if facts.chosen_on or facts.trained_on else dataset
    lines = [
        "library_name: keras",
        "pipeline_tag: image-classification",
        "tags:",
        *(f"- {tag}" for tag in ("histopathology", "medical", "lymph-node", "metastasis", "sentinode")),
        "metrics:",
        *(f"- {name}" for name in METRICS if name != "specificity"),
        "model-index:",
        f"- name: {_quoted(facts.run.name)}",
        "  results:",
        "  - task:",
        "      type: image-classification",
        "      name: Metastasis in the centre of a lymph-node patch",
        "    dataset:",
        f"      type: {_quoted(PurePath(dataset).stem)}",
        f"      name: {_quoted(called)}",
        *([f"      split: {_quoted(share['split'])}"] if share["split"] != "all" else []),
        "    metrics:",
    ]
    for name, (key, title) in METRICS.items():
        lines += [f"    - type: {name}", f"      value: {_figure(facts, key)['estimate']:.6f}", f"      name: {title}"]
    return "\n".join(lines)


def _figure(facts: Facts, key: str) -> Mapping[str, Any]:
    figure: Mapping[str, Any] = facts.metrics["ranking"]["auc"] if key == "auc" else facts.point[key]
    return figure


def _interval(interval: Mapping[str, Any]) -> str:
    return f"{fixed(interval['estimate'])} ({fixed(interval['low'])}–{fixed(interval['high'])})"


def _source(path: str) -> str:
    """Return the last part of a path: where it lies is nobody else's business."""
    return " + ".join(PurePath(each).name for each in path.split(" + "))


def _data(facts: Facts) -> str:
    split = facts.metrics["split"]
    return _source(facts.patches.path) + (f", split {split}" if split != "all" else "")


def _row(part: Mapping[str, Any]) -> str:
    return f"{part['normal']:,} | {part['tumour']:,} | `{part['fingerprint']}`"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _plain(text: str) -> str:
    r"""Return a text without what Markdown or html would take for more than text.

    Examples
    --------
    >>> _plain("a<b>|c")
    'a&lt;b>\\|c'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
