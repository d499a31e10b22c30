"""Train the classic baseline on the sample patches and compare it with the pretrained weights."""

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
        "demo", help="train and evaluate the classic baseline on the sample patches", description=__doc__
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        metavar="RUN",
        default="runs/demo",
        help="run directory to write (default: runs/demo)",
    )
    add_cache(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Train, evaluate and compare."""
    from sentinode.data.open import open_patches

    patches = open_patches("pcam-mini")
    print(patches.describe())
    start_keras()
    from sentinode.evaluation.evaluate import evaluate
    from sentinode.models.build import build_model
    from sentinode.plots import plot_roc, save_figure
    from sentinode.training.load import load_run
    from sentinode.training.train import train

    print("training the classic baseline (cnn): SGD 0.01, momentum 0.95, 3 epochs")
    trained = train(build_model("cnn"), patches, out=arguments.out, cache=arguments.cache)
    show_run(trained)
    print()
    evaluation = evaluate(trained, patches, cache=arguments.cache)
    show_evaluation(evaluation)
    folder, both = evaluation.folder, trained.path / "roc.png"
    pretrained = load_run(DEFAULT_MODEL)
    print(f"\npretrained weights on the same patches: {pretrained.describe()}")
    other = evaluate(pretrained, patches, out=trained.path / "evaluations" / DEFAULT_MODEL, cache=arguments.cache)
    show_evaluation(other)
    axes = plot_roc(evaluation.roc, name="cnn, trained now", title=evaluation.data)
    save_figure(plot_roc(other.roc, name=DEFAULT_MODEL, ax=axes), both)
    print_next_steps(
        {
            both: "ROC curves of both",
            trained.path / "curves.png": "loss, accuracy and AUC by epoch",
            folder / "predictions.csv": "predictions of the test patches",
            trained.path / "config.json": "settings, versions, data",
        },
        command_line("report", trained.path),
        shlex.join(["tensorboard", "--logdir", str(trained.path / "tensorboard")]),
        command_line("data", "info", "pcam-mini", "--sheet", "sheet.png"),
    )
