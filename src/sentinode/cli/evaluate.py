"""Evaluate a model on labeled patches: AUC, operating points, calibration and subgroups with confidence intervals."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinode.cli.common.options import (
    add_data,
    add_figures,
    add_json,
    add_models,
    add_precision,
    add_tta,
    data_words,
    output_folder,
)
from sentinode.cli.common.output import command_line, print_json, print_next_steps, report_skipped
from sentinode.cli.common.start import load_models, open_data, start_keras
from sentinode.errors import ConfigError
from sentinode.output_paths import check_output_folder
from sentinode.samples import DEFAULT_MODEL

SPLIT_HELP = "split to evaluate on (default: test if it is labeled, otherwise valid)"
POINT_HELP = (
    "youden, 'sensitivity>=0.95', 'specificity>=0.95' or cost=FN:FP, chosen on validation patches, or a threshold"
)
POINT_SPLIT_HELP = (
    "split of DATA on which operating points are chosen (default: the validation patches of the run, or valid for a "
    "model without them, such as a pretrained one)"
)


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("evaluate", help="evaluate a model with confidence intervals", description=__doc__)
    add_data(parser)
    add_models(parser)
    parser.add_argument("--split", metavar="NAME", help=SPLIT_HELP)
    parser.add_argument(
        "--out",
        type=output_folder,
        metavar="DIR",
        help="folder for the results (default: RUN/evaluations/SPLIT; required for several runs)",
    )
    parser.add_argument("--full", action="store_true", help="print all metrics (default: the main ones)")
    parser.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="RULE",
        help=f"additional operating point: {POINT_HELP}; may be repeated",
    )
    parser.add_argument("--point-split", metavar="NAME", help=POINT_SPLIT_HELP)
    parser.add_argument(
        "--prevalence",
        action="append",
        type=float,
        metavar="P",
        help="tumour prevalence at which to compute PPV and NPV; may be repeated (default: 0.05)",
    )
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN",
        help="column whose groups are evaluated separately, such as centre; stain groups patches by the color of their "
        "stain; may be repeated (default: centre, patient and slide if known, with 2 to 30 values)",
    )
    add_tta(parser)
    add_precision(parser, int8_engines="")
    add_figures(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    models = arguments.model or [DEFAULT_MODEL]
    loaded = load_models(arguments)
    check_out(arguments.out, loaded)
    patches = open_data(arguments, quiet=arguments.json)
    start_keras()
    from sentinode.evaluation.evaluate import PREVALENCE, evaluate
    from sentinode.evaluation.evaluation import METRICS, PREDICTIONS
    from sentinode.evaluation.formatting import format_evaluation

    evaluation = evaluate(
        loaded,
        patches,
        arguments.split,
        points=arguments.point,
        point_split=arguments.point_split,
        prevalences=arguments.prevalence or (PREVALENCE,),
        by=arguments.by,
        cache=arguments.cache,
        tta=arguments.tta,
        precision=arguments.precision,
    )
    name = evaluation.split + ("" if arguments.tta == "none" else f"-tta-{arguments.tta}")
    name += "" if arguments.precision == "float32" else f"-{arguments.precision}"
    folder = results_folder(arguments.out, loaded, name, evaluation.made_by, METRICS)
    evaluation.save(folder, arguments.figures)
    skipped = evaluation.made_by.get("skipped", ())
    if arguments.json:
        print_json(evaluation)
        return report_skipped(skipped, quiet=True)
    print(format_evaluation(evaluation, arguments.full))
    files = {folder / f"roc.{arguments.figures}": "ROC curve"}
    if arguments.full:
        files |= {
            folder / f"curves.{arguments.figures}": "precision–recall, calibration, risk–coverage, net benefit",
            folder / f"confusion.{arguments.figures}": "confusion matrix",
            **{folder / f"by-{column}.{arguments.figures}": f"metrics by {column}" for column in evaluation.subgroups},
        }
    files |= {folder / METRICS: "all metrics", folder / PREDICTIONS: "the prediction of every patch"}
    chosen = [word for model in models for word in ("--model", model)]
    commands = [] if arguments.full else [command_line("evaluate", *data_words(arguments), *chosen, "--full")]
    if len(models) == 1 and not arguments.out and evaluation.split != "all":
        commands.append(command_line("report", models[0], *data_words(arguments), "--split", evaluation.split))
    print_next_steps(files, *commands, command_line("predict", "IMAGES", *chosen, "--out", "predictions.csv"))
    return report_skipped(skipped)


def check_out(out: str | None, model: Any) -> None:
    """Check that results can be written, before work begins.

    Raises
    ------
    ConfigError
        The model is an ensemble, which has no folder of its own, and ``--out`` is missing.
    OutputError
        The folder cannot be written.
    """
    folder = out or model.results_folder
    if folder is None:
        raise ConfigError("an ensemble has no folder of its own; specify a folder for the results with --out DIR")
    check_output_folder(folder)


def results_folder(out: str | None, model: Any, name: str, made_by: Mapping[str, Any], file: str) -> Path:
    """Return the folder for results: ``--out``, otherwise the one of this name in the run."""
    from sentinode.evaluation.files import default_folder

    return Path(out) if out else default_folder(model.results_folder, name, made_by["fingerprint"], file)
