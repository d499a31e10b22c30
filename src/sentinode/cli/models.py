"""List networks and pretrained weights with their parameters and floating-point operations."""

import argparse
from typing import Any

from sentinode.cli.common.options import add_json
from sentinode.cli.common.output import print_json, print_table
from sentinode.cli.common.start import start_keras
from sentinode.errors import plural
from sentinode.models.build import MODELS
from sentinode.samples import DEFAULT_MODEL, PRETRAINED


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("models", help="list networks and pretrained weights", description=__doc__)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Build all networks and print their sizes."""
    start_keras()
    from sentinode.models.build import build_model
    from sentinode.models.flops import flops
    from sentinode.training.load import load_run

    networks = []
    for name, entry in MODELS.items():
        for options in entry.sizes:
            model = build_model(name, **options)
            size = {"parameters": model.count_params(), "gflop_per_patch": flops(model) / 1e9}
            networks.append({"model": name, "options": dict(options), **size, "summary": entry.summary})
    pretrained = []
    for name in PRETRAINED:
        loaded = load_run(name)
        size = {"parameters": loaded.model.count_params(), "gflop_per_patch": flops(loaded.model) / 1e9}
        summary = f"trained on {plural(loaded.provenance.patches, 'patch')}; card: {loaded.path / 'README.md'}"
        pretrained.append({"model": name, **size, "default": name == DEFAULT_MODEL, "summary": summary})
    if arguments.json:
        print_json({"models": networks, "pretrained": pretrained})
        return
    header = ("model", "parameters", "GFLOP/patch", "description")
    print("networks (sentinode train DATA --model NAME)")
    print_table([_row(network) for network in networks], header=header, text_columns=(0, 3))
    print("\npretrained weights (--model NAME in every command)")
    print_table([_row(weights) for weights in pretrained], header=header, text_columns=(0, 3))
    print("\nGFLOP: multiplications and additions of convolutions and dense layers in a forward pass")


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    options = [f"{key}={value}" for key, value in entry.get("options", {}).items()]
    name = " ".join([entry["model"], *options]) + (" (default)" if entry.get("default") else "")
    return name, f"{entry['parameters']:,}", f"{entry['gflop_per_patch']:.3f}", entry["summary"]
