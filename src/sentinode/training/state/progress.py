"""What another process can see of a training from the files that it leaves; Keras is not imported for it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from sentinode.errors import DataError, RunError
from sentinode.storage import read_json

NEEDED = ("epoch", "loss", "val_loss")


@dataclass(frozen=True)
class Progress:
    """How far a training has come.

    Attributes
    ----------
    state
        ``"training"`` in some process now, ``"stopped"`` before its end, or ``"ended"``.
    epochs
        How many there will be, unless it is stopped early.
    rows
        Its history, one dict an epoch.
    """

    state: Literal["training", "stopped", "ended"]
    epochs: int
    rows: list[dict[str, float]]


def read_progress(folder: Path) -> Progress:
    """Look at a run directory.

    Raises
    ------
    RunError
        It is not one, or a file in it is broken.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: there is no such run directory; sentinode train DATA --out {folder} makes one")
    if not (folder / "config.json").is_file():
        raise RunError(f"{folder}: not a run directory, there is no config.json in it")
    try:
        settings = read_json(folder / "config.json")["settings"]
        epochs = 1 if settings.get("frozen") else int(settings["epochs"])
    except (OSError, DataError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder / 'config.json'}: says nothing of settings and epochs; is it a run's?") from error
    # The state first: a training that ends in between has written all its rows by then.
    state = _state(folder)
    return Progress(state, epochs, _rows(folder / "history.jsonl"))


def lock_path(folder: Path) -> Path:
    """Return the file that is locked while a process trains in `folder`.

    It lies inside, so that one directory has one lock, through whatever link or mount it is reached.

    Examples
    --------
    >>> lock_path(Path("runs/first")).name
    '.lock'
    """
    return folder / ".lock"


def _state(folder: Path) -> Literal["training", "stopped", "ended"]:
    if (folder / "summary.json").is_file():
        return "ended"
    if not lock_path(folder).exists():
        return "stopped"
    try:
        # A killed process leaves the file, but not the lock.
        FileLock(lock_path(folder)).acquire(timeout=0).lock.release()
    except (Timeout, OSError):
        return "training"
    return "stopped"


def _rows(file: Path) -> list[dict[str, float]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file}: cannot be read ({error}); is the run whole?") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows.append({name: float(row[name]) for name in {*NEEDED, *row}})
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(
                f"{file}: line {number} is not an epoch with {', '.join(NEEDED)}; a training writes it anew "
                "after its next epoch"
            ) from error
    return rows
