"""Train a network and write a run directory."""

import argparse
import contextlib
import json
import os
import shlex
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.cli.common.options import add_data, add_interpretation, add_json, data_words, output_folder
from sentinode.cli.common.output import command_line, print_json, print_next_steps, report_skipped
from sentinode.cli.common.start import open_data, start_keras
from sentinode.errors import ConfigError, ModelError, SentinodeError
from sentinode.external.files import check_no_interpretation, is_model_file
from sentinode.machine import limit_processors
from sentinode.models.build import MODELS, names_run
from sentinode.samples import PRETRAINED
from sentinode.storage import read_json
from sentinode.training.config import RECIPES, TrainConfig, setting_flag
from sentinode.training.setting_checks import parse_class_weight

if TYPE_CHECKING:
    from sentinode.training.run import Run

# Settings that a linear probe has as well.
PROBE_SETTINGS = {"train_split", "valid_split", "seed"}


def add_parser(commands: Any) -> None:
    """Add the command; its settings are the fields of `TrainConfig`."""
    models = "; ".join(f"{name}: {entry.summary}" for name, entry in MODELS.items())
    parser = commands.add_parser("train", help="train a network", description=__doc__)
    add_data(parser)
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help=f"network ({models}), or a run directory, a Keras model file or pretrained weights "
        f"({', '.join(PRETRAINED)}) to start from",
    )
    add_interpretation(parser)
    parser.add_argument(
        "--out", type=output_folder, required=True, metavar="RUN", help="run directory to write, or to resume"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of the network, such as output=softmax; may be repeated",
    )
    parser.add_argument(
        "--linear-probe",
        action="store_true",
        help="fit only the last layer, by logistic regression on the features of the network; takes seconds",
    )
    parser.add_argument(
        "--teacher",
        action="append",
        default=[],
        metavar="RUN",
        help="knowledge distillation: use the predictions of this run as targets instead of labels; may be repeated "
        "to average the logits of several runs",
    )
    parser.add_argument(
        "--devices",
        default="1",
        metavar="N",
        help="number of devices that share each batch, or all; requires JAX, see docs/devices.md (default: 1)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="processors to use (default: all; a resumed run uses as many as before)",
    )
    add_json(parser)
    add_settings(parser, "settings (the defaults are the classic recipe)")
    parser.set_defaults(run=run)


def add_settings(parser: argparse.ArgumentParser, title: str) -> None:
    """Add the recipe and one option per setting."""
    group = parser.add_argument_group(title)
    flagship = ", ".join(f"{name.replace('_', '-')} {_shown(value)}" for name, value in RECIPES["flagship"].items())
    group.add_argument(
        "--recipe",
        choices=RECIPES,
        default="classic",
        help=f"defaults of the settings; flagship: {flagship} (default: classic)",
    )
    for setting in fields(TrainConfig):
        _add_setting(group, setting)


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given as options."""
    given = {setting.name for setting in fields(TrainConfig)} & set(vars(arguments))
    settings = {name: getattr(arguments, name) for name in given}
    if "class_weight" in settings:
        settings["class_weight"] = parse_class_weight(settings["class_weight"])
    return settings


def config_of(arguments: argparse.Namespace) -> TrainConfig:
    """Return the settings: those of the recipe, overridden by options."""
    return TrainConfig.recipe(arguments.recipe, **given_settings(arguments))


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return (",".join(value) or "none") if isinstance(value, tuple) else f"{value}"


def _add_setting(group: Any, setting: Field[Any]) -> None:
    flag = setting_flag(setting.name)
    choices = setting.metadata.get("choices")
    # An option that is not given is not set, so that the recipe decides.
    options: dict[str, Any] = {"dest": setting.name, "default": argparse.SUPPRESS}
    options["help"] = f"{setting.metadata['help']} (default: {_shown(setting.default)})"
    if setting.type is bool:
        options["action"] = argparse.BooleanOptionalAction
    elif isinstance(setting.default, tuple):
        options |= {"type": lambda text: () if text == "none" else tuple(text.split(",")), "metavar": "A,B"}
        options["help"] = f"{setting.metadata['help']}: {', '.join(choices or ())} (default: {_shown(setting.default)})"
    elif setting.name == "class_weight":
        options["metavar"] = "W"
    else:
        options |= {"type": setting.type, "choices": choices}
        if not choices:
            options["metavar"] = {int: "N", float: "X"}.get(setting.type, "NAME")  # type: ignore[arg-type]
    group.add_argument(flag, **options)


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` pairs; numbers, true, false and null are read as JSON, everything else as text."""
    options = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"--option {pair}: expected KEY=VALUE, such as output=softmax")
        if key in ("name", "seed"):
            raise ConfigError(f"--option {pair}: not an option of a network; use --{'model' if key == 'name' else key}")
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
    return options


