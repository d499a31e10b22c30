"""Write what a network makes of patches before its last layer: the features of each, as a .npz file."""

import argparse
import time
from pathlib import Path
from typing import Any

from sentinode.cli.shared import (
    add_json,
    add_model,
    add_resize,
    command_line,
    output_file,
    print_json,
    print_next_steps,
    start_keras,
)
from sentinode.errors import ConfigError


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "embed", help="write what a network makes of patches before its last layer", description=__doc__
    )
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="an image, a folder, a glob, a PCam _x.h5 or a zip")
    add_model(parser)
    parser.add_argument(
        "--out",
        type=output_file,
        required=True,
        metavar="NPZ",
        help="the file to write: features, id, label, split, slide, sha1",
    )
    parser.add_argument("--split", metavar="NAME", help="embed one split of the source only")
    add_resize(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Embed, and say where the file is."""
    from sentinode.data.open import open_sources

    out = Path(arguments.out)
    if out.suffix != ".npz":
        raise ConfigError(f"--out {out}: features are written as .npz; give the file that ending")
    patches = open_sources(arguments.source, resize=arguments.resize)
    if arguments.split is not None:
        patches = patches.split(arguments.split)
    if not arguments.json:
        print(patches.describe())
    start_keras()
    from sentinode.inference.features import write_features
    from sentinode.inference.predictions import made_by_path
    from sentinode.training.load import load_run

    loaded = load_run(arguments.model)
    if not arguments.json:
        print(f"model: {loaded.describe()}")
    started = time.perf_counter()
    about = write_features(loaded, patches, out)
    seconds = time.perf_counter() - started
    if arguments.json:
        print_json({"out": str(out), "seconds": round(seconds, 2), **about})
        return
    print(
        f"{about['features']} features of each of {len(patches):,} patches; {seconds:.1f} s, "
        f"{len(patches) / seconds:,.0f} patches/s"
    )
    print_next_steps(
        {out: "features, id, label, split, slide, sha1: numpy.load reads it", made_by_path(out): "what made it"},
        command_line("train", "DATA", "--model", arguments.model, "--frozen", "--out", "runs/head"),
    )
