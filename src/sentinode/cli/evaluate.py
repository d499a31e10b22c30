"""Measure a trained model on labelled patches: ranking, operating points, calibration, groups, all with intervals."""

import argparse
from typing import Any

from sentinode.cli.shared import (
    add_data,
    add_json,
    add_models,
    add_precision,
    add_tta,
    command_line,
    open_data,
    output_folder,
    print_json,
    print_next_steps,
    print_table,
    report_skipped,
    start_keras,
)
from sentinode.samples import DEFAULT_MODEL
from sentinode.storage import check_output_folder


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("evaluate", help="measure a trained model, with intervals", description=__doc__)
    add_data(parser)
    add_models(parser)
    parser.add_argument(
        "--split", metavar="NAME", help="split to measure on (default: test if it has labels, else valid)"
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        metavar="DIR",
        help="where to write (default: RUN/evaluations/SPLIT; several runs need one named)",
    )
    parser.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="RULE",
        help="an operating point beside 0.5 and the run's own: youden, 'sensitivity>=0.95', 'specificity>=0.95', "
        "cost=FN:FP, chosen on the run's validation patches, or a number; may be given several times",
    )
    parser.add_argument(
        "--prevalence",
        action="append",
        type=float,
        metavar="P",
        help="a share of tumour to give PPV and NPV at; may be given several times (default: 0.05)",
    )
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN",
        help="measure the groups of a column, such as centre, one by one, or of alike stains (stain); may be given "
        "several times (default: centre, patient, slide where known, with 2 to 30 values)",
    )
    add_tta(parser)
    add_precision(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, and show the numbers."""
    from sentinode.training.load import load_predictor

    models = arguments.model or [DEFAULT_MODEL]
    loaded = load_predictor(models)
    if folder := arguments.out or loaded.results_folder:
        check_output_folder(folder)
    patches = open_data(arguments, quiet=arguments.json)
    start_keras()
    from sentinode.evaluation.evaluate import PREVALENCE, evaluate

    evaluation = evaluate(
        loaded,
        patches,
        arguments.split,
        points=arguments.point,
        prevalences=arguments.prevalence or (PREVALENCE,),
        by=arguments.by,
        out=arguments.out,
        cache=arguments.cache,
        tta=arguments.tta,
        precision=arguments.precision,
    )
    skipped = evaluation.made_by.get("skipped", ())
    if arguments.json:
        print_json(evaluation.to_json())
        return report_skipped(skipped, quiet=True)
    show_evaluation(evaluation)
    if len(models) > 1:
        print("the threshold is the mean of the runs' thresholds on the logit scale")
    folder = evaluation.folder
    can_report = len(models) == 1 and not arguments.out and evaluation.split != "all"
    print_next_steps(
        {
            folder / "roc.png": "the ROC curve",
            folder / "curves.png": "precision and recall, calibration, selective prediction, decisions",
            folder / "confusion.png": "calls against truth",
            **{folder / f"by-{column}.png": f"each {column} by itself" for column in evaluation.subgroups},
            folder / "metrics.json": "all numbers",
            folder / "predictions.csv": "every patch",
        },
        *([command_line("report", models[0], arguments.data, "--split", evaluation.split)] if can_report else []),
        command_line(
            "predict", "IMAGES", *(word for run in models for word in ("--model", run)), "--out", "predictions.csv"
        ),
    )
    return report_skipped(skipped)


def show_evaluation(evaluation: Any) -> None:
    """Print the figures, and the calls against the truth."""
    print(evaluation)
    chosen = evaluation.points["validation"].point
    print(f"\nat {chosen.threshold:.4f}:")
    print_table(
        [
            ("truth normal", f"{chosen.true_negatives:,}", f"{chosen.false_positives:,}"),
            ("truth tumour", f"{chosen.false_negatives:,}", f"{chosen.true_positives:,}"),
        ],
        header=("", "called normal", "called tumour"),
    )
