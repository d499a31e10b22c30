"""Look at patches, divide, join, normalise and fetch them; manage the cache of decoded ones."""

import argparse
import time
from typing import Any

from sentinode.cli import data_fetch, data_info, data_join, data_normalise, data_split
from sentinode.cli.shared import add_cache, add_json, print_json, print_table


def add_parser(commands: Any) -> None:
    """Add the command and its verbs."""
    parser = commands.add_parser(
        "data", help="look at patches, divide, join, normalise and fetch them; manage the cache", description=__doc__
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    data_info.add_parser(verbs)
    data_split.add_parser(verbs)
    data_join.add_parser(verbs)
    data_normalise.add_parser(verbs)
    data_fetch.add_parser(verbs)
    cache = verbs.add_parser(
        "cache",
        help="list or clear decoded patches",
        description="List or clear what is kept: decoded patches, and runs that were exported for an engine.",
    )
    add_cache(cache)
    cache.add_argument("--list", action="store_true", help="list the entries (the default)")
    cache.add_argument("--clear", action="store_true", help="delete all entries")
    add_json(cache)
    cache.set_defaults(run=run_cache)


def run_cache(arguments: argparse.Namespace) -> None:
    """List or clear."""
    from sentinode.data.cache.store import cache_folder, clear_cache, list_cache
    from sentinode.export.cached import clear_exports, exports_folder, list_exports

    folder = cache_folder(arguments.cache)
    if arguments.clear:
        # Exports have one place, whatever folder of patches is named.
        freed = clear_cache(arguments.cache) + (0 if arguments.cache else clear_exports())
        if arguments.json:
            print_json({"folder": str(folder), "freed_bytes": freed})
        else:
            print(f"{folder}: {freed / 1e6:,.0f} MB freed")
        return
    entries, exports = list_cache(arguments.cache), [] if arguments.cache else list_exports()
    if arguments.json:
        exported = [{"folder": str(place), "size_bytes": size_bytes} for place, size_bytes in exports]
        print_json({"folder": str(folder), "entries": [vars(entry) for entry in entries], "exports": exported})
        return
    print(f"{folder}: {len(entries)} entries, {sum(entry.size_bytes for entry in entries) / 1e6:,.0f} MB")
    rows = []
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
        rows.append((entry.source, f"{entry.patches:,}", f"{entry.size_bytes / 1e6:,.0f} MB", used))
    if rows:
        print_table(rows, header=("source", "patches", "size", "last used"))
    if exports:
        size = sum(size_bytes for _, size_bytes in exports)
        print(f"{exports_folder()}: {len(exports)} exported for an engine, {size / 1e6:,.0f} MB")
