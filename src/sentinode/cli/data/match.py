"""Find the slides and positions of patches in a reference set with the same patches, such as PCam's HDF5 files.

Patches are matched by their pixels; recompressed, rotated and mirrored patches are found too.
"""

import argparse
import re
from pathlib import Path
from typing import Any

from sentinode.cli.common.options import add_data, add_json, check_not_an_input, check_table_out, output_file
from sentinode.cli.common.output import command_line, print_json, print_next_steps, print_table, red, report_skipped
from sentinode.cli.common.start import open_data
from sentinode.errors import plural

MEANINGS = {
    "sha1": "identical pixels",
    "near_duplicate": "one near duplicate in the reference",
    "row_number": "row number in the file name, used when the pixels match several candidates",
    "ambiguous": "several candidates; only values that they share are used",
    "none": "not in the reference",
}


def add_parser(verbs: Any) -> None:
    """Add the command."""
    parser = verbs.add_parser("match", help="find slides and positions in a reference set", description=__doc__)
    add_data(parser)
    parser.add_argument(
        "--reference",
        nargs="+",
        required=True,
        metavar="DATA",
        help="folder with PCam's HDF5 files and meta csv, PCam _x.h5 files, or a patch table with slides",
    )
    parser.add_argument(
        "--out", type=output_file, required=True, metavar="CSV", help="table to write; every command accepts it as DATA"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Match, write the table, and report the kinds of matches."""
    from dataclasses import replace

    from sentinode.data.concat import concat
    from sentinode.data.duplicates.provenance import PROVENANCE_COLUMNS, match_provenance
    from sentinode.data.open import open_each
    from sentinode.data.tables import write_patch_table

    out = Path(arguments.out)
    check_table_out(out, arguments)
    check_not_an_input(out, arguments.reference)
    patches = open_data(arguments, quiet=arguments.json).cached(arguments.cache)
    parts = [part.cached(arguments.cache) for part in open_each(_without_companions(arguments.reference))]
    reference = parts[0] if len(parts) == 1 else concat(parts)
    found = match_provenance(patches, reference)
    table = patches.table.assign(**{name: found.table[name].fillna(patches.table[name]) for name in PROVENANCE_COLUMNS})
    write_patch_table(
        replace(patches, table=table),
        arguments.data,
        out,
        match=found.table["match"].to_numpy(),
        reference=found.table["reference"].to_numpy(),
    )
    skipped = [vars(each) for each in patches.skipped]
    with_slide = int(table["slide"].notna().sum())
    if arguments.json:
        print_json(
            {
                "table": str(out),
                "patches": len(patches),
                "matches": found.counts,
                "with_slide": with_slide,
                "slides": int(table["slide"].nunique()),
                "different_labels": found.different_labels,
                **patches.skipped_json(),
            }
        )
        return report_skipped(skipped, quiet=True)
    print(f"reference {reference.describe()}")
    rows = [(name, f"{count:,}", MEANINGS[name]) for name, count in found.counts.items()]
    print_table(rows, header=("match", "patches", "meaning"), text_columns=(0, 2))
    print(f"patches with a slide: {with_slide:,} of {len(patches):,}; {plural(table['slide'].nunique(), 'slide')}")
    if found.different_labels:
        print(red(f"WARNING: the labels of {found.different_labels:,} matched patches differ in the reference"))
    print_next_steps(
        {out: "the patches with slides and positions"}, command_line("data", "split", out, "--out", "splits.csv")
    )
    return report_skipped(skipped)


def _without_companions(paths: list[str]) -> list[str]:
    """Leave out label files and meta csv files, which are read together with their ``_x.h5``."""
    if not any(re.search(r"_x\.h5(\.gz)?$", path) for path in paths):
        return paths
    return [path for path in paths if not re.search(r"_y\.h5(\.gz)?$|_meta\.csv$", path)]
