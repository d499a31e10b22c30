"""Look at patches, and at the cache of decoded ones."""

import argparse
import time
from pathlib import Path
from typing import Any

from sentinode.cli.shared import (
    add_cache,
    add_data,
    add_json,
    look_at,
    open_and_tell,
    print_json,
    print_table,
)
from sentinode.errors import ConfigError

SHEET_PATCHES = 36


def add_parser(commands: Any) -> None:
    """Add the command and its two sub-commands."""
    parser = commands.add_parser(
        "data", help="look at patches before you train on them; manage the cache", description=__doc__
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    info = verbs.add_parser(
        "info",
        help="what it is, counts, statistics, copies, blanks",
        description="Look at patches before you train on them.",
    )
    add_data(info)
    info.add_argument("--sheet", metavar="PNG", help="draw patches of every class into a picture")
    add_json(info)
    info.set_defaults(run=run_info)
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


def run_info(arguments: argparse.Namespace) -> None:
    """Inspect, and show what was found."""
    from sentinode.data.inspection import examples, inspect_patches

    if arguments.sheet and Path(arguments.sheet).suffix.lower() != ".png":
        raise ConfigError(f"--sheet {arguments.sheet}: a png is drawn; give the name the ending .png")
    patches = open_and_tell(arguments.data, arguments.fit, quiet=arguments.json)
    patches = patches.cached(arguments.cache)
    found = inspect_patches(patches)
    if arguments.json:
        print_json({"path": patches.path, "kind": patches.kind, "notes": patches.notes, **found.to_json()})
    else:
        _show(found)
    if arguments.sheet:
        from sentinode.plots.sheet import draw_sheet

        groups = [
            (f"{name}: {len(rows)} of {count:,}", name, patches.read(rows))
            for name, count, rows in examples(patches, SHEET_PATCHES)
        ]
        draw_sheet(groups, Path(arguments.sheet), title=patches.path)
        if not arguments.json:
            look_at(
                {Path(arguments.sheet): "patches of every class"},
                f"sentinode train {arguments.data} --model cnn --out runs/first",
            )


def _show(found: Any) -> None:
    counts = found.counts
    print_table(
        [(str(split), *(f"{n:,}" for n in row)) for split, row in zip(counts.index, counts.to_numpy(), strict=True)],
        header=("split", *counts.columns),
    )
    statistics = found.statistics
    print("grey levels, mean ± standard deviation")
    rows = []
    for split, row in statistics.iterrows():
        rows.append(
            (
                str(split),
                *(f"{row[f'mean_{c}']:.1f} ± {row[f'sd_{c}']:.1f}" for c in ("red", "green", "blue")),
            )
        )
    print_table(rows, header=("split", "red", "green", "blue"))
    within = ", ".join(f"{split} {n:,}" for split, n in found.surplus_within.items()) or "none"
    print(f"exact copies of another patch within a split: {within}")
    print(
        f"patches that are in more than one split: {found.shared_across:,}"
        + (" – the splits leak" if found.shared_across else "")
    )
    if found.contradicting:
        print(f"patches with both labels: {found.contradicting:,}")
    shown = ", ".join(found.near_blank[:5]) + (", …" if len(found.near_blank) > 5 else "")
    print(f"near-blank patches: {len(found.near_blank):,}" + (f" ({shown})" if found.near_blank else ""))


def run_cache(arguments: argparse.Namespace) -> None:
    """List or clear."""
    from sentinode.data.cache import cache_folder, clear_cache, list_cache
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
