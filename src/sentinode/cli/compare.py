"""Compare several models on the same labelled patches: ROC curves, paired tests, agreement, cost."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.cli.shared import (
    add_data,
    add_json,
    command_line,
    open_data,
    output_folder,
    print_json,
    print_next_steps,
    print_table,
    report_skipped,
    start_keras,
)
from sentinode.samples import PRETRAINED

if TYPE_CHECKING:
    from sentinode.evaluation.comparison import ComparedModel, ComparedPair, Comparison
    from sentinode.metrics.interval import Interval


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare", help="several models on the same patches: curves, paired tests, cost", description=__doc__
    )
    add_data(parser)
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="MODEL",
        help=f"at least twice: a run directory, one that ships ({', '.join(PRETRAINED)}), or a csv of any software "
        "with columns id, and probability or logit; NAME=MODEL names it; NAME=RUN,RUN,RUN or NAME=runs/cnn-* are "
        "several seeds of one recipe as one model",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="split to compare on (default: test if it has labels, else valid)",
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        metavar="DIR",
        help="the folder to write compare.html, .json, .csv and .png to",
    )
    parser.add_argument(
        "--point",
        metavar="RULE",
        help="the operating point of all: youden, 'sensitivity>=0.95', 'specificity>=0.95', cost=FN:FP, chosen on each "
        "run's validation patches, or a number (default: each run's own threshold; of a csv that of the json beside "
        "it, else 0.5)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, and show the table."""
    from sentinode.evaluation.scores import open_entries

    needs_keras = any(entry.runs for entry in open_entries(arguments.model))
    patches = open_data(arguments, quiet=arguments.json)
    if needs_keras:
        start_keras()
    from sentinode.evaluation.compare import compare
    from sentinode.report.compare_page import write_compare_page

    found = compare(
        arguments.model,
        patches,
        arguments.split,
        out=arguments.out,
        point=arguments.point,
        cache=arguments.cache,
    )
    folder = Path(arguments.out)
    write_compare_page(found, folder / "compare.html")
    skipped = found.made_by.get("skipped", ())
    if arguments.json:
        print_json(found.to_json())
        return report_skipped(skipped, quiet=True)
    show_comparison(found)
    print_next_steps(
        {
            folder / "compare.html": "all of it as a page; open it in a browser",
            folder / "compare.png": "all ROC curves, areas and differences",
            folder / "compare.csv": "one row a model",
            folder / "compare.json": "all numbers",
        },
        command_line("stress", arguments.data, "--model", "RUN", "--quick"),
    )
    return report_skipped(skipped)


def show_comparison(found: "Comparison") -> None:
    """Print what each model is worth and costs, and what the differences are worth."""
    print(f"{found.data}: {found.normal:,} normal, {found.tumour:,} tumour")
    if found.clusters:
        print(f"intervals of 95 % and tests over {found.models[0].auc.clusters} {found.clusters}s")
    else:
        print("intervals of 95 % and tests take patches for independent, since slides are not known: they are too sure")
    print_table(
        [_worth(model) for model in found.models],
        header=("model", "AUC", "sd over seeds", "sensitivity", "specificity"),
    )
    print("what they cost; patches/s on this machine just now, roughly")
    print_table(
        [_cost(model) for model in found.models], header=("model", "parameters", "GFLOP a patch", "patches/s", "MB")
    )
    print("differences, p-values corrected for the number of pairs (Holm)")
    print_table(
        [_difference(pair) for pair in found.pairs],
        header=("", "AUC", "p", "p, bootstrap", "accuracy", "p", "kappa"),
    )
    if len(found.models) > 2:
        print(f"p-value of all areas being the same: {_p(found.p_value)}")


def _worth(model: "ComparedModel") -> tuple[str, ...]:
    spread = "–" if model.auc_sd is None else f"{model.auc_sd:.3f} of {len(model.curves)}"
    return model.name, _short(model.auc), spread, _short(model.sensitivity), _short(model.specificity)


def _cost(model: "ComparedModel") -> tuple[str, ...]:
    facts = model.facts
    return (
        model.name,
        "–" if facts.parameters is None else f"{facts.parameters:,}",
        "–" if facts.flops is None else f"{facts.flops / 1e9:.3f}",
        "–" if facts.patches_per_s is None else f"{facts.patches_per_s:,.0f}",
        "–" if facts.size_bytes is None else f"{facts.size_bytes / 1e6:.2f}",
    )


def _difference(pair: "ComparedPair") -> tuple[str, ...]:
    return (
        f"{pair.auc.first} − {pair.auc.second}",
        _short(pair.auc.difference),
        _p(pair.auc.p_holm),
        _p(pair.bootstrap.p_holm),
        _short(pair.calls.difference),
        _p(pair.calls_p_holm),
        "–" if pair.kappa is None else f"{pair.kappa.estimate:.3f}",
    )


def _short(interval: "Interval") -> str:
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
