"""Check the installation: packages, backend, devices, cache folder, and what is missing."""

import argparse
from dataclasses import asdict
from typing import Any

from sentinode.cli.common.options import add_json
from sentinode.cli.common.output import print_json


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor", help="check the installation: packages, backend, devices, cache", description=__doc__
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the diagnosis; return 1 when the backend does not start."""
    from sentinode.doctor import diagnose

    diagnosis = diagnose()
    if arguments.json:
        print_json(asdict(diagnosis))
    else:
        print(diagnosis.to_text())
    return 0 if diagnosis.backend_works else 1
