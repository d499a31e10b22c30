"""Plot the learning curves of a run in the terminal and follow its training; Ctrl-C ends only this command."""

import argparse
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.errors import plural

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from sentinode.training.state.progress import Progress

INTERVAL_S = 1
MAX_HEIGHT, MAX_WIDTH = 14, 100


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("watch", help="follow a training run in the terminal", description=__doc__)
    parser.add_argument("folder", metavar="RUN", help="run directory")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Redraw until the training ends; draw once if it has ended or there is no terminal."""
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
            time.sleep(INTERVAL_S)
            progress = read_progress(folder)


def _picture(folder: Path, progress: "Progress", console: "Console") -> "Text":
    from rich.text import Text

    from sentinode.cli.curves import draw_curves

    rows = progress.rows
    head = Text.assemble((str(folder), "bold"), f"\n{_state(progress)}\n")
    if not rows:
        return head.append("no epoch finished yet")
    best, last = min(rows, key=lambda row: row["val_loss"]), rows[-1]
    head.append(f"best epoch: {best['epoch']:.0f}, validation loss {best['val_loss']:.3f}\n")
    shown = {"val_accuracy": "validation accuracy", "learning_rate": "learning rate", "patches_per_s": "patches/s"}
    head.append(
        "last epoch: " + ", ".join(f"{label} {last[name]:.3g}" for name, label in shown.items() if name in last)
    )
    # Two charts with an empty line before each, four lines above them, and one for the prompt.
    height = max(5, min(MAX_HEIGHT, (console.height - 7) // 2))
    width = max(24, min(MAX_WIDTH, console.width))
    for name, title in (("loss", "loss"), ("auc", "AUC")):
        named = {"training": name, "validation": f"val_{name}"}
        curves = {part: [row[key] for row in rows] for part, key in named.items() if all(key in row for row in rows)}
        if curves:
            head.append("\n\n")
            head.append(draw_curves(title, curves, progress.epochs, width, height, console.options.ascii_only))
    return head


def _state(progress: "Progress") -> str:
    done = len(progress.rows)
    epochs = plural(progress.epochs, "epoch")
    return {
        "training": f"training epoch {done + 1} of {progress.epochs}",
        "stopped": f"stopped after {done} of {epochs}; run the same sentinode train command to resume",
        "finished": f"finished after {done} of {epochs}",
    }[progress.state]
