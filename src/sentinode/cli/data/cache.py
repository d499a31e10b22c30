"""List or clear the cache: decoded patches, and models exported for an inference engine."""

import argparse
import time
from typing import Any

from sentinode.cli.common.options import add_cache, add_json
from sentinode.cli.common.output import print_json, print_table
from sentinode.errors import plural


def add_parser(verbs: Any) -> None:
    """Add the command."""
    parser = verbs.add_parser("cache", help="list or clear the cache", description=__doc__)
    add_cache(parser)
    parser.add_argument("--list", action="store_true", help="list the entries (the default)")
    parser.add_argument("--clear", action="store_true", help="delete all entries")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """List or clear the cache."""
    from sentinode.data.cache.store import cache_folder, clear_cache, list_cache

    folder = cache_folder(arguments.cache)
    if arguments.clear:
        freed = clear_cache(arguments.cache)
        if arguments.json:
            print_json({"folder": str(folder), "freed_bytes": freed})
        else:
            print(f"{folder}: {freed / 1e6:,.0f} MB freed")
        return
    entries = list_cache(arguments.cache)
    if arguments.json:
        content = [{**vars(entry), "path": str(entry.path)} for entry in entries]
        print_json({"folder": str(folder), "entries": content})
        return
    print(f"{folder}: {plural(len(entries), 'entry')}, {sum(entry.size_bytes for entry in entries) / 1e6:,.0f} MB")
    rows = []
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
        patches = f"{entry.patches:,}" if entry.kind == "patches" else ""
        rows.append((entry.kind, entry.source, patches, f"{entry.size_bytes / 1e6:,.0f} MB", used))
    if rows:
        print_table(rows, ("kind", "source", "patches", "size", "last used"), (0, 1))
