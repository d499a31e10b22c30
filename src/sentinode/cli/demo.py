"""Train the classic network on the sample patches, and draw its ROC curve beside that of the weights that ship."""

import argparse
import shlex
from typing import Any

from sentinode.cli.evaluate import show_evaluation
from sentinode.cli.shared import add_cache, command_line, output_folder, print_next_steps, start_keras
from sentinode.cli.train import show_run
from sentinode.samples import DEFAULT_MODEL


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo", help="train and evaluate the classic network on the sample patches", description=__doc__
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        metavar="RUN",
        default="runs/demo",
        help="the run directory (default: runs/demo)",
    )
    add_cache(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the whole way once."""
    from sentinode.data.open import open_patches

    patches = open_patches("pcam-mini")
    print(patches.describe())
    start_keras()
    from sentinode.evaluation.evaluate import evaluate
    from sentinode.models.build import build_model
    from sentinode.plots import plot_roc, save_figure
    from sentinode.training.load import load_run
    from sentinode.training.train import train

    print("the classic network (cnn), the classic recipe: SGD 0.01, momentum 0.95, 3 epochs")
    trained = train(build_model("cnn"), patches, out=arguments.out, cache=arguments.cache)
    show_run(trained)
    print()
    evaluation = evaluate(trained, patches, cache=arguments.cache)
    show_evaluation(evaluation)
    folder, both = evaluation.folder, trained.path / "roc.png"
    shipped = load_run(DEFAULT_MODEL)
    print(f"\non the same patches, {shipped.describe()}")
    other = evaluate(shipped, patches, out=trained.path / "evaluations" / DEFAULT_MODEL, cache=arguments.cache)
    show_evaluation(other)
    axes = plot_roc(evaluation.roc, name="cnn, trained now", title=evaluation.data)
    save_figure(plot_roc(other.roc, name=DEFAULT_MODEL, ax=axes), both)
    print_next_steps(
        {
            both: "the ROC curves of both",
            trained.path / "curves.png": "loss, accuracy and AUC by epoch",
            folder / "predictions.csv": "what the network says of every test patch",
            trained.path / "config.json": "how all this was made",
        },
        command_line("report", trained.path),
        shlex.join(["tensorboard", "--logdir", str(trained.path / "tensorboard")]),
        command_line("data", "info", "pcam-mini", "--sheet", "sheet.png"),
    )
