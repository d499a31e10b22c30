"""Train the classic network on the sample patches, evaluate it, and draw its ROC curve; a minute or less."""

import argparse
from typing import Any

from sentinode.cli.evaluate import show_evaluation
from sentinode.cli.shared import add_cache, look_at, open_and_tell, start_keras
from sentinode.cli.train import show_run


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo", help="train and evaluate the classic network on the sample patches", description=__doc__
    )
    parser.add_argument(
        "--out",
        metavar="RUN",
        default="runs/demo",
        help="the run directory (default: runs/demo)",
    )
    add_cache(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the whole way once."""
    patches = open_and_tell("pcam-mini", fit="refuse")
    start_keras()
    from sentinode.evaluation.evaluate import evaluate
    from sentinode.models.build import build_model
    from sentinode.training.loop import train

    print("the classic network (cnn), the classic recipe: SGD 0.01, momentum 0.95, 3 epochs")
    trained = train(build_model("cnn"), patches, out=arguments.out, cache=arguments.cache)
    show_run(trained)
    print()
    evaluation = evaluate(trained, patches, cache=arguments.cache)
    show_evaluation(evaluation)
    folder = evaluation.folder
    look_at(
        {
            folder / "roc.png": "the ROC curve",
            trained.path / "curves.png": "loss, accuracy and AUC by epoch",
            folder / "predictions.csv": "what the network says of every test patch",
            trained.path / "config.json": "how all this was made",
        },
        f"tensorboard --logdir {trained.path / 'tensorboard'}",
        "sentinode data info pcam-mini --sheet sheet.png",
    )
