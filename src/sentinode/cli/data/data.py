"""Inspect, split, match, normalize and download patches, and manage the cache."""

from typing import Any

from sentinode.cli.data import cache, fetch, info, match, normalize, split


def add_parser(commands: Any) -> None:
    """Add the command and its subcommands."""
    parser = commands.add_parser(
        "data", help="inspect, split, match, normalize and download patches; manage the cache", description=__doc__
    )
    parser.set_defaults(run=lambda arguments: parser.print_help())
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in (info, split, match, normalize, fetch, cache):
        command.add_parser(verbs)
