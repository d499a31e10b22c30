"""Measure a trained model on patches as other laboratories, scanners and programs would make them."""

import argparse
from typing import TYPE_CHECKING, Any

from sentinode.cli.shared import (
    add_data,
    add_json,
    add_models,
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

if TYPE_CHECKING:
    from sentinode.evaluation.robustness import RobustnessPoint, RobustnessResult
    from sentinode.metrics.interval import Interval


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "stress", help="AUC and operating point under other stains, scanners, programs", description=__doc__
    )
    add_data(parser)
    add_models(parser)
    parser.add_argument(
        "--split", metavar="NAME", help="split to measure on (default: test if it has labels, else valid)"
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        metavar="DIR",
        help="where to write (default: RUN/evaluations/stress-SPLIT; several runs need one named)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the extremes of each shift alone, on 500 patches at most, as many tumour as normal ones",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shift, measure, and show the table."""
    from sentinode.training.load import load_predictor

    models = arguments.model or [DEFAULT_MODEL]
    loaded = load_predictor(models)
    if folder := arguments.out or loaded.results_folder:
        check_output_folder(folder)
    patches = open_data(arguments, quiet=arguments.json)
    start_keras()
    from sentinode.evaluation.stress import stress

    found = stress(loaded, patches, arguments.split, out=arguments.out, cache=arguments.cache, quick=arguments.quick)
    skipped = found.made_by.get("skipped", ())
    if arguments.json:
        print_json(found.to_json())
        return report_skipped(skipped, quiet=True)
    show_stress(found)
    whole = command_line("stress", arguments.data, *(word for run in models for word in ("--model", run)))
    print_next_steps(
        {
            found.folder / "stress.png": "AUC, sensitivity and specificity by level",
            found.folder / "stress.csv": "one row a shift and level",
            found.folder / "stress.json": "all numbers",
        },
        whole if arguments.quick else command_line("evaluate", arguments.data, "--model", models[0]),
    )
    return report_skipped(skipped)


def show_stress(found: "RobustnessResult") -> None:
    """Print every level of every shift, and the one number."""
    print(f"{found.data}: {found.normal:,} normal, {found.tumour:,} tumour")
    if found.clusters:
        print(f"intervals of 95 % over {found.unshifted.auc.clusters} {found.clusters}s")
    else:
        print("intervals of 95 % take patches for independent, since slides are not known: they are too narrow")
    rows = [_row("as they are", None, found.unshifted)]
    for name, curve in found.shifts.items():
        rows += [_row(name, point.level, point) for point in curve.points]
    print_table(rows, header=("shift", "level", "AUC", "sensitivity", "specificity", "warned of"))
    print("mean AUC over the levels of each shift, the lowest first")
    curves = sorted(found.shifts.values(), key=lambda curve: curve.mean.estimate)
    print_table([(curve.name, _short(curve.mean)) for curve in curves])
    print(
        f"shifted AUC {_short(found.perturbed)}, the mean over shifts; as they are {_short(found.unshifted.auc)}, "
        f"so {_short(found.lost)} is lost"
    )
    print(f"worst: {found.worst.name}, and of it {found.worst.lowest.level:g}")


def _row(name: str, level: float | None, point: "RobustnessPoint") -> tuple[str, ...]:
    intervals = (_short(each) for each in (point.auc, point.sensitivity, point.specificity))
    return name, "" if level is None else f"{level:g}", *intervals, f"{point.warned:.1%}"


def _short(interval: "Interval") -> str:
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"
