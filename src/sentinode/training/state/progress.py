"""The progress of a training run, read from its run directory without importing Keras."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from sentinode.errors import DAMAGED_RUN, DataError, RunError
from sentinode.storage import read_json

REQUIRED = ("epoch", "loss", "val_loss")

State = Literal["training", "stopped", "finished"]


@dataclass(frozen=True)
class Progress:
    """The progress of a training run.

    Attributes
    ----------
    state : {"training", "stopped", "finished"}
        ``"training"`` while a process holds the lock of the directory.
    epochs : int
        Number of epochs, unless training stops early.
    rows : list of dict
        History, one dictionary per epoch.
    """

    state: State
    epochs: int
    rows: list[dict[str, float]]


def read_progress(folder: Path) -> Progress:
    """Read the progress of a training run.

    Parameters
    ----------
    folder : Path
        A run directory.

    Raises
    ------
    RunError
        The directory is not a run, or a file in it is damaged.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run directory; sentinode train DATA --out {folder} creates one")
    if not (folder / "config.json").is_file():
        raise RunError(f"{folder}: not a run directory, config.json is missing")
    try:
        config = read_json(folder / "config.json")
        epochs = int(config["settings"].get("epochs", 1))
    except (OSError, DataError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder / 'config.json'}: settings or epochs missing; {DAMAGED_RUN}") from error
    # The state first: a training run that ends in between has written all its rows by then.
    state = _state(folder)
    return Progress(state, epochs, _rows(folder / "history.jsonl"))


def lock_path(folder: Path) -> Path:
    """Return the lock file of a run directory.

    The lock is inside the directory, so that it is the same through every link and mount.

    Examples
    --------
    >>> lock_path(Path("runs/first")).name
    '.lock'
    """
    return folder / ".lock"


def _state(folder: Path) -> State:
    if (folder / "summary.json").is_file():
        return "finished"
    # A killed process leaves the file, but not the lock on it.
    return "training" if lock_path(folder).exists() and _is_locked(lock_path(folder)) else "stopped"


def _is_locked(file: Path) -> bool:
    if os.name == "nt":
        try:
            FileLock(file).acquire(timeout=0).lock.release()
        except (Timeout, OSError):
            return True
        return False
    import fcntl

    try:
        with file.open("rb") as opened:  # Watching needs no write access, and several processes may watch.
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _rows(file: Path) -> list[dict[str, float]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file}: cannot be read ({error}); {DAMAGED_RUN}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows.append({name: float(row[name]) for name in {*REQUIRED, *row}})
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(
                f"{file}: line {number} is not an epoch with {', '.join(REQUIRED)}; training rewrites the file after "
                "its next epoch"
            ) from error
    return rows
