"""The section of a report on how the network came to be."""

from typing import Any

import pandas as pd

from sentinode.report import svg
from sentinode.report.curves import panel
from sentinode.report.data import Facts
from sentinode.report.formatting import code, fixed, plural
from sentinode.report.old_html import definitions, table

CURVES = {"loss": "Loss", "accuracy": "Accuracy", "auc": "AUC"}


def training(facts: Facts) -> list[str]:
    """Return the parts of the section."""
    config = facts.run.config
    data, counts = config["data"], facts.metrics
    evaluated = [
        facts.metrics["data"],
        f"{counts['normal']:,}",
        f"{counts['tumour']:,}",
        code(facts.patches.fingerprint),
    ]
    held_out = " (held out of them)" if data["valid"].get("held_out_from_train") else ""
    rows = [
        ["trained on", f"{data['path']}, split {config['settings']['train_split']}", *_part(data["train"])],
        [
            "threshold and calibration from",
            f"{data['path']}, split {config['settings']['valid_split']}{held_out}",
            *_part(data["valid"]),
        ],
        ["evaluated on", *evaluated],
    ]
    return [
        "<h3>Patches</h3>",
        table(["", "patches of", "normal", "tumour", "fingerprint (SHA-256)"], rows).replace('"wide"', '"wide words"'),
        "<h3>Network and settings</h3>",
        definitions(_network(facts)),
        "<h3>Learning curves</h3>",
        _learning_curves(facts.run.history, int(facts.run.summary["best_epoch"])),
    ]


def _part(part: dict[str, Any]) -> list[str]:
    return [f"{part['normal']:,}", f"{part['tumour']:,}", code(str(part["fingerprint"]))]


def _network(facts: Facts) -> list[tuple[str, str]]:
    run = facts.run
    model, environment = run.config["model"], run.config["environment"]
    built = model.get("built") or {}
    options = ", ".join(f"{name} {_value(value)}" for name, value in (built.get("options") or {}).items())
    network = f"{built.get('name', model['name'])}{f' ({options})' if options else ''}"
    calibration = run.calibration
    rows = [
        ("Network", f"{network}, {plural(model['parameters'], 'parameter')}"),
        ("Weights (SHA-256)", code(run.identity["weights_sha256"])),
    ]
    if start := run.provenance.starting_weights:
        rows.append(("Starting weights (SHA-256)", code(start.weights_sha256)))
    settings = {name: value for name, value in run.settings.to_json().items() if not name.endswith("_split")}
    averaged = [_differing(settings, other) for other in run.provenance.soup]
    versions = f"Sentinode {environment['sentinode']}, Keras {environment['keras']}, "
    versions += f"{environment['backend']} {environment['backend_version']}, Python {environment['python']}"
    return [
        *rows,
        ("Settings", ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in settings.items())),
        *([("Averaged with", "; ".join(averaged))] if averaged else []),
        (
            "Epoch that was kept",
            f"{run.summary['best_epoch']} of {run.summary['epochs']}, in {run.summary['duration_s']:,.0f} s",
        ),
        ("Calibration", f"temperature {fixed(calibration.temperature)}, offset {fixed(calibration.offset)}"),
        ("Versions", versions),
        (
            "Machine",
            f"{environment['platform']}, {environment['threads']} threads, started {run.config.get('started', '')}",
        ),
    ]


def _differing(settings: dict[str, Any], other: dict[str, Any]) -> str:
    """Return in words what differs in another training; settings of an earlier version may lack some."""
    changed = {name: value for name, value in other.items() if name in settings and value != settings[name]}
    words = ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in changed.items())
    return f"a training with {words or 'the same'}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value}"


def _learning_curves(history: pd.DataFrame, best: int) -> str:
    shown = [name for name in CURVES if f"val_{name}" in history]
    return f'<div class="panels narrow">{"".join(_learning(history, name, best) for name in shown)}</div>'


def _learning(history: pd.DataFrame, name: str, best: int) -> str:
    epochs = history["epoch"].to_numpy()
    series = [(f"val_{name}", "two")] + ([(name, "one")] if name in history else [])
    values = pd.concat([history[column] for column, _ in series])
    span = float(values.max() - values.min()) or 0.1
    low, high = float(values.min() - 0.08 * span), float(values.max() + 0.08 * span)
    frame = svg.Frame(x=(0.5, float(epochs[-1]) + 0.5), y=(low, high), width=300, height=230, left=46)
    whole = [tick for tick in svg.ticks(1, float(epochs[-1])) if tick == int(tick)]
    at_best = float(history.loc[history["epoch"] == best, f"val_{name}"].iloc[0])
    alt = f"{CURVES[name]} by epoch; {fixed(at_best)} on the validation patches in epoch {best}, which was kept."
    parts = [svg.axes(frame, whole, svg.ticks(low, high, most=5), "epoch", "")]
    parts.append(svg.line(frame, [best, best], [low, high], "chance"))
    for column, css in series:
        parts.append(svg.line(frame, epochs, history[column], f"curve {css}"))
        parts.append(svg.dots(frame, epochs, history[column], f"dot {css}", 2.5 if len(epochs) > 12 else 3.5))
    keys = [(css, "validation" if column.startswith("val_") else "training") for column, css in series]
    reading = f"{fixed(at_best)} on the validation patches in epoch {best}, whose weights were kept."
    return panel(
        CURVES[name],
        svg.drawing(frame, alt, *parts),
        reading,
        [*keys[::-1], ("chance", "lowest loss: kept")],
    )
