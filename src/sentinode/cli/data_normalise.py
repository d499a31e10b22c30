"""Give patches the stain of a target: all of them as if one laboratory had stained and scanned them."""

import argparse
from typing import Any

from sentinode.cli.shared import (
    add_data,
    add_json,
    command_line,
    open_data,
    output_file,
    print_json,
    print_next_steps,
    report_skipped,
)


def add_parser(verbs: Any) -> None:
    """Add the command."""
    parser = verbs.add_parser("normalise", help="give patches the stain of a target", description=__doc__)
    add_data(parser)
    parser.add_argument(
        "--out",
        type=output_file,
        required=True,
        metavar="CSV",
        help="the table to write, beside a zip of the patches; every command reads it as DATA",
    )
    parser.add_argument(
        "--like",
        default="pcam-mini",
        metavar="TARGET",
        help="an image of any size that shows the stain to reach, or patches in any form (default: pcam-mini, the "
        "stain that the weights that ship know)",
    )
    parser.add_argument(
        "--method",
        choices=("macenko", "reinhard"),
        default="macenko",
        help="macenko unmixes both stains and mixes them anew; reinhard shifts and scales lightness and colours "
        "(default: macenko)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Normalise, write, and say how many could not be measured."""
    from sentinode.data.stain.normalize import METHODS, names_to_write, read_target, write_normalized

    out, images = names_to_write(arguments.out)
    target = read_target(arguments.like, arguments.resize, arguments.skip_bad)
    normalizer = METHODS[arguments.method]().fit(target)
    patches = open_data(arguments, quiet=arguments.json).cached(arguments.cache)
    unchanged = write_normalized(patches, normalizer, out)
    skipped = [vars(each) for each in patches.skipped]
    if arguments.json:
        written = {"table": str(out), "patches": len(patches), "unchanged": unchanged}
        print_json({**written, **({"skipped": skipped} if skipped else {})})
        return report_skipped(skipped, quiet=True)
    print(f"{len(patches) - unchanged:,} patches have the stain of {arguments.like} now ({arguments.method})")
    if unchanged:
        print(f"{unchanged:,} came out as they were: too little tissue, a single colour, or that stain already")
    print_next_steps(
        {out: "the patches with what is known of them", images: "their images"},
        command_line("predict", out, "--out", "predictions.csv"),
    )
    return report_skipped(skipped)
