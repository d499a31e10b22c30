"""Search for the settings that suit DATA best, by the AUC on its validation patches."""

import argparse
import shlex
from typing import Any

from sentinode.cli.shared import (
    add_data,
    add_json,
    open_data,
    output_folder,
    print_json,
    print_next_steps,
    report_skipped,
    start_keras,
)
from sentinode.cli.train import add_settings, config_of
from sentinode.errors import ConfigError
from sentinode.models.build import MODELS


def add_parser(commands: Any) -> None:
    """Add the command; settings that are not searched are those of `train`."""
    parser = commands.add_parser("tune", help="search for the settings that suit the data best", description=__doc__)
    add_data(parser)
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help=f"the network ({', '.join(MODELS)}), or a trained run to start every trial from, in a folder or shipped",
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        metavar="DIR",
        help="the folder of the study; given again, it goes on",
    )
    parser.add_argument(
        "--search",
        action="append",
        required=True,
        metavar="NAME=…",
        help="what to search: NAME=A,B,C or NAME=LOW..HIGH, with :log for factors; NAME is a setting below "
        "(learning_rate) or option.KEY; may be given several times",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="how many to do in all (default: every combination)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="trainings a trial; their mean counts")
    parser.add_argument(
        "--storage", metavar="URL", help="a database that several machines share (default: a file in --out)"
    )
    add_json(parser)
    add_settings(parser, "settings that are not searched")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Search, and say what was found."""
    config = config_of(arguments)
    from sentinode.tuning.space import parse_dimension, settings_of

    space = [parse_dimension(text) for text in arguments.search]
    if len({each.name for each in space}) < len(space):
        raise ConfigError("--search names a setting twice")
    for name in ("trials", "seeds"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            raise ConfigError(f"--{name} must be at least 1; got {getattr(arguments, name)}")
    patches = open_data(arguments, quiet=arguments.json)
    start_keras()
    from sentinode.training.command import option_arguments, setting_arguments
    from sentinode.tuning.study import tune

    tuning = tune(
        arguments.model,
        patches,
        space,
        config,
        out=arguments.out,
        trials=arguments.trials,
        seeds=arguments.seeds,
        storage=arguments.storage,
        cache=arguments.cache,
    )
    skipped = [vars(each) for each in patches.cached(arguments.cache).skipped] if arguments.skip_bad else []
    best = tuning.best
    if arguments.json:
        trials = tuning.table.astype(object).where(tuning.table.notna(), None).to_dict("records")
        print_json({"out": str(tuning.folder), "best": best, "trials": trials})
        return report_skipped(skipped, quiet=True)
    print(tuning.table.drop(columns="reason").head(10).round(4).to_string(index=False))
    failed = int(tuning.table["valid_auc"].isna().sum())
    if failed:
        print(f"{failed} failed; trials.csv says why")
    print("the best was chosen on these validation patches, which flatters it: measure it on others")
    settings, chosen = settings_of(best, config)
    words = ["sentinode", "train", arguments.data, "--model", arguments.model, *option_arguments(chosen)]
    words += ["--out", "runs/tuned", *setting_arguments(settings)]
    words += ["--table", arguments.table] if arguments.table else []
    words += ["--resize", arguments.resize] if arguments.resize != "error" else []
    words += ["--skip-bad"] if arguments.skip_bad else []
    print_next_steps(
        {tuning.folder / "trials.csv": "every trial", tuning.folder / "trials.png": "AUC by what was searched"},
        shlex.join(words),
    )
    return report_skipped(skipped)
