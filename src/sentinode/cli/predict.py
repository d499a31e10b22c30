"""Predict patches with a trained model and write a csv table."""

import argparse
from pathlib import Path
from typing import Any

from sentinode.cli.common.options import (
    add_json,
    add_models,
    add_precision,
    add_read_options,
    add_skip_bad,
    add_tta,
    check_not_an_input,
    output_file_or_stdout,
    read_options,
)
from sentinode.cli.common.output import file_or_stdout, print_json, print_next_steps, report_skipped
from sentinode.cli.common.start import load_models, start_keras
from sentinode.errors import ConfigError, plural
from sentinode.inference.engines import ENGINES, check_options
from sentinode.output_paths import check_ending

SOURCE_HELP = "an image, a folder, a glob, a zip, a PCam _x.h5, .npy, .npz, or a csv that lists images"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict", help="predict patches: images, folders, globs, HDF5, zip", description=__doc__
    )
    parser.add_argument("source", nargs="+", metavar="SOURCE", help=SOURCE_HELP)
    add_models(parser)
    parser.add_argument(
        "--out",
        type=output_file_or_stdout,
        required=True,
        metavar="CSV",
        help="the table to write (-: standard output): id, label (if known), probability, logit, prediction, warning",
    )
    parser.add_argument("--split", metavar="NAME", help="predict only this split")
    parser.add_argument(
        "--kaggle",
        action="store_true",
        help="write a Kaggle submission: id, and the probability as label (default for --split: test, if there is one)",
    )
    add_tta(parser)
    add_precision(parser)
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="keras",
        help="inference engine; onnxruntime and openvino start faster; the model is exported to the cache on first use "
        "(default: keras)",
    )
    add_read_options(parser)
    add_skip_bad(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Predict, write the table, and print a summary."""
    if arguments.out == "-" and arguments.json:
        raise ConfigError("--out - and --json both use standard output; write to a file instead")
    if arguments.out != "-":
        check_ending(arguments.out, ".csv", "--out")
        check_not_an_input(arguments.out, arguments.source)
    with file_or_stdout(arguments.out) as out:
        return _predict(arguments, out)


def _predict(arguments: argparse.Namespace, out: Path) -> int:
    from sentinode.data.open import open_sources
    from sentinode.inference.kaggle import kaggle_ids, submission_patches

    check_options(arguments.engine, arguments.tta, arguments.precision)
    model = load_models(arguments)
    patches = open_sources(arguments.source, skip_bad=arguments.skip_bad, **read_options(arguments))
    if arguments.split is not None:
        patches = patches.split(arguments.split)
    elif arguments.kaggle:
        patches = submission_patches(patches)
    if not arguments.json:
        print(patches.describe())
    from sentinode.data.quality.channel_order import warn_of_exchanged_channels
    from sentinode.inference.predict import predict
    from sentinode.inference.predictions import made_by_path

    if model.needs_keras(arguments.engine, arguments.precision):
        start_keras()
    if not arguments.json:
        print(f"model: {model.describe()}")
    patches = patches.readable()
    warn_of_exchanged_channels(patches)
    predictions = predict(model, patches, tta=arguments.tta, engine=arguments.engine, precision=arguments.precision)
    if arguments.kaggle:
        predictions.write_kaggle(out, kaggle_ids(patches))
    else:
        predictions.write(out)
    skipped = predictions.made_by.get("skipped", ())
    table = predictions.table
    tumour = int(table["prediction"].sum())
    warnings = table["warning"].replace("", None).value_counts() if "warning" in table else None
    if arguments.json:
        counts: dict[str, Any] = {"patches": len(table), "predicted_tumour": tumour}
        counts |= {} if warnings is None else {"warnings": warnings.to_dict()}
        print_json({"out": str(out), **counts, **predictions.made_by})
        return report_skipped(skipped, quiet=True)
    print(f"predicted to be tumour: {tumour:,} of {plural(len(table), 'patch')} (threshold {model.threshold:.3f})")
    if warnings is not None and len(warnings):
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in warnings.items())
        print(
            f"out of distribution: {warnings.sum():,} of {plural(len(table), 'patch')} ({kinds}); their predictions "
            "are less reliable; "
            f"{100 * model.validation_warning_rate:.1f} % of the validation patches get such a warning"
        )
    if arguments.out != "-":
        print_next_steps({out: "one row per patch", made_by_path(out): "model, data and settings"})
    return report_skipped(skipped)
