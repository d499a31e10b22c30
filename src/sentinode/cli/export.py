"""Export a trained network to Keras, ONNX Runtime, OpenVINO, WSInfer or QuPath."""

import argparse
from pathlib import Path
from typing import Any

from sentinode.cli.common.options import KERAS_FILES, add_json, add_model, check_not_an_input
from sentinode.cli.common.output import print_json, print_next_steps
from sentinode.cli.common.start import load_models, start_keras
from sentinode.errors import plural
from sentinode.export.formats import FORMATS, check_export_path, find_format


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export", help="export a network to Keras, ONNX, OpenVINO, WSInfer, QuPath", description=__doc__
    )
    add_model(parser, KERAS_FILES)
    parser.add_argument(
        "--format", required=True, choices=tuple(FORMATS), help="output format; docs/export.md describes each"
    )
    parser.add_argument(
        "--out", required=True, metavar="PATH", help="the .keras, .onnx or .xml file, or the folder for wsinfer"
    )
    parser.add_argument(
        "--mpp",
        type=float,
        default=0.972,
        metavar="X",
        help="pixel size of the training patches in µm (default: 0.972, that of PatchCamelyon)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Export, and print how far the logits are from those of Keras."""
    # Reported before Keras starts.
    check_export_path(arguments.out, arguments.format)
    find_format(arguments.format)
    check_not_an_input(arguments.out, [arguments.model, Path(arguments.model) / "model.keras"])
    start_keras()
    model = load_models(arguments)
    from sentinode.export.export import export_run

    made = export_run(model, arguments.out, arguments.format, spacing_um_px=arguments.mpp)
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
        f"{plural(made.patches, 'patch')} compared: logits of {made.runtime} and Keras differ by "
        f"{made.difference:.2g} at most"
    )
    wanted = "float tiles from 0 to 1" if arguments.format == "wsinfer" else "uint8 patches from 0 to 255, not scaled"
    print(f"the exported network expects {wanted}")
    print_next_steps({made.path: "the calibrated network", made.about: "input, outputs, threshold, origin"})
