"""Download the official files of a data set; continue interrupted downloads, verify and unpack them."""

import argparse
from pathlib import Path
from typing import Any

from sentinode.cli.common.options import add_json, output_folder
from sentinode.cli.common.output import command_line, print_json, print_next_steps


def add_parser(verbs: Any) -> None:
    """Add the command."""
    parser = verbs.add_parser("fetch", help="download and verify PatchCamelyon's official files", description=__doc__)
    parser.add_argument(
        "name", metavar="NAME", choices=("pcam",), help="data set: pcam (PatchCamelyon; 8 GB, unpacked 9 GB)"
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        metavar="DIR",
        help="folder for the files; other commands accept it as DATA",
    )
    parser.add_argument(
        "--split",
        action="append",
        choices=("train", "valid", "test"),
        help="download only this split (train 6.4 GB, valid and test 0.8 GB each); may be repeated",
    )
    parser.add_argument("--mirror", metavar="URL", help="another server with the same files (default: Zenodo)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Download the files and list them."""
    from sentinode.data.download.catalogue import CATALOGUES
    from sentinode.data.download.fetch import fetch

    catalogue = CATALOGUES[arguments.name]
    files = [
        file
        for split, each in catalogue.files.items()
        if split in (arguments.split or catalogue.files)
        for file in each
    ]
    paths = fetch(files, arguments.mirror or catalogue.url, arguments.out)
    if arguments.json:
        print_json({"files": [str(path) for path in paths]})
        return
    print_next_steps(
        {path: f"{path.stat().st_size / 1e6:,.1f} MB, verified" for path in paths},
        command_line("data", "info", Path(arguments.out)),
    )
