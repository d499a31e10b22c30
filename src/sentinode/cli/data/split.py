"""Split patches into train, valid and test sets or into folds, without leakage between them.

Patches of one slide or patient, exact duplicates and near duplicates stay together.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.cli.common.options import add_data, add_json, check_table_out, output_file
from sentinode.cli.common.output import command_line, print_json, print_next_steps, print_table, red, report_skipped
from sentinode.cli.common.start import open_data
from sentinode.errors import ConfigError, plural

if TYPE_CHECKING:
    from sentinode.data.splitting.split import Split

VALID, TEST = 0.1, 0.2


def add_parser(verbs: Any) -> None:
    """Add the command."""
    parser = verbs.add_parser("split", help="make splits or folds that share no slide or patient", description=__doc__)
    add_data(parser)
    parser.add_argument(
        "--out", type=output_file, required=True, metavar="CSV", help="table to write; every command accepts it as DATA"
    )
    parser.add_argument("--split", metavar="NAME", help="use the patches of this split only (default: all)")
    parser.add_argument("--valid", type=float, metavar="FRACTION", help=f"validation fraction (default: {VALID})")
    parser.add_argument(
        "--test", type=float, metavar="FRACTION", help=f"test fraction; 0: no test split (default: {TEST})"
    )
    parser.add_argument(
        "--folds", type=int, metavar="K", help="write K tables CSV-1 … CSV-K, each with a different fold as valid"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed of the split (default: 0)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Split, write the tables, and report the sizes of the splits."""
    from sentinode.data.duplicates.hashes import require_matching_hashes
    from sentinode.data.splitting.split import check_fractions, split_folds, split_patches
    from sentinode.data.tables import write_patch_table

    out = Path(arguments.out)
    if arguments.folds is not None and (arguments.valid, arguments.test) != (None, None):
        raise ConfigError("--folds makes folds of equal size; leave out either --folds, or --valid and --test")
    tables = {out: "the split of each patch"}
    if arguments.folds is not None:
        tables = {out.with_name(f"{out.stem}-{n}.csv"): f"fold {n} as valid" for n in range(1, arguments.folds + 1)}
    for path in (out, *tables):
        check_table_out(path, arguments)
    valid, test = (arguments.valid, VALID)[arguments.valid is None], (arguments.test, TEST)[arguments.test is None]
    fractions = {"train": 1 - valid - test, "valid": valid} | ({"test": test} if test else {})
    if arguments.folds is None:
        check_fractions(fractions)
    opened = open_data(arguments, quiet=arguments.json)
    patches = (opened.split(arguments.split) if arguments.split else opened).cached(arguments.cache)
    require_matching_hashes(patches)
    if arguments.folds is not None:
        split = split_folds(patches, arguments.folds, arguments.seed)
        for number, path in enumerate(tables, 1):
            write_patch_table(split.fold(number), arguments.data, path, fold=split.patches.table["split"])
    else:
        split = split_patches(patches, fractions, arguments.seed)
        write_patch_table(split.patches, arguments.data, out)
    counts, skipped = split.patches.counts(), [vars(each) for each in patches.skipped]
    counts = counts.loc[sorted(counts.index, key=_order)]
    if arguments.json:
        print_json(
            {
                "tables": [str(path) for path in tables],
                "grouped_by": split.grouped_by,
                "groups": int(split.groups.max()) + 1,
                "without_slide_or_patient": split.ungrouped,
                "near_duplicate_pairs": split.near_duplicates,
                "counts": counts.to_dict(orient="index"),
                **patches.skipped_json(),
            }
        )
        return report_skipped(skipped, quiet=True)
    print_table(
        [(str(name), *(f"{n:,}" for n in row)) for name, row in zip(counts.index, counts.to_numpy(), strict=True)],
        header=("fold" if arguments.folds else "split", *counts.columns),
    )
    print(f"grouped by {', '.join(split.grouped_by)}: {int(split.groups.max()) + 1:,} groups")
    warn_of_missing_slides(split)
    print_next_steps(tables, command_line("train", next(iter(tables)), "--model", "cnn", "--out", "runs/first"))
    return report_skipped(skipped)


def warn_of_missing_slides(split: "Split") -> None:
    """Print a warning if the slides of some patches are unknown."""
    if split.ungrouped:
        count = f"{split.ungrouped:,} of {plural(len(split.patches), 'patch')}"
        print(red(f"WARNING: the slide and patient of {count} are unknown, so splits may share slides."))
        print(red("Results on these splits have an optimistic bias. Only duplicates were kept together."))
        print("For patches from PCam, sentinode data match finds the slides.")


def _order(name: str) -> tuple[int, str]:
    first = ("train", "valid", "test")
    return (first.index(name) if name in first else 3, name.rjust(4, "0"))
