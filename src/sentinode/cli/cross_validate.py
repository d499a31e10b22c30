"""Cross-validate a network: k folds without leakage, one training run per fold, one evaluation of all predictions.

To resume after an interruption, run the same command again.
"""

import argparse
from pathlib import Path
from typing import Any

from sentinode.cli.common.options import add_data, add_json, data_words, output_folder
from sentinode.cli.common.output import command_line, print_json, print_next_steps, print_table, report_skipped
from sentinode.cli.common.start import open_data, start_keras
from sentinode.cli.data.split import warn_of_missing_slides
from sentinode.cli.train import add_settings, config_of, parse_options
from sentinode.errors import ConfigError
from sentinode.models.build import MODELS


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("cross-validate", help="cross-validate a network by k folds", description=__doc__)
    add_data(parser)
    parser.add_argument("--model", required=True, metavar="NAME", help=f"network: {', '.join(MODELS)}")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="option of the network; may be repeated"
    )
    parser.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder to write, or to resume")
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="number of folds (default: 5)")
    parser.add_argument("--split", metavar="NAME", help="use the patches of this split only (default: all)")
    add_json(parser)
    add_settings(parser, "settings of each training run (the defaults are the classic recipe)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Cross-validate, and print the results."""
    config, options = config_of(arguments), parse_options(arguments.option)
    if arguments.model not in MODELS:
        raise ConfigError(f"--model {arguments.model}: not a network; choose one of {', '.join(MODELS)}")
    if arguments.folds < 2:
        raise ConfigError(f"--folds must be at least 2; got {arguments.folds}")
    patches = open_data(arguments, quiet=arguments.json)
    start_keras()
    from sentinode.evaluation.cross_validate import FOLDS_CSV, cross_validate
    from sentinode.evaluation.formatting import format_evaluation
    from sentinode.models.build import build_model
    from sentinode.training.command import option_arguments, setting_arguments

    found = cross_validate(
        lambda: build_model(arguments.model, seed=config.seed, **options),
        patches.split(arguments.split) if arguments.split else patches,
        config,
        out=arguments.out,
        folds=arguments.folds,
        cache=arguments.cache,
    )
    evaluation, folder = found.evaluation, Path(arguments.out)
    skipped = evaluation.made_by.get("skipped", ())
    if arguments.json:
        print_json({"folds": found.folds.to_dict(orient="records"), "pooled": evaluation})
        return report_skipped(skipped, quiet=True)
    print_table(
        [
            (f"{row.fold}", f"{row.normal:,}", f"{row.tumour:,}", f"{row.auc:.3f}", f"{row.threshold:.3f}")
            for row in found.folds.itertuples()
        ],
        header=("fold", "normal", "tumour", "AUC", "threshold"),
    )
    auc = found.folds["auc"]
    print(f"AUC of the folds: {auc.mean():.3f} ± {auc.std():.3f} (mean ± standard deviation)\n\npooled predictions:")
    print(format_evaluation(evaluation))
    warn_of_missing_slides(found.split)
    print_next_steps(
        {
            folder / "metrics.json": "all numbers of the pooled evaluation",
            folder / FOLDS_CSV: "one row per fold",
            folder / "roc.png": "the pooled ROC curve",
            folder / "predictions.csv": "the out-of-fold prediction of each patch",
            folder / "fold-1": "the run of the first fold; the other runs are in the same folder",
        },
        command_line(
            *("train", *data_words(arguments), "--model", arguments.model, *option_arguments(options)),
            *("--out", "runs/first", *setting_arguments(config)),
        ),
    )
    return report_skipped(skipped)
