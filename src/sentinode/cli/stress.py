"""Test robustness to perturbed stain, brightness, focus, compression, resolution and position of the patches."""

import argparse
from typing import Any

from sentinode.cli.common.options import add_data, add_figures, add_json, add_models, data_words, output_folder
from sentinode.cli.common.output import command_line, print_json, print_next_steps, report_skipped
from sentinode.cli.common.start import load_models, open_data, start_keras
from sentinode.cli.evaluate import SPLIT_HELP, check_out, results_folder
from sentinode.samples import DEFAULT_MODEL


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("stress", help="robustness test on perturbed patches", description=__doc__)
    add_data(parser)
    add_models(parser)
    parser.add_argument("--split", metavar="NAME", help=SPLIT_HELP)
    parser.add_argument(
        "--out",
        type=output_folder,
        metavar="DIR",
        help="folder for the results (default: RUN/evaluations/stress-SPLIT, or stress-SPLIT-quick; required for "
        "several runs)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="test only the extreme levels of each perturbation, on at most 250 patches of each class",
    )
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
    from sentinode.evaluation.formatting import format_robustness
    from sentinode.evaluation.robustness import STRESS
    from sentinode.evaluation.stress import stress

    found = stress(loaded, patches, arguments.split, cache=arguments.cache, quick=arguments.quick)
    name = f"stress-{found.split}{'-quick' if arguments.quick else ''}"
    folder = results_folder(arguments.out, loaded, name, found.made_by, STRESS)
    found.save(folder, arguments.figures)
    skipped = found.made_by.get("skipped", ())
    if arguments.json:
        print_json(found)
        return report_skipped(skipped, quiet=True)
    print(format_robustness(found))
    chosen = [word for model in models for word in ("--model", model)]
    print_next_steps(
        {
            folder / f"stress.{arguments.figures}": "AUC, sensitivity and specificity by level",
            folder / "stress.csv": "one row for each perturbation and level",
            folder / STRESS: "all metrics",
        },
        command_line("stress" if arguments.quick else "evaluate", *data_words(arguments), *chosen),
    )
    return report_skipped(skipped)
