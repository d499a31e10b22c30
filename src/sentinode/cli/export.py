"""Write a trained network for other software: Keras, ONNX Runtime, OpenVINO, WSInfer and QuPath."""

import argparse
from typing import Any

from sentinode.cli.shared import add_json, add_model, print_json, print_next_steps, start_keras
from sentinode.export.formats import FORMATS, find_format


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export", help="write a trained network for ONNX Runtime, OpenVINO, WSInfer, QuPath", description=__doc__
    )
    add_model(parser)
    parser.add_argument("--format", required=True, choices=tuple(FORMATS), help="see docs/export.md for each")
    parser.add_argument(
        "--out", required=True, metavar="PATH", help="the .keras, .onnx or .xml file, or the folder for wsinfer"
    )
    parser.add_argument(
        "--spacing-um-px",
        type=float,
        default=0.972,
        metavar="X",
        help="size of a pixel of the training patches, in µm (default: 0.972, PatchCamelyon's)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Export, and say how far the answers are from Keras'."""
    from sentinode.training.load import load_run

    find_format(arguments.format)  # A missing package is told before Keras has started.
    loaded = load_run(arguments.model)
    start_keras()
    from sentinode.export.export import export_run

    made = export_run(loaded, arguments.out, arguments.format, spacing_um_px=arguments.spacing_um_px)
    if arguments.json:
        print_json(
            {
                "out": str(made.path),
                "about": str(made.about),
                "runtime": made.runtime,
                "patches": made.patches,
                "largest_logit_difference": made.difference,
            }
        )
        return
    print(
        f"{made.patches} patches in {made.runtime}: logits differ from Keras' by {made.difference:.2g} at most, "
        "its calibration is inside"
    )
    print_next_steps({made.path: "the network", made.about: "what it expects and gives, threshold, what made it"})
