"""Train a network on the patches of DATA and leave a run directory."""

import argparse
import contextlib
import json
import os
import shlex
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from sentinode.cli.shared import (
    add_data,
    add_json,
    command_line,
    open_data,
    output_folder,
    print_json,
    print_next_steps,
    report_skipped,
    start_keras,
)
from sentinode.cli.stand_by import stand_by
from sentinode.errors import ConfigError, SentinodeError
from sentinode.machine import limit_processors
from sentinode.models.build import MODELS
from sentinode.samples import PRETRAINED
from sentinode.storage import read_json
from sentinode.training.config import RECIPES, TrainConfig


def add_parser(commands: Any) -> None:
    """Add the command; its options are the fields of `TrainConfig`."""
    models = "; ".join(f"{name}: {entry.summary}" for name, entry in MODELS.items())
    parser = commands.add_parser("train", help="train a network and leave a run directory", description=__doc__)
    add_data(parser)
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help=f"{models}; or a trained run to start from, in a folder or shipped",
    )
    parser.add_argument("--out", type=output_folder, required=True, metavar="RUN", help="the run directory to make")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the model, such as output=softmax",
    )
    parser.add_argument(
        "--teacher",
        action="append",
        default=[],
        metavar="RUN",
        help="learn what this run says of each patch in place of its label; given several times, their mean",
    )
    parser.add_argument(
        "--devices",
        default="1",
        metavar="N",
        help="share each batch between so many devices, or all of them; JAX only, see docs/devices.md (default: 1)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="processors to use (default: all; a training that goes on takes as many as it was begun with)",
    )
    add_json(parser)
    add_settings(parser, "settings (the defaults are the classic recipe)")
    parser.set_defaults(run=run)


def add_settings(parser: argparse.ArgumentParser, title: str) -> None:
    """Add a recipe and every setting that may differ from it."""
    group = parser.add_argument_group(title)
    group.add_argument(
        "--recipe",
        choices=RECIPES,
        default="classic",
        help=f"what the settings are unless given; flagship: {_words(RECIPES['flagship'])} (default: classic)",
    )
    for setting in fields(TrainConfig):
        _add_setting(group, setting)


def config_of(arguments: argparse.Namespace) -> TrainConfig:
    """Return the settings that were asked for."""
    given = {setting.name for setting in fields(TrainConfig)} & set(vars(arguments))
    return TrainConfig.recipe(arguments.recipe, **{name: getattr(arguments, name) for name in given})


def _words(settings: dict[str, Any]) -> str:
    values = {name: ",".join(value) if isinstance(value, tuple) else f"{value}" for name, value in settings.items()}
    return ", ".join(f"{name.replace('_', '-')} {value}" for name, value in values.items())


def _add_setting(group: Any, setting: Field[Any]) -> None:
    """Turn one field of `TrainConfig` into one option."""
    flag = setting.metadata.get("flag") or "--" + setting.name.replace("_", "-")
    # What is not given is not there: the recipe decides.
    about: dict[str, Any] = {"dest": setting.name, "default": argparse.SUPPRESS}
    shown = (",".join(setting.default) or "none") if isinstance(setting.default, tuple) else setting.default
    about["help"] = f"{setting.metadata['help']} (default: {shown})"
    if setting.type is bool:
        about["action"] = argparse.BooleanOptionalAction
    elif isinstance(setting.default, tuple):
        about |= {"type": lambda text: () if text == "none" else tuple(text.split(",")), "metavar": "A,B"}
        about["help"] = f"{setting.metadata['help']}: {', '.join(setting.metadata['choices'])} (default: {shown})"
    else:
        about |= {"type": setting.type, "choices": setting.metadata.get("choices")}
        if not about["choices"]:
            about["metavar"] = {int: "N", float: "X"}.get(setting.type, "NAME")  # type: ignore[arg-type]
    group.add_argument(flag, **about)


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """Turn ``KEY=VALUE`` into values: numbers and true, false, null as in json, all else as text."""
    options = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"--option {pair}: KEY=VALUE is expected, such as output=softmax")
        if key in ("name", "seed"):
            raise ConfigError(
                f"--option {pair}: not an option of a model; --model names it, and --seed its initial weights"
            )
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
    return options


def run(arguments: argparse.Namespace) -> int:
    """Train, and say what came out."""
    first = os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", "0") == "0"  # The others print nothing but errors.
    if not first:
        stand_by(f"process {os.environ['KERAS_DISTRIBUTION_PROCESS_ID']}")
    config = config_of(arguments)
    options = parse_options(arguments.option)
    is_network = arguments.model in MODELS or not (Path(arguments.model).is_dir() or arguments.model in PRETRAINED)
    if options and not is_network:
        raise ConfigError(f"--option: {arguments.model} is a trained run, whose network is what it is")
    patches = open_data(arguments, quiet=arguments.json or not first)
    if first and not arguments.json:
        board = Path(arguments.out) / "tensorboard"
        print(f"meanwhile, elsewhere: sentinode watch {arguments.out}, or tensorboard --logdir {board}", flush=True)
    _limit_processors(arguments.threads, Path(arguments.out))
    start_keras()
    from sentinode.models.build import build_model
    from sentinode.training.distributed import data_parallel
    from sentinode.training.load import load_run
    from sentinode.training.train import train

    with data_parallel(arguments.devices):
        if is_network:
            model = build_model(arguments.model, seed=config.seed, **options)
        else:
            model = load_run(arguments.model).starting_model(config.seed)
        teachers = [load_run(teacher) for teacher in arguments.teacher]
        trained = train(model, patches, config, out=arguments.out, cache=arguments.cache, teachers=teachers)
    skipped = trained.config["data"].get("skipped", [])
    if not first:
        return report_skipped(skipped, quiet=True)
    if arguments.json:
        print_json({"run": str(trained.path), **trained.summary, **({"skipped": skipped} if skipped else {})})
        return report_skipped(skipped, quiet=True)
    show_run(trained)
    print_next_steps(
        {
            trained.path / "curves.png": "loss, accuracy and AUC by epoch",
            trained.path / "config.json": "all settings, versions, data",
        },
        command_line("evaluate", arguments.data, "--model", trained.path),
        shlex.join(["tensorboard", "--logdir", str(trained.path / "tensorboard")]),
    )
    return report_skipped(skipped)


def _limit_processors(threads: int | None, out: Path) -> None:
    """Use the processors that were asked for, or as many as the run at `out` was begun with."""
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads must be at least 1; got {threads}")
    if threads is None:
        with contextlib.suppress(OSError, SentinodeError, KeyError, TypeError, ValueError):  # There may be no run.
            threads = int(read_json(out / "config.json")["environment"]["threads"])
    if threads:
        limit_processors(threads)


def show_run(trained: Any) -> None:
    """Print the history of a run and its best epoch."""
    history = trained.history
    columns = [name for name in history.columns if name not in ("learning_rate", "train_s")]
    print(history[columns].round(4).to_string(index=False))
    summary = trained.summary
    print(
        f"best epoch {summary['best_epoch']} of {summary['epochs']} in {summary['duration_s']:.1f} s; "
        f"on its validation patches: AUC {summary['valid_auc']:.3f}, threshold {summary['threshold']:.3f}"
    )
