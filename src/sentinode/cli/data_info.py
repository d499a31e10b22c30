"""Look at patches before you train on them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.cli.shared import (
    DATA_HELP,
    add_cache,
    add_json,
    add_resize,
    add_skip_bad,
    add_table,
    command_line,
    output_file,
    print_json,
    print_next_steps,
    print_table,
    red,
    report_skipped,
)
from sentinode.errors import ConfigError, DataError

if TYPE_CHECKING:
    from sentinode.data.duplicates.hashes import HashCheck
    from sentinode.data.patchset import PatchSet
    from sentinode.data.quality.checks import Quality
    from sentinode.data.quality.inspection import Inspection
    from sentinode.data.splitting.groups import Leak

SHEET_PATCHES = 36


def add_parser(verbs: Any) -> None:
    """Add the command."""
    parser = verbs.add_parser(
        "info", help="what it is, counts, copies, shared slides, blanks; a page of its quality", description=__doc__
    )
    parser.add_argument("data", nargs="+", metavar="DATA", help=f"{DATA_HELP}; of several, common patches are counted")
    add_table(parser)
    add_cache(parser)
    add_resize(parser)
    add_skip_bad(parser)
    parser.add_argument("--sheet", type=output_file, metavar="PNG", help="draw patches of every class into a picture")
    parser.add_argument(
        "--page",
        type=output_file,
        metavar="HTML",
        help="also look for blur, pen marks, clipping and near copies, and write a page of it all",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Inspect, show what was found, and end with an error where splits leak or files are not what they are named."""
    from sentinode.data.concat import concat
    from sentinode.data.duplicates.hashes import compare_hashes
    from sentinode.data.duplicates.overlap import count_shared_patches
    from sentinode.data.open import open_each, open_patches
    from sentinode.data.quality.inspection import inspect_patches
    from sentinode.data.splitting.groups import find_leaks

    for option, ending in (("sheet", ".png"), ("page", ".html")):
        name = getattr(arguments, option)
        if name and Path(name).suffix.lower() != ending:
            raise ConfigError(f"--{option} {name}: a {ending[1:]} is written; give the name the ending {ending}")
    how = {"resize": arguments.resize, "skip_bad": arguments.skip_bad}
    if arguments.table and len(arguments.data) > 1:
        raise ConfigError("--table is of one DATA; look at the others by themselves")
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
    found, shared, names = inspect_patches(patches), find_leaks(patches), compare_hashes(patches)
    quality = None
    if arguments.page:
        from sentinode.data.quality.checks import judge
        from sentinode.report.data_page import write_data_page

        quality = judge(patches)
        write_data_page(arguments.page, patches, found, quality, shared, names)
    between = count_shared_patches(parts)
    skipped = [vars(each) for each in patches.skipped]
    if arguments.json:
        content: dict[str, Any] = {
            "path": patches.path,
            "kind": patches.kind,
            "notes": patches.notes,
            "skipped": skipped,
        }
        content |= found.to_json()
        content |= {"shared": [vars(leak) for leak in shared], "names": vars(names)}
        content |= {"between": between.to_dict(orient="records")} if len(parts) > 1 else {}
        print_json(content | ({"quality": quality.to_json()} if quality else {}))
    else:
        _show(found)
        _show_identity(names, between)
        _show_leaks(shared)
        if quality:
            _show_quality(quality)
    if arguments.sheet:
        _draw(patches, Path(arguments.sheet))
    files = {arguments.sheet: "patches of every class", arguments.page: "what was found, with pictures"}
    if any(files) and not arguments.json:
        print_next_steps(
            {Path(name): what for name, what in files.items() if name},
            command_line("train", arguments.data[0], "--model", "cnn", "--out", "runs/first"),
        )
    _end(patches, shared, names, found.shared_across, quality.divided if quality else 0)
    return report_skipped(skipped, quiet=arguments.json)


