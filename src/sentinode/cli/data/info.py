"""Inspect patches before training: counts, gray levels, duplicates, leaks between splits, damaged files.

Ends with exit status 1 if splits share slides, patients or duplicates, or if files do not match the hash in their name.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.cli.common.options import (
    DATA_HELP,
    add_cache,
    add_json,
    add_read_options,
    add_skip_bad,
    add_table,
    check_not_an_input,
    data_words,
    output_file,
    read_options,
)
from sentinode.cli.common.output import command_line, print_json, print_next_steps, print_table, red, report_skipped
from sentinode.errors import ConfigError, DataError, plural
from sentinode.output_paths import check_ending

if TYPE_CHECKING:
    from sentinode.data.patchset import PatchSet
    from sentinode.data.quality.inspection import Inspection, Quality

SHEET_PATCHES = 36
SHOWN_LEAKS = 10
SHOWN_IDS = 5


def add_parser(verbs: Any) -> None:
    """Add the command."""
    parser = verbs.add_parser("info", help="counts, duplicates, leaks and image quality", description=__doc__)
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help=f"{DATA_HELP}; with several, patches that they share are counted too"
    )
    add_table(parser)
    add_cache(parser)
    add_read_options(parser)
    add_skip_bad(parser)
    parser.add_argument("--sheet", type=output_file, metavar="PNG", help="write a contact sheet of each class")
    parser.add_argument(
        "--page",
        type=output_file,
        metavar="HTML",
        help="also check blur, pen marks and clipping, search for near duplicates, and write a page of all results",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Inspect, print the results, and end with an error if the data must not be used for training."""
    from sentinode.data.concat import concat
    from sentinode.data.duplicates.overlap import count_shared_patches
    from sentinode.data.open import open_each, open_patches
    from sentinode.data.quality.inspection import inspect_patches

    for option, suffix in (("sheet", ".png"), ("page", ".html")):
        name = getattr(arguments, option)
        if name:
            check_ending(name, suffix, f"--{option}")
    if arguments.sheet:
        check_not_an_input(arguments.sheet, arguments.data)
    how = {**read_options(arguments), "skip_bad": arguments.skip_bad}
    if arguments.table and len(arguments.data) > 1:
        raise ConfigError("--table describes one DATA only; inspect the others separately")
    parts = (
        [open_patches(arguments.data[0], table=arguments.table, **how)]
        if arguments.table
        else open_each(arguments.data, **how)
    )
    if not arguments.json:
        for part in parts:
            print(part.describe())
    parts = [part.cached(arguments.cache) for part in parts]
    patches = parts[0] if len(parts) == 1 else concat(parts)
    inspection = inspect_patches(patches, quality=bool(arguments.page))
    if arguments.page:
        from sentinode.report.data_page import write_data_page

        write_data_page(arguments.page, patches, inspection)
    shared = count_shared_patches(parts)
    skipped = [vars(each) for each in patches.skipped]
    if arguments.json:
        source = {"path": patches.path, "kind": patches.kind, "notes": patches.notes, "skipped": skipped}
        between = {"shared_patches": shared.to_dict(orient="records")} if len(parts) > 1 else {}
        print_json({**source, **inspection.to_json(), **between})
    else:
        _print_inspection(inspection, shared)
    if arguments.sheet:
        _draw_sheet(patches, Path(arguments.sheet))
    files = {arguments.sheet: "example patches of each class", arguments.page: "all results, with pictures"}
    if any(files) and not arguments.json:
        first = argparse.Namespace(**{**vars(arguments), "data": arguments.data[0]})
        print_next_steps(
            {Path(name): text for name, text in files.items() if name},
            command_line("train", *data_words(first), "--model", "cnn", "--out", "runs/first"),
        )
    _refuse_unusable(patches, inspection)
    return report_skipped(skipped, quiet=arguments.json)


def _refuse_unusable(patches: "PatchSet", inspection: "Inspection") -> None:
    from sentinode.data.duplicates.hashes import mismatch

    if leaks := inspection.leaks:
        raise DataError(
            f"{patches.path}: splits share slides or patients ({len(leaks):,}), first "
            f"{leaks[0].column} {leaks[0].name}; make splits without leakage with sentinode data split"
        )
    exact, near = inspection.duplicates_across_splits, inspection.quality and inspection.quality.pairs_across_splits
    if exact or near:
        raise DataError(
            f"{patches.path}: splits share duplicates ({exact:,} exact, {near or 0:,} near); make splits that keep "
            "them together with sentinode data split"
        )
    if inspection.hashes.mismatched:
        raise DataError(f"{patches.path}: {mismatch(inspection.hashes.mismatched)}")


