"""Say what is installed, which backend and accelerator will be used, what is missing and how to get it."""

import argparse
from typing import Any

from sentinode.cli.shared import add_json, print_json


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor", help="what is installed, which backend and accelerator will be used", description=__doc__
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine, and show the findings; fails when the backend does not start."""
    from sentinode.doctor import examine

    report = examine()
    if arguments.json:
        print_json(report.to_json())
    else:
        print(report.to_text())
    return 0 if report.backend_works else 1
