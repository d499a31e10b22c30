"""Measure a trained model on labelled patches: ROC curve, AUC, operating points, predictions."""

import argparse
from typing import Any

from sentinode.cli.shared import (
    add_data,
    add_json,
    add_runs,
    add_tta,
    look_at,
    open_data,
    print_json,
    print_table,
    start_keras,
    tell_skipped,
)
from sentinode.samples import DEFAULT_RUN


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evaluate", help="measure a trained model: ROC curve, AUC, operating points", description=__doc__
    )
    add_data(parser)
    add_runs(parser)
    parser.add_argument(
        "--split", metavar="NAME", help="split to measure on (default: test if it has labels, else valid)"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="where to write (default: RUN/evaluations/SPLIT; several runs need one named)"
    )
    add_tta(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, and show the numbers."""
    patches = open_data(arguments, quiet=arguments.json)
    start_keras()
    from sentinode.evaluation.evaluate import evaluate
    from sentinode.training.ensemble import load_runs

    models = arguments.model or [DEFAULT_RUN]
    loaded = load_runs(models)
    evaluation = evaluate(loaded, patches, arguments.split, out=arguments.out, cache=arguments.cache, tta=arguments.tta)
    skipped = evaluation.made_by.get("skipped", ())
    if arguments.json:
        print_json(evaluation.to_json())
        return tell_skipped(skipped, quiet=True)
    show_evaluation(evaluation)
    if len(models) > 1:
        print("the threshold is the mean of the runs' thresholds on the logit scale")
    folder = evaluation.folder
    look_at(
        {
            folder / "roc.png": "the ROC curve",
            folder / "confusion.png": "calls against truth",
            folder / "metrics.json": "all numbers",
            folder / "predictions.csv": "every patch",
        },
        f"sentinode predict IMAGES {' '.join(f'--model {run}' for run in models)} --out predictions.csv",
    )
    return tell_skipped(skipped)


def show_evaluation(evaluation: Any) -> None:
    """Print AUC and operating points."""
    print(f"{evaluation.data}: {evaluation.normal:,} normal, {evaluation.tumour:,} tumour")
    print(f"AUC {evaluation.auc:.4f}")
    rates = ("accuracy", "sensitivity", "specificity", "precision", "f1")
    rows = []
    for name, point in evaluation.points.items():
        values = [getattr(point, rate) for rate in rates]
        rows.append(
            (
                f"{point.threshold:.4f} ({name})",
                *("–" if value is None else f"{value:.4f}" for value in values),
            )
        )
    print_table(rows, header=("threshold", *rates))
    chosen = evaluation.points["validation"]
    print(f"at {chosen.threshold:.4f}:")
    print_table(
        [
            ("truth normal", f"{chosen.true_negatives:,}", f"{chosen.false_positives:,}"),
            ("truth tumour", f"{chosen.false_negatives:,}", f"{chosen.true_positives:,}"),
        ],
        header=("", "called normal", "called tumour"),
    )
