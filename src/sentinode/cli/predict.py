"""Predict patches, labelled or not: images, folders, globs, HDF5, zips."""

import argparse
from pathlib import Path
from typing import Any

from sentinode.cli.shared import add_fit, add_json, look_at, print_json, start_keras
from sentinode.errors import ConfigError
from sentinode.prediction.engines import ENGINES


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict", help="predict patches: images, folders, globs, HDF5, zip", description=__doc__
    )
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="an image, a folder, a glob, a PCam _x.h5 or a zip")
    parser.add_argument("--model", required=True, metavar="RUN", help="a run directory")
    parser.add_argument("--out", required=True, metavar="CSV", help="the table to write: id, probability, logit")
    parser.add_argument("--split", metavar="NAME", help="predict one split of the source only")
    parser.add_argument(
        "--kaggle",
        action="store_true",
        help="write a submission: id, and the probability as label (default split: test, if there is one)",
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="keras",
        help="what computes; all but keras export the run once, into the cache, and start faster (default: keras)",
    )
    add_fit(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Predict, and say where the table is."""
    from sentinode.data.open import open_sources
    from sentinode.prediction.kaggle import kaggle_ids, submitted

    out = Path(arguments.out)
    if out.is_dir():
        raise ConfigError(f"--out {out}: a folder; name the csv file to write")
    patches = open_sources(arguments.source, fit=arguments.fit)
    if arguments.split is not None:
        patches = patches.split(arguments.split)
    elif arguments.kaggle:
        patches = submitted(patches)
    if not arguments.json:
        print(patches.describe())
    from sentinode.export.cached import is_exported
    from sentinode.prediction.predict import predict
    from sentinode.prediction.predictions import made_by_path
    from sentinode.training.run import load_run

    if arguments.engine == "keras":
        start_keras()
    loaded = load_run(arguments.model)
    if arguments.engine != "keras" and not is_exported(loaded, arguments.engine):
        start_keras()
    predictions = predict(loaded, patches, engine=arguments.engine)
    if arguments.kaggle:
        predictions.write_kaggle(out, kaggle_ids(patches))
    else:
        predictions.write(out)
    called = int((predictions.table["probability"] >= loaded.threshold).sum())
    if arguments.json:
        print_json({"out": str(out), "patches": len(predictions), "called_tumour": called, **predictions.made_by})
        return
    print(
        f"{called:,} of {len(predictions):,} patches are called tumour at the run's threshold, {loaded.threshold:.3f}"
    )
    look_at({out: "one row a patch", made_by_path(out): "what made it"})