def _draw_sheet(patches: "PatchSet", path: Path) -> None:
    from sentinode.data.quality.inspection import spaced_examples
    from sentinode.plots import draw_contact_sheet, save_figure

    groups = [
        (f"{name}: {len(rows)} of {total:,}", name, patches.read(rows))
        for name, total, rows in spaced_examples(patches, SHEET_PATCHES)
    ]
    save_figure(draw_contact_sheet(groups, title=patches.path), path)


def _print_inspection(inspection: "Inspection", shared: Any) -> None:
    counts = inspection.counts
    print_table(
        [(str(split), *(f"{n:,}" for n in row)) for split, row in zip(counts.index, counts.to_numpy(), strict=True)],
        header=("split", *counts.columns),
    )
    total = int(counts.to_numpy().sum())
    for column, row in inspection.known.iterrows():
        known = (
            f"{row['values']:,}, known for {row['patches']:,} of {plural(total, 'patch')}"
            if row["patches"]
            else "unknown"
        )
        print(f"{column}s: {known}")
    print("gray levels, mean ± standard deviation")
    rows = []
    for split, row in inspection.gray_levels.iterrows():
        cells = (f"{row[f'mean_{c}']:.1f} ± {row[f'sd_{c}']:.1f}" for c in ("red", "green", "blue"))
        rows.append((str(split), *cells))
    print_table(rows, header=("split", "red", "green", "blue"))
    within = ", ".join(f"{split} {n:,}" for split, n in inspection.duplicates_within_splits.items()) or "none"
    print(f"exact duplicates within splits: {within}")
    across = inspection.duplicates_across_splits
    _print_error_if(across, f"exact duplicates across splits: {across:,}")
    if inspection.label_conflicts:
        print(f"patches with both labels: {inspection.label_conflicts:,}")
    print(f"near-blank patches: {len(inspection.near_blank):,}{_first(inspection.near_blank)}")
    if inspection.quality:
        _print_quality(inspection.quality)
    hashes = inspection.hashes
    if hashes.verified:
        print(f"files whose name is the SHA-1 of the pixels: {hashes.verified:,} verified")
    if hashes.unverifiable:
        print(f"JPEG files named by the SHA-1 of other pixels, which cannot be verified: {hashes.unverifiable:,}")
    if hashes.mismatched:
        count = len(hashes.mismatched)
        _print_error_if(count, f"files that do not match the SHA-1 in their name: {count:,}{_first(hashes.mismatched)}")
    for row in shared.itertuples():
        labels = f" ({row.different_label:,} with different labels)" if row.different_label else ""
        print(f"patches in both {row.first} and {row.second}: {row.identical:,} identical{labels}, ", end="")
        print(f"{row.near_duplicates:,} near duplicates")
    for leak in inspection.leaks[:SHOWN_LEAKS]:
        where = ", ".join(f"{split} {count:,}" for split, count in leak.patches.items())
        _print_error_if(1, f"{leak.column} {leak.name} is in more than one split: {where}")
    if len(inspection.leaks) > SHOWN_LEAKS:
        print(red(f"… and {len(inspection.leaks) - SHOWN_LEAKS:,} more"))


def _print_quality(quality: "Quality") -> None:
    from sentinode.data.quality.checks import CHECKS

    for name, text in CHECKS.items():
        if name != "near_blank":
            print(f"patches {text}: {int(quality.checks[name].sum()):,}")
    print(f"pairs of near duplicates: {len(quality.near_duplicates):,}")
    across = quality.pairs_across_splits
    _print_error_if(across, f"pairs of near duplicates across splits: {across:,}")


def _print_error_if(condition: int, text: str) -> None:
    print(red(f"ERROR: {text}") if condition else text)


def _first(ids: Sequence[str]) -> str:
    return f" ({', '.join(ids[:SHOWN_IDS])}{', …' if len(ids) > SHOWN_IDS else ''})" if ids else ""
