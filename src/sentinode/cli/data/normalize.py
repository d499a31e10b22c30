"""Normalize the stain of patches to that of a target image or data set."""

import argparse
from typing import Any

from sentinode.cli.common.options import add_data, add_json, output_file
from sentinode.cli.common.output import command_line, print_json, print_next_steps, report_skipped
from sentinode.cli.common.start import open_data
from sentinode.errors import plural


def add_parser(verbs: Any) -> None:
    """Add the command."""
    parser = verbs.add_parser("normalize", help="normalize the stain to that of a target", description=__doc__)
    add_data(parser)
    parser.add_argument(
        "--out",
        type=output_file,
        required=True,
        metavar="CSV",
        help="table to write, and a zip of the images in the same folder; every command accepts the table as DATA",
    )
    parser.add_argument(
        "--target",
        default="pcam-mini",
        metavar="TARGET",
        help="image of any size with the desired stain, or patches in any format (default: pcam-mini, whose stain the "
        "pretrained weights were trained on)",
    )
    parser.add_argument(
        "--method",
        choices=("macenko", "reinhard"),
        default="macenko",
        help="macenko: unmix hematoxylin and eosin and recombine them with the target's colors; reinhard: match means "
        "and standard deviations in CIELAB (default: macenko)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Normalize, write, and report how many patches changed."""
    from sentinode.data.stain.normalize import METHODS, output_paths, read_target, write_normalized

    out, images = output_paths(arguments.out)
    target = read_target(arguments.target, arguments.resize, arguments.skip_bad)
    normalizer = METHODS[arguments.method]().fit(target)
    patches = open_data(arguments, quiet=arguments.json).cached(arguments.cache)
    unchanged = write_normalized(patches, normalizer, out)
    skipped = [vars(each) for each in patches.skipped]
    if arguments.json:
        written = {"table": str(out), "patches": len(patches), "unchanged": unchanged}
        print_json({**written, **patches.skipped_json()})
        return report_skipped(skipped, quiet=True)
    print(
        f"normalized {plural(len(patches) - unchanged, 'patch')} to the stain of {arguments.target} "
        f"({arguments.method})"
    )
    if unchanged:
        print(f"unchanged: {unchanged:,} (too little tissue, one color only, or already the target's stain)")
    print_next_steps(
        {out: "the table of normalized patches", images: "their images"},
        command_line("predict", out, "--out", "predictions.csv"),
    )
    return report_skipped(skipped)
