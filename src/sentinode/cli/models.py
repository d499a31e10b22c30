"""Show all networks: their parameters, their work for a patch, and what they are."""

import argparse
from typing import Any

from sentinode.cli.shared import add_json, print_json, print_table, start_keras
from sentinode.models.build import MODELS


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("models", help="all networks: parameters, GFLOP a patch", description=__doc__)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Build each network, and count."""
    start_keras()
    from sentinode.models.build import build_model
    from sentinode.models.flops import flops

    found = []
    for name, entry in MODELS.items():
        for options in entry.sizes:
            model = build_model(name, **options)
            counts = {"parameters": model.count_params(), "gflop_a_patch": flops(model) / 1e9}
            found.append({"model": name, "options": dict(options), **counts, "summary": entry.summary})
    if arguments.json:
        print_json({"models": found})
        return
    rows = [
        (
            " ".join([each["model"], *(f"{key}={value}" for key, value in each["options"].items())]),
            f"{each['parameters']:,}",
            f"{each['gflop_a_patch']:.3f}",
            each["summary"],
        )
        for each in found
    ]
    print_table(rows, header=("model", "parameters", "GFLOP a patch", "what it is"), text_columns=(0, 3))
    print("GFLOP: multiplications and additions of convolutions and dense layers, forward")