def _end(patches: "PatchSet", shared: "Sequence[Leak]", names: "HashCheck", copies: int, near_copies: int) -> None:
    """Refuse what nobody should train on, now that all is shown."""
    if shared:
        first = shared[0]
        raise DataError(
            f"{patches.path}: splits share {len(shared):,} slides or patients, the first is {first.column} {first.name}; "
            "sentinode data split makes splits that share none"
        )
    if copies or near_copies:
        raise DataError(
            f"{patches.path}: {copies:,} patches are in more than one split, and {near_copies:,} pairs of near copies "
            "are divided; sentinode data split keeps copies together"
        )
    if names.mismatched:
        raise DataError(
            f"{patches.path}: {len(names.mismatched):,} files do not hold the pixels that they are named by, the first is "
            f"{names.mismatched[0]}; fetch them again"
        )


def _draw(patches: "PatchSet", path: Path) -> None:
    from sentinode.data.quality.inspection import examples
    from sentinode.plots import draw_contact_sheet, save_figure

    groups = [
        (f"{name}: {len(rows)} of {count:,}", name, patches.read(rows))
        for name, count, rows in examples(patches, SHEET_PATCHES)
    ]
    save_figure(draw_contact_sheet(groups, title=patches.path), path)


def _show(found: "Inspection") -> None:
    counts = found.counts
    print_table(
        [(str(split), *(f"{n:,}" for n in row)) for split, row in zip(counts.index, counts.to_numpy(), strict=True)],
        header=("split", *counts.columns),
    )
    print("grey levels, mean ± standard deviation")
    rows = []
    for split, row in found.statistics.iterrows():
        cells = (f"{row[f'mean_{c}']:.1f} ± {row[f'sd_{c}']:.1f}" for c in ("red", "green", "blue"))
        rows.append((str(split), *cells))
    print_table(rows, header=("split", "red", "green", "blue"))
    within = ", ".join(f"{split} {n:,}" for split, n in found.surplus_within.items()) or "none"
    print(f"exact copies of another patch within a split: {within}")
    across = f"patches that are in more than one split: {found.shared_across:,}"
    print(red(f"{across} – the splits leak") if found.shared_across else across)
    if found.contradicting:
        print(f"patches with both labels: {found.contradicting:,}")
    print(f"near-blank patches: {len(found.near_blank):,}" + _first(found.near_blank))


def _first(names: Sequence[str], count: int = 5) -> str:
    return f" ({', '.join(names[:count])}{', …' if len(names) > count else ''})" if names else ""


def _show_identity(names: "HashCheck", between: Any) -> None:
    if names.verified:
        print(f"files named by the SHA-1 of their pixels: {names.verified:,} verified")
    if names.unverifiable:
        print(f"JPEG files named by pixels before the compression, which cannot be verified: {names.unverifiable:,}")
    if names.mismatched:
        print(
            red(
                f"files that do not hold the pixels they are named by: {len(names.mismatched):,}{_first(names.mismatched)}"
            )
        )
    for row in between.itertuples():
        labels = f", {row.different_label:,} of them with another label" if row.different_label else ""
        print(f"different patches in both {row.first} and {row.second}: {row.identical:,}{labels}")
        if row.near_duplicates:
            print(
                f"and {row.near_duplicates:,} of the first that are alike one there but for compression, a turn or a mirror"
            )


def _show_leaks(shared: "Sequence[Leak]") -> None:
    for leak in shared[:10]:
        where = ", ".join(f"{split} {count:,}" for split, count in leak.patches.items())
        print(red(f"ERROR: {leak.column} {leak.name} is in more than one split: {where}"))
    if len(shared) > 10:
        print(red(f"… and {len(shared) - 10:,} more"))


def _show_quality(quality: "Quality") -> None:
    from sentinode.data.quality.checks import FLAGS

    for name, words in FLAGS.items():
        if name != "near_blank":
            print(f"{words}: {int(quality.flags[name].sum()):,}")
    print(f"pairs alike but for compression, a turn or a mirror: {len(quality.alike):,}")
    if quality.divided:
        print(red(f"ERROR: {quality.divided:,} of these pairs are divided between splits"))