def run(arguments: argparse.Namespace) -> int:
    """Train, and print the results."""
    # With several processes, only the first one prints.
    first = os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", "0") == "0"
    config, options = config_of(arguments), parse_options(arguments.option)
    is_file = is_model_file(arguments.model)
    is_network = arguments.model in MODELS and not is_file
    if not (is_network or is_file or names_run(arguments.model)):
        raise ModelError(
            f"--model {arguments.model}: no such network, pretrained weights, model file or run directory; `sentinode "
            "models` lists the networks and weights"
        )
    if options and not is_network:
        raise ConfigError(f"--option: {arguments.model} is a trained run, whose network is fixed; leave out --option")
    if not is_file:
        check_no_interpretation(arguments.model, arguments.input_scale, arguments.model_output)
    if arguments.linear_probe:
        _check_linear_probe(arguments)
    if arguments.threads is not None and arguments.threads < 1:
        raise ConfigError(f"--threads must be at least 1; got {arguments.threads}")
    if arguments.devices != "all" and not (arguments.devices.isdecimal() and int(arguments.devices)):
        raise ConfigError(f"--devices must be a positive integer or 'all'; got {arguments.devices!r}")
    teachers = _load_teachers(arguments.teacher)
    patches = open_data(arguments, quiet=arguments.json or not first)
    if first and not arguments.json and not arguments.linear_probe:
        print(f"follow the progress with: {command_line('watch', arguments.out)}", flush=True)
    _limit_processors(arguments.threads, Path(arguments.out))
    start_keras()
    from sentinode.models.build import build_model
    from sentinode.training.distributed import data_parallel
    from sentinode.training.linear_probe import fit_linear_probe
    from sentinode.training.load import load_model, starting_model
    from sentinode.training.train import train

    with data_parallel(arguments.devices):
        if is_network:
            model = build_model(arguments.model, seed=config.seed, **options)
        else:
            trained_model = load_model(
                arguments.model, input_scale=arguments.input_scale, model_output=arguments.model_output
            )
            model = starting_model(trained_model, config.seed)
        if arguments.linear_probe:
            splits = {"train_split": config.train_split, "valid_split": config.valid_split}
            trained = fit_linear_probe(
                model, patches, out=arguments.out, seed=config.seed, cache=arguments.cache, **splits
            )
        else:
            trained = train(model, patches, config, out=arguments.out, cache=arguments.cache, teachers=teachers)
    skipped = trained.config["data"].get("skipped", [])
    if not first:
        return report_skipped(skipped, quiet=True)
    if arguments.json:
        print_json({"run": str(trained.path), **trained.summary, **({"skipped": skipped} if skipped else {})})
        return report_skipped(skipped, quiet=True)
    show_run(trained)
    files = {"curves.png": "loss, accuracy and AUC by epoch", "config.json": "settings, versions, data"}
    print_next_steps(
        {trained.path / name: content for name, content in files.items() if (trained.path / name).is_file()},
        command_line("evaluate", *data_words(arguments), "--model", trained.path),
        shlex.join(["tensorboard", "--logdir", str(trained.path / "tensorboard")]),
    )
    return report_skipped(skipped)


def _load_teachers(names: list[str]) -> "list[Run]":
    if not names:
        return []
    from sentinode.training.load import load_run

    return [load_run(name) for name in names]


def _check_linear_probe(arguments: argparse.Namespace) -> None:
    given = {setting_flag(name) for name in given_settings(arguments) if name not in PROBE_SETTINGS}
    given |= {"--recipe"} if arguments.recipe != "classic" else set()
    given |= {"--teacher"} if arguments.teacher else set()
    given |= {"--devices"} if arguments.devices != "1" else set()
    if given:
        names = ", ".join(sorted(given))
        raise ConfigError(f"{names}: no effect with --linear-probe, which fits a logistic regression; leave it out")


def _limit_processors(threads: int | None, out: Path) -> None:
    """Use the number of processors that was asked for, or that of the run to resume."""
    if threads is None:
        with contextlib.suppress(OSError, SentinodeError, KeyError, TypeError, ValueError):  # There may be no run.
            threads = int(read_json(out / "config.json")["environment"]["threads"])
    if threads:
        limit_processors(threads)


def show_run(trained: Any) -> None:
    """Print the learning curves of a run and its best epoch."""
    shown = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_auc", "penalty", "patches_per_s")
    history = trained.history
    print(history[[name for name in shown if name in history]].round(4).to_string(index=False))
    summary = trained.summary
    result = f"best epoch {summary['best_epoch']} of {summary['epochs']}"
    result = "last layer fitted" if trained.method == "linear probe" else result
    print(
        f"{result} in {summary['duration_s']:.1f} s; on the validation patches: AUC {summary['valid_auc']:.3f}, "
        f"threshold {summary['threshold']:.3f}"
    )
