"""Give patches back their slide and position from a set that has the same patches, such as PCam's HDF5 files."""

import argparse
import re
from pathlib import Path
from typing import Any

from sentinode.cli.shared import (
    add_data,
    add_json,
    command_line,
    open_data,
    output_file,
    print_json,
    print_next_steps,
    print_table,
    red,
    report_skipped,
)
from sentinode.errors import ConfigError

WORDS = {
    "hash": "the same pixels",
    "likeness": "alike but for compression or orientation, with no second choice",
    "number": "no second choice among pixels by the row number in the file name",
    "ambiguous": "several choices: they get what all of these agree on",
    "none": "not in the reference",
}


def add_parser(verbs: Any) -> None:
    """Add the command."""
    parser = verbs.add_parser("join", help="give patches their slides back", description=__doc__)
    add_data(parser)
    parser.add_argument(
        "--with",
        dest="reference",
        nargs="+",
        required=True,
        metavar="REFERENCE",
        help="a folder of PCam's HDF5 files with their meta csv, its _x.h5 files, or a table with slides",
    )
    parser.add_argument(
        "--out",
        type=output_file,
        required=True,
        metavar="CSV",
        help="the table to write; every command reads it as DATA",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Join, say how, and write."""
    from dataclasses import replace

    from sentinode.data.concat import concat
    from sentinode.data.duplicates.provenance import KNOWN, match_provenance
    from sentinode.data.open import open_each
    from sentinode.data.tables import write_patch_table

    out = Path(arguments.out)
    if out.suffix.lower() != ".csv":
        raise ConfigError(f"--out {out}: a table is written; give the name the ending .csv")
    patches = open_data(arguments, quiet=arguments.json).cached(arguments.cache)
    parts = [part.cached(arguments.cache) for part in open_each(_x_files(arguments.reference))]
    reference = parts[0] if len(parts) == 1 else concat(parts)
    found = match_provenance(patches, reference)
    table = patches.table.assign(
        **{name: found.table[name].where(found.table[name].notna(), patches.table[name]) for name in KNOWN}
    )
    write_patch_table(
        replace(patches, table=table),
        arguments.data,
        out,
        match=found.table["match"].to_numpy(),
        reference=found.table["reference"].to_numpy(),
    )
    skipped = [vars(each) for each in patches.skipped]
    slides = int(table["slide"].notna().sum())
    if arguments.json:
        print_json(
            {
                "table": str(out),
                "patches": len(patches),
                "matches": found.counts,
                "with_slide": slides,
                "slides": int(table["slide"].nunique()),
                "other_labels_in_reference": found.differing_labels,
                **({"skipped": skipped} if skipped else {}),
            }
        )
        return report_skipped(skipped, quiet=True)
    print(f"reference {reference.describe()}")
    print_table([(name, f"{count:,}", WORDS[name]) for name, count in found.counts.items()], text_columns=(0, 2))
    print(f"{slides:,} of {len(patches):,} patches have a slide now, {table['slide'].nunique():,} slides in all")
    if found.differing_labels:
        print(red(f"{found.differing_labels:,} joined patches have another label in the reference"))
    print_next_steps(
        {out: "the patches with what is known of them"}, command_line("data", "split", out, "--out", "splits.csv")
    )
    return report_skipped(skipped)


def _x_files(named: list[str]) -> list[str]:
    """Return the sources among what was named: labels and a meta csv beside an ``_x.h5`` are read with it."""
    if not any(re.search(r"_x\.h5(\.gz)?$", name) for name in named):
        return named
    return [name for name in named if not re.search(r"_y\.h5(\.gz)?$|_meta\.csv$", name)]
