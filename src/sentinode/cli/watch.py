"""Show the curves of a run in the terminal, and follow it while it is trained; Ctrl-C leaves, the training goes on."""

import argparse
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from sentinode.training.state.progress import Progress

SECONDS_BETWEEN_LOOKS = 1
LARGEST_HEIGHT, LARGEST_WIDTH = 14, 100


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("watch", help="follow a training in the terminal", description=__doc__)
    parser.add_argument("folder", metavar="RUN", help="the run directory of a training, under way or ended")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Draw again and again until the training ends; once, where nobody would see it change."""
    from rich.console import Console
    from rich.live import Live

    from sentinode.training.state.progress import read_progress

    folder, console = Path(arguments.folder), Console(highlight=False)
    progress = read_progress(folder)
    if progress.state != "training" or not console.is_terminal:
        console.print(_picture(folder, progress, console))
        return
    with contextlib.suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(_picture(folder, progress, console), refresh=True)
            if progress.state != "training":
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)
            progress = read_progress(folder)


def _picture(folder: Path, progress: "Progress", console: "Console") -> "Text":
    """Return what is known, as high and wide as the terminal allows."""
    from rich.text import Text

    from sentinode.plots.terminal import draw_curves

    rows = progress.rows
    head = Text.assemble((str(folder), "bold"), f"\n{_state(progress)}\n")
    if not rows:
        return head.append("no epoch yet: the first point comes with the end of the first epoch")
    best, last = min(rows, key=lambda row: row["val_loss"]), rows[-1]
    head.append(f"best: validation loss {best['val_loss']:.3f} in epoch {best['epoch']:.0f}\n")
    shown = {"val_accuracy": "validation accuracy", "learning_rate": "learning rate", "patches_per_s": "patches/s"}
    head.append("last: " + ", ".join(f"{words} {last[name]:.3g}" for name, words in shown.items() if name in last))
    # Two pictures with an empty line before each, four lines above them, and one for the prompt.
    height = max(5, min(LARGEST_HEIGHT, (console.height - 7) // 2))
    width = max(24, min(LARGEST_WIDTH, console.width))
    for name, title in (("loss", "loss"), ("auc", "AUC")):
        named = {"training": name, "validation": f"val_{name}"}
        curves = {part: [row[key] for row in rows] for part, key in named.items() if all(key in row for row in rows)}
        if curves:
            head.append("\n\n")
            head.append(draw_curves(title, curves, progress.epochs, width, height, console.options.ascii_only))
    return head


def _state(progress: "Progress") -> str:
    done = len(progress.rows)
    return {
        "training": f"epoch {done + 1} of {progress.epochs} is being trained",
        "stopped": f"stopped after {done} of {progress.epochs} epochs; the same sentinode train command goes on",
        "ended": f"ended after {done} of {progress.epochs} epochs",
    }[progress.state]
