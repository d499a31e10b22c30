"""Show where in patches a run finds its evidence, and check whether that can be believed."""

import argparse
from typing import TYPE_CHECKING, Any

from sentinode.cli.shared import (
    add_data,
    add_json,
    add_model,
    command_line,
    open_data,
    output_folder,
    print_json,
    print_next_steps,
    print_table,
    report_skipped,
    start_keras,
)

if TYPE_CHECKING:
    import pandas as pd


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "explain", help="where a run finds its evidence, and whether to believe it", description=__doc__
    )
    add_data(parser)
    add_model(parser)
    parser.add_argument(
        "--split", metavar="NAME", help="split to look into (default: test if it has labels, else valid)"
    )
    parser.add_argument(
        "--patch",
        action="append",
        default=[],
        metavar="ID",
        help="a patch to explain, by its id in predictions.csv; may be given several times (default: four of the "
        "surest mistakes, of both kinds, and four of the least sure calls)",
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME",
        help="grad-cam, grad-cam++, integrated-gradients or occlusion; may be given several times (default: all that "
        "the network allows)",
    )
    parser.add_argument("--out", type=output_folder, metavar="DIR", help="where to write (default: RUN/explanations)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Explain, and show the checks."""
    from sentinode.training.load import load_run

    loaded = load_run(arguments.model)
    patches = open_data(arguments, quiet=arguments.json)
    start_keras()
    from sentinode.explanation.explain import explain
    from sentinode.explanation.files import CHECKS, EXPLANATIONS, FIRST_LAYER, HIDING, NEIGHBOURS

    found = explain(
        loaded,
        patches,
        arguments.split,
        ids=arguments.patch,
        methods=arguments.method,
        out=arguments.out,
        cache=arguments.cache,
    )
    if arguments.json:
        # A figure that is not defined is null.
        rows = found.table.astype(object).where(found.table.notna(), None).to_dict("records")
        near = {} if found.neighbours is None else {"neighbours": found.neighbours.table.to_dict("records")}
        skipped = {"skipped": found.skipped} if found.skipped else {}
        print_json({"folder": str(found.folder), "explanations": rows, **near, **skipped})
        return report_skipped(found.skipped, quiet=True)
    show_checks(found.table)
    files = {
        EXPLANATIONS: "each patch beside its explanations: orange for tumour, blue against",
        CHECKS: "the checks, one row a patch and method",
        HIDING: "deletion and insertion curves, which the checks sum up",
        NEIGHBOURS: "each patch beside the training patches that the network finds most like it",
        FIRST_LAYER: "the kernels of the first layer, and where they respond",
    }
    print_next_steps(
        {found.folder / name: what for name, what in files.items() if (found.folder / name).is_file()},
        command_line("report", arguments.model, arguments.data),
    )
    return report_skipped(found.skipped)


def show_checks(table: "pd.DataFrame") -> None:
    """Print the mean of each check by method, and how to read it."""
    print(f"{table['id'].nunique()} patches; means over them")
    names = ["central_share", "deletion_gain", "insertion_gain", "randomised"]
    means = table.groupby("method", sort=False)[names].mean()
    print_table(
        [
            (str(name), *(f"{value:.3f}" for value in row))
            for name, row in zip(means.index, means.to_numpy(), strict=True)
        ],
        ("method", "in the centre", "deletion", "insertion", "weights shuffled"),
    )
    print("in the centre: of what speaks for tumour; evenly spread 0.111")
    print("deletion, insertion: against squares in random order; above 0 it finds what the network needs")
    print("weights shuffled: likeness to explanations of networks that have learned nothing; the less the better")
    silent = table.loc[table["deletion_gain"].isna()].groupby("method", sort=False)["id"].count()
    for name, count in silent.items():
        print(f"{name} says nothing of {count} of them; its figures are of the others")
