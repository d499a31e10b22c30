"""The section of a report on the data, the network and its training."""

from collections.abc import Mapping
from typing import Any

from sentinode.errors import plural
from sentinode.plots.style import new_axes
from sentinode.plots.training import METRICS, plot_learning_curve
from sentinode.report.data import ReportData
from sentinode.report.figures import SMALL_SIZE, to_svg
from sentinode.report.formatting import code, fixed, shareable
from sentinode.report.page import Bullets, Definitions, Figure, Figures, Part, Subheading, Table
from sentinode.report.sections.reproduce import provenance


def training(data: ReportData) -> list[Part]:
    """Return the parts of the section."""
    return [
        Subheading("Data"),
        _patches(data),
        Subheading("Provenance of the weights"),
        Bullets(provenance(data)),
        Subheading("Network and settings"),
        Definitions(_network(data)),
        *_learning_curves(data),
    ]


def _patches(data: ReportData) -> Table:
    config, evaluation = data.run.config["data"], data.evaluation
    settings, source = data.run.config["settings"], shareable(config["path"])
    held_out = " (held out of the training split)" if config["valid"].get("held_out_from_train") else ""
    rows = [
        ["training", f"{source}, split {settings['train_split']}", *_counts(config["train"])],
        [
            "validation (threshold, calibration)",
            f"{source}, split {settings['valid_split']}{held_out}",
            *_counts(config["valid"]),
        ],
        ["evaluation", data.source, *_counts({**vars(evaluation), "fingerprint": data.patches.fingerprint})],
    ]
    return Table(["used for", "patches", "normal", "tumour", "fingerprint (SHA-256)"], rows, "data", long_text=True)


def _counts(part: Mapping[str, Any]) -> list[str]:
    return [f"{part['normal']:,}", f"{part['tumour']:,}", code(str(part["fingerprint"]))]


def _network(data: ReportData) -> list[tuple[str, str]]:
    run = data.run
    model, environment, summary = run.config["model"], run.config["environment"], run.summary
    built, start = model.get("built") or {}, run.provenance.starting_weights
    options = ", ".join(f"{name} {_value(value)}" for name, value in (built.get("options") or {}).items())
    network = f"{built.get('name', model['name'])}{f' ({options})' if options else ''}"
    settings = {name: value for name, value in run.config["settings"].items() if not name.endswith("_split")}
    averaged = [_differences(settings, other) for other in run.provenance.soup]
    return [
        (
            "Network",
            f"{network}, {plural(model['parameters'], 'parameter')}, {model['trainable_parameters']:,} of them trained",
        ),
        ("Weights (SHA-256)", code(run.identity["weights_sha256"])),
        *([("Starting weights (SHA-256)", code(start.weights_sha256))] if start else []),
        ("Settings", ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in settings.items())),
        *([("Weights averaged with", "; ".join(averaged))] if averaged else []),
        ("Best epoch", f"{summary['best_epoch']} of {summary['epochs']}, in {summary['duration_s']:,.0f} s"),
        ("Calibration", f"temperature {fixed(run.calibration.temperature)}, offset {fixed(run.calibration.offset)}"),
        (
            "Versions",
            f"Sentinode {environment['sentinode']}, Keras {environment['keras']}, {environment['backend']} "
            f"{environment['backend_version']}, Python {environment['python']}",
        ),
        (
            "Machine",
            f"{environment['platform']}, {plural(environment['threads'], 'thread')}, "
            f"started {run.config.get('started', '')}",
        ),
    ]


def _differences(settings: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    changed = {name: value for name, value in other.items() if name in settings and value != settings[name]}
    text = ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in changed.items())
    return f"a training run with {text or 'the same settings'}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(map(str, value)) or "none"
    return {True: "yes", False: "no", None: "none"}[value] if value is None or isinstance(value, bool) else f"{value}"


def _learning_curves(data: ReportData) -> list[Part]:
    history, best = data.run.history, int(data.run.summary["best_epoch"])
    shown = [name for name in METRICS if f"val_{name}" in history]
    if len(history) < 2 or not shown:  # One point is no curve.
        return []
    figures = []
    for name in shown:
        at_best = fixed(float(history.loc[history["epoch"] == best, f"val_{name}"].iloc[0]))
        axes = plot_learning_curve(history, name, best, ax=new_axes(size=SMALL_SIZE)[0])
        alt = f"{METRICS[name]} of the training and validation patches by epoch."
        reading = f"{at_best} on the validation patches in epoch {best}, whose weights were kept."
        figures.append(Figure(METRICS[name], to_svg(axes, alt, f"learning-{name}"), reading))
    return [Subheading("Learning curves"), Figures(figures, small=True)]
