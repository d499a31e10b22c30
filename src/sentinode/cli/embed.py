"""Write the features (embeddings) of patches: the inputs of the last layer of a network."""

import argparse
import time
from pathlib import Path
from typing import Any

from sentinode.cli.common.options import (
    KERAS_FILES,
    add_json,
    add_model,
    add_read_options,
    check_not_an_input,
    output_file,
    read_options,
)
from sentinode.cli.common.output import command_line, print_json, print_next_steps
from sentinode.cli.common.start import load_models, start_keras
from sentinode.cli.predict import SOURCE_HELP
from sentinode.errors import plural
from sentinode.output_paths import check_ending


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("embed", help="write the features (embeddings) of patches", description=__doc__)
    parser.add_argument("source", nargs="+", metavar="SOURCE", help=SOURCE_HELP)
    add_model(parser, KERAS_FILES)
    parser.add_argument(
        "--out",
        type=output_file,
        required=True,
        metavar="NPZ",
        help="the file to write: features, id, label, split, slide, sha1",
    )
    parser.add_argument("--split", metavar="NAME", help="embed only this split")
    add_read_options(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Compute the features and write the file."""
    from sentinode.data.open import open_sources

    out = Path(arguments.out)
    check_ending(out, ".npz", "--out")
    check_not_an_input(out, arguments.source)

    model = load_models(arguments)
    patches = open_sources(arguments.source, **read_options(arguments))
    if arguments.split is not None:
        patches = patches.split(arguments.split)
    if not arguments.json:
        print(patches.describe())
    start_keras()
    from sentinode.inference.features import write_features
    from sentinode.inference.predictions import made_by_path

    if not arguments.json:
        print(f"model: {model.describe()}")
    started = time.perf_counter()
    about = write_features(model, patches, out)
    seconds = time.perf_counter() - started
    if arguments.json:
        print_json({"out": str(out), "seconds": round(seconds, 2), **about})
        return
    print(
        f"{about['features']} features for each of {plural(len(patches), 'patch')} in {seconds:.1f} s "
        f"({len(patches) / seconds:,.0f} patches/s)"
    )
    print_next_steps(
        {out: "features, id, label, split, slide, sha1; numpy.load reads it", made_by_path(out): "model and data"},
        command_line("train", "DATA", "--model", arguments.model, "--linear-probe", "--out", "runs/probe"),
    )
