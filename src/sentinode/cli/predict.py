"""Predict patches, labelled or not: images, folders, globs, HDF5, zips."""

import argparse
from pathlib import Path
from typing import Any

from sentinode.cli.shared import (
    add_json,
    add_models,
    add_precision,
    add_resize,
    add_skip_bad,
    add_tta,
    output_file,
    print_json,
    print_next_steps,
    report_skipped,
    start_keras,
)
from sentinode.errors import ConfigError
from sentinode.inference.engines import ENGINES
from sentinode.samples import DEFAULT_MODEL


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict", help="predict patches: images, folders, globs, HDF5, zip", description=__doc__
    )
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SOURCE",
        help="an image, a folder, a glob, a zip, a PCam _x.h5, .npy, .npz, or a csv that names images",
    )
    add_models(parser)
    parser.add_argument(
        "--out",
        type=output_file,
        required=True,
        metavar="CSV",
        help="the table to write: id, probability, logit, prediction, warning",
    )
    parser.add_argument("--split", metavar="NAME", help="predict one split of the source only")
    parser.add_argument(
        "--kaggle",
        action="store_true",
        help="write a submission: id, and the probability as label (default split: test, if there is one)",
    )
    add_tta(parser)
    add_precision(parser)
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="keras",
        help="what computes; all but keras export the run once, into the cache, and start faster (default: keras)",
    )
    add_resize(parser)
    add_skip_bad(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Predict, and say where the table is."""
    from sentinode.data.open import open_sources
    from sentinode.inference.kaggle import kaggle_ids, submitted

    out = Path(arguments.out)
    if out.is_dir():
        raise ConfigError(f"--out {out}: a folder; name the csv file to write")
    patches = open_sources(arguments.source, resize=arguments.resize, skip_bad=arguments.skip_bad)
    if arguments.split is not None:
        patches = patches.split(arguments.split)
    elif arguments.kaggle:
        patches = submitted(patches)
    if not arguments.json:
        print(patches.describe())
    from sentinode.export.cached import is_exported
    from sentinode.inference.predict import predict
    from sentinode.inference.predictions import made_by_path
    from sentinode.training.ensemble import load_runs

    if arguments.engine == "keras":
        start_keras()
    loaded = load_runs(arguments.model or [DEFAULT_MODEL])
    if arguments.engine != "keras" and not all(is_exported(run, arguments.engine) for run in loaded.runs):
        start_keras()
    if not arguments.json:
        print(f"model: {loaded.describe()}")
    patches = patches.readable()
    predictions = predict(loaded, patches, tta=arguments.tta, engine=arguments.engine, precision=arguments.precision)
    if arguments.kaggle:
        predictions.write_kaggle(out, kaggle_ids(patches))
    else:
        predictions.write(out)
    skipped = predictions.made_by.get("skipped", ())
    called = int(predictions.table["prediction"].sum())
    unlike = predictions.table["warning"].replace("", None).value_counts()
    if arguments.json:
        counts = {"patches": len(predictions), "called_tumour": called, "warnings": unlike.to_dict()}
        print_json({"out": str(out), **counts, **predictions.made_by})
        return report_skipped(skipped, quiet=True)
    print(f"{called:,} of {len(predictions):,} patches are called tumour at its threshold, {loaded.threshold:.3f}")
    if len(unlike):
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in unlike.items())
        whose = "its" if len(loaded.runs) == 1 else "one run's"
        print(
            f"{unlike.sum():,} look unlike the patches of its training ({kinds}), where its answer is worth less; "
            f"of {whose} validation patches {loaded.validation_warning_rate:.1%} do"
        )
    print_next_steps({out: "one row a patch", made_by_path(out): "what made it"})
    return report_skipped(skipped)
