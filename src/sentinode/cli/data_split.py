"""Make splits that share no slide, no patient and no copy of a patch."""

import argparse
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

VALID, TEST = 0.1, 0.2


def add_parser(verbs: Any) -> None:
    """Add the command."""
    parser = verbs.add_parser("split", help="train, valid and test, or folds, that do not leak", description=__doc__)
    add_data(parser)
    parser.add_argument(
        "--out",
        type=output_file,
        required=True,
        metavar="CSV",
        help="the table to write; every command reads it as DATA",
    )
    parser.add_argument("--split", metavar="NAME", help="split_patches this split only, and leave the others out")
    parser.add_argument("--valid", type=float, metavar="SHARE", help="of the validation part (default: 0.1)")
    parser.add_argument("--test", type=float, metavar="SHARE", help="of the test part, 0 for none (default: 0.2)")
    parser.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="K folds instead, as K tables CSV-1 … CSV-K, each with another fold as valid",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Divide, say what was kept together, and write."""
    from sentinode.data.duplicates.identity import check_unaltered
    from sentinode.data.splitting.split import fold, folds, split_patches
    from sentinode.data.tables import write_patch_table

    out = Path(arguments.out)
    if arguments.folds is not None and (arguments.valid, arguments.test) != (None, None):
        raise ConfigError("--folds makes equal parts: leave --valid and --test out, or --folds")
    if out.suffix.lower() != ".csv":
        raise ConfigError(f"--out {out}: a table is written; give the name the ending .csv")
    opened = open_data(arguments, quiet=arguments.json)
    patches = (opened.split(arguments.split) if arguments.split else opened).cached(arguments.cache)
    check_unaltered(patches)
    if arguments.folds is not None:
        division = folds(patches, arguments.folds, arguments.seed)
        number = division.patches.table["split"]
        tables = {
            out.with_name(f"{out.stem}-{each}.csv"): (fold(division, each), f"fold {each} as valid")
            for each in range(1, arguments.folds + 1)
        }
        for path, (each, _) in tables.items():
            write_patch_table(each, arguments.data, path, fold=number)
    else:
        valid, test = (arguments.valid, VALID)[arguments.valid is None], (arguments.test, TEST)[arguments.test is None]
        parts = {"train": 1 - valid - test, "valid": valid} | ({"test": test} if test else {})
        division = split_patches(patches, parts, arguments.seed)
        tables = {out: (division.patches, "which patch is in which split")}
        write_patch_table(division.patches, arguments.data, out)
    counts, skipped = division.patches.counts(), [vars(each) for each in patches.skipped]
    counts = counts.loc[sorted(counts.index, key=_order)]
    if arguments.json:
        print_json(
            {
                "tables": [str(path) for path in tables],
                "kept_together": division.by,
                "groups": int(division.groups.max()) + 1,
                "without_slide_or_patient": division.unknown,
                "near_copies": division.alike,
                "counts": counts.to_dict(orient="index"),
                **({"skipped": skipped} if skipped else {}),
            }
        )
        return report_skipped(skipped, quiet=True)
    print_table(
        [(str(name), *(f"{n:,}" for n in row)) for name, row in zip(counts.index, counts.to_numpy(), strict=True)],
        header=("fold" if arguments.folds else "split", *counts.columns),
    )
    print(f"kept together: {', '.join(division.by)}; {int(division.groups.max()) + 1:,} groups")
    _warn(division)
    print_next_steps(
        {path: what for path, (_, what) in tables.items()},
        command_line("train", next(iter(tables)), "--model", "cnn", "--out", "runs/first"),
    )
    return report_skipped(skipped)


def _warn(division: Any) -> None:
    """Say loudly what these splits cannot promise."""
    if not division.unknown:
        return
    count = f"{division.unknown:,} of {len(division.patches):,} patches"
    print(red(f"WARNING: slide and patient of {count} are not known, so patches of one slide can be on both sides:"))
    print(red("results on these splits will flatter. Only exact and near copies were kept together."))
    print("If they come from PCam, sentinode data join gives them their slides back.")


def _order(name: str) -> tuple[int, str]:
    usual = ("train", "valid", "test")
    return (usual.index(name) if name in usual else 3, name.rjust(4, "0"))
