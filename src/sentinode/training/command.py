"""Write settings and model options as arguments of ``sentinode train``."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from sentinode.training.config import TrainConfig, setting_flag
from sentinode.training.run import WEIGHTS, Run


def setting_arguments(config: TrainConfig) -> list[str]:
    """Return the arguments for all settings that differ from the classic recipe.

    Parameters
    ----------
    config : TrainConfig

    Returns
    -------
    list of str

    Examples
    --------
    >>> setting_arguments(TrainConfig(epochs=5, nesterov=True, augment=("stain", "blur"), class_weight={0: 1, 1: 3}))
    ['--epochs', '5', '--nesterov', '--augment', 'stain,blur', '--class-weight', '1,3']
    """
    arguments, default = [], TrainConfig()
    for setting in fields(TrainConfig):
        value = getattr(config, setting.name)
        if value == getattr(default, setting.name):
            continue
        flag = setting_flag(setting.name)
        if isinstance(value, bool):
            arguments.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, dict):
            arguments += [flag, ",".join(repr(weight).removesuffix(".0") for weight in value.values())]
        else:
            arguments += [flag, (",".join(value) or "none") if isinstance(value, tuple) else str(value)]
    return arguments


def option_arguments(options: Mapping[str, Any]) -> list[str]:
    """Return the arguments for options of a model.

    Parameters
    ----------
    options : mapping of str to object

    Returns
    -------
    list of str

    Examples
    --------
    >>> option_arguments({"output": "softmax", "weights": None})
    ['--option', 'output=softmax', '--option', 'weights=null']
    """
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in options.items()}
    return [argument for name, text in texts.items() for argument in ("--option", f"{name}={text}")]


def train_command(run: Run, out: str) -> list[str] | None:
    """Return the command that reproduces a run, with the paths that the run recorded.

    Parameters
    ----------
    run : Run
    out : str
        The run directory to write.

    Returns
    -------
    list of str or None
        None when no single command reproduces the run: a model soup, data of several sources, stored targets, several
        processes, a model from Python, the final weights of another run, or an external model, whose interpretation
        is not recorded.
    """
    config, source = run.config, run.provenance
    built, start, environment = config["model"].get("built"), source.starting_weights, config["environment"]
    if source.soup or source.targets_sha256 or " + " in source.data or environment.get("processes", 1) > 1:
        return None
    if start is None and not built:
        return None
    if start and (start.method == "unknown" or Path(start.model).name == WEIGHTS["final"]):
        return None
    backend = environment["backend"]
    command = [] if backend == "tensorflow" else [f"KERAS_BACKEND={backend}"]
    command += ["sentinode", "train", source.data, *config["data"].get("options", [])]
    if config["data"].get("skipped"):
        command.append("--skip-bad")
    if start:
        command += ["--model", start.model]
    else:
        command += ["--model", built["name"], *option_arguments(built["options"])]
    settings = run.settings
    if run.method == "linear probe":
        command.append("--linear-probe")
        settings = replace(settings, deduplicate=False)  # Implied.
    command += [argument for teacher in source.teachers for argument in ("--teacher", teacher.model)]
    if environment.get("devices", 1) > 1:
        command += ["--devices", str(environment["devices"])]
    # The number of threads changes the order of floating-point operations.
    return [*command, "--out", out, *setting_arguments(settings), "--threads", str(environment["threads"])]
