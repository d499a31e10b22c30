"""Train the classic network on the sample patches and compare it with the pretrained model."""

import argparse
from typing import Any

from sentinode.cli.common.options import add_cache, output_folder
from sentinode.cli.common.output import command_line, print_next_steps
from sentinode.cli.common.start import start_keras
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
    """Run the command."""
    from sentinode.data.open import open_patches

    patches = open_patches("pcam-mini")
    print(patches.describe())
    start_keras()
    from sentinode.evaluation.evaluate import evaluate
    from sentinode.evaluation.formatting import format_evaluation
    from sentinode.models.build import build_model
    from sentinode.plots import plot_roc, save_figure
    from sentinode.training.load import load_run
    from sentinode.training.train import train

    print("training the classic network (cnn) with the classic recipe: SGD 0.01, momentum 0.95, 3 epochs")
    trained = train(build_model("cnn"), patches, out=arguments.out, cache=arguments.cache)
    folder, both = trained.path / "evaluations" / "test", trained.path / "roc.png"
    evaluation = evaluate(trained, patches, out=folder, cache=arguments.cache)
    print(f"\n{format_evaluation(evaluation)}")
    pretrained = evaluate(load_run(DEFAULT_MODEL), patches, cache=arguments.cache)
    print(f"\nthe pretrained model {DEFAULT_MODEL} on the same patches: AUC {pretrained.ranking.auc:.3f}")
    axes = plot_roc(evaluation.roc, name="cnn, trained now", title=evaluation.data)
    save_figure(plot_roc(pretrained.roc, name=DEFAULT_MODEL, ax=axes), both)
    print_next_steps(
        {
            both: "the ROC curves of both models",
            trained.path / "curves.png": "loss, accuracy and AUC by epoch",
            folder / "predictions.csv": "the prediction of every test patch",
        },
        command_line("report", trained.path),
        command_line("data", "info", "pcam-mini", "--sheet", "sheet.png"),
    )
