"""What ships inside the package, each with its card: real patches, and runs whose weights are ready to use."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

SAMPLES = ("pcam-mini",)
# Runs by name, with what `run_digest` gives.
RUNS: Mapping[str, str] = {"d4net-m": "199c97fda11689163abc3b1cf08e1d1d5f9913b6e007e5ffb2b63c0aa9b6401c"}
# The one that is used where no model is named.
DEFAULT_RUN = "d4net-m"


def sample_path(name: str) -> Path:
    """Return where a sample's zip lies.

    Examples
    --------
    >>> sample_path("pcam-mini").name
    'pcam-mini.zip'
    """
    return Path(str(files(__name__) / f"{name}.zip"))


def run_path(name: str) -> Path:
    """Return where a run that ships lies.

    Examples
    --------
    >>> run_path("d4net-m").name
    'd4net-m'
    """
    return Path(str(files(__name__) / name))


def run_digest(folder: Path) -> str:
    """Return one SHA-256 of all that a run in a folder is used with: names and content of its files but its card.

    Raises
    ------
    OSError
        A file cannot be read.

    Examples
    --------
    >>> run_digest(run_path("d4net-m")) == RUNS["d4net-m"]
    True
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in (".h5", ".json", ".npy", ".csv"))
    of_each = (f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in files)
    return hashlib.sha256("".join(of_each).encode()).hexdigest()
