"""Compute attribution maps of patches, and check how far they can be trusted."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.cli.common.options import (
    KERAS_FILES,
    add_data,
    add_figures,
    add_json,
    add_model,
    data_words,
    output_folder,
)
from sentinode.cli.common.output import command_line, print_json, print_next_steps, print_table, report_skipped
from sentinode.cli.common.start import load_models, open_data, start_keras
from sentinode.errors import plural
from sentinode.output_paths import check_output_folder

if TYPE_CHECKING:
    import pandas as pd

FILES = {
    "explanations.png": "each patch with its attribution overlays: orange raises P(tumour), blue lowers it",
    "explanations.csv": "the checks, one row per patch and method",
    **{f"deletion_curves.{ending}": "deletion and insertion curves" for ending in ("png", "svg", "pdf")},
    "neighbors.png": "each patch with the nearest training patches in feature space",
    "first_layer.png": "kernels of the first layer, and their responses",
}


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("explain", help="attribution maps of patches, with checks", description=__doc__)
    add_data(parser)
    add_model(parser, KERAS_FILES)
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="split of the patches to explain (default: test if it is labeled, otherwise valid)",
    )
    parser.add_argument(
        "--patch",
        action="append",
        default=[],
        metavar="ID",
        help="id of a patch to explain, as in predictions.csv; may be repeated (default: eight patches, the most "
        "confident errors and the least confident predictions)",
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME",
        help="grad-cam, grad-cam++, integrated-gradients or occlusion; may be repeated (default: all that the network "
        "supports)",
    )
    parser.add_argument(
        "--out", type=output_folder, metavar="DIR", help="folder for the results (default: RUN/explanations)"
    )
    add_figures(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Explain, write figures and tables, and print the checks."""
    model = load_models(arguments)
    folder = Path(arguments.out or (model.results_folder or Path.cwd()) / "explanations")
    check_output_folder(folder)
    patches = open_data(arguments, quiet=arguments.json)
    start_keras()
    from sentinode.explanation.explain import explain

    found = explain(
        model,
        patches,
        arguments.split,
        ids=arguments.patch,
        methods=arguments.method,
        cache=arguments.cache,
    )
    found.write(folder, arguments.figures)
    if arguments.json:
        # Undefined values become null.
        rows = found.table.astype(object).where(found.table.notna(), None).to_dict("records")
        near = {} if found.neighbors is None else {"neighbors": found.neighbors.table.to_dict("records")}
        skipped = {"skipped": found.skipped} if found.skipped else {}
        print_json({"folder": str(folder), "explanations": rows, **near, **skipped})
        return report_skipped(found.skipped, quiet=True)
    print_checks(found.table, found.summary())
    print_next_steps(
        {folder / name: description for name, description in FILES.items() if (folder / name).is_file()},
        command_line("report", arguments.model, *data_words(arguments)),
    )
    return report_skipped(found.skipped)


def print_checks(table: "pd.DataFrame", means: "pd.DataFrame") -> None:
    """Print the mean of each check by method, and what it means."""
    count = table["id"].nunique()
    print(f"checks of the attribution maps of {plural(count, 'patch')}, means")
    print_table(
        [
            (str(method), *("–" if value != value else f"{value:.3f}" for value in row))
            for method, row in zip(means.index, means.to_numpy(), strict=True)
        ],
        ("method", "central share", "deletion", "insertion", "randomized"),
    )
    print("central share: positive attribution in the central 32 × 32 px; 0.111 for a uniform map")
    print("deletion, insertion: change of P(tumour) relative to a random order; above 0, the map finds relevant pixels")
    print("randomized: correlation with the maps of networks with randomized weights; low is good")
    constant = table.loc[table["deletion_gain"].isna()].groupby("method", sort=False)["id"].count()
    for method, count in constant.items():
        print(f"{method}: constant maps, excluded from the means: {plural(count, 'patch')}")
