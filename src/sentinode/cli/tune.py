"""Tune hyperparameters: search for the settings with the largest AUC on the validation patches."""

import argparse
import shlex
from typing import Any

from sentinode.cli.common.options import add_data, add_figures, add_json, data_words, output_folder
from sentinode.cli.common.output import print_json, print_next_steps, report_skipped
from sentinode.cli.common.start import open_data, start_keras
from sentinode.cli.train import add_settings, config_of
from sentinode.errors import ModelError, plural
from sentinode.models.build import MODELS, names_run
from sentinode.samples import PRETRAINED


def add_parser(commands: Any) -> None:
    """Add the command; settings that are not searched are those of `train`."""
    parser = commands.add_parser("tune", help="tune hyperparameters", description=__doc__)
    add_data(parser)
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help=f"network ({', '.join(MODELS)}), or a run directory or pretrained weights ({', '.join(PRETRAINED)}) from "
        "which every trial starts",
    )
    parser.add_argument(
        "--out", type=output_folder, required=True, metavar="DIR", help="folder of the study to write, or to resume"
    )
    parser.add_argument(
        "--search",
        action="append",
        required=True,
        metavar="NAME=…",
        help="dimension of the search space: NAME=A,B,C or NAME=LOW..HIGH, with :log appended for a logarithmic scale; "
        "NAME is a setting below such as learning_rate, or option.KEY; may be repeated",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="number of trials (default: all combinations)")
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="training runs per trial, compared by their mean (default: 1)"
    )
    parser.add_argument(
        "--storage", metavar="URL", help="URL of a database shared by several machines (default: a file in --out)"
    )
    add_figures(parser)
    add_json(parser)
    add_settings(parser, "settings that are not searched")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Search, and print the best trials."""
    config = config_of(arguments)
    from sentinode.tuning.space import check_search, parse_dimension, settings_of

    space = [parse_dimension(text) for text in arguments.search]
    check_search(space, arguments.trials, arguments.seeds)
    if arguments.model not in MODELS and not names_run(arguments.model):
        raise ModelError(
            f"--model {arguments.model}: no such network, pretrained weights or run directory; `sentinode models` "
            "lists the networks and weights"
        )
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
        figures=arguments.figures,
    )
    skipped = [vars(each) for each in patches.cached(arguments.cache).skipped] if arguments.skip_bad else []
    best = tuning.best
    if arguments.json:
        trials = tuning.table.astype(object).where(tuning.table.notna(), None).to_dict("records")
        print_json({"out": str(tuning.folder), "best": best, "trials": trials})
        return report_skipped(skipped, quiet=True)
    shown = tuning.table.drop(columns="reason").head(10).round({"valid_auc": 4, "sd": 4})
    print(shown.to_string(index=False, na_rep="–"))
    if failed := int(tuning.table["valid_auc"].isna().sum()):
        print(f"{plural(failed, 'trial')} failed; trials.csv contains the reasons")
    print(
        "the AUC of the best trial has an optimistic bias, because the trial was selected on these patches: evaluate "
        "it on others"
    )
    settings, options = settings_of(best, config)
    command = ["sentinode", "train", *data_words(arguments), "--model", arguments.model, *option_arguments(options)]
    command += ["--out", "runs/tuned", *setting_arguments(settings)]
    print_next_steps(
        {
            tuning.folder / "trials.csv": "all trials",
            tuning.folder / f"trials.{arguments.figures}": "AUC by searched setting",
        },
        shlex.join(command),
    )
    return report_skipped(skipped)
