"""What ships inside the package, each with its card: real patches, and runs whose weights are ready to use."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

SAMPLES = ("pcam-mini",)
# Runs by name, with what `pretrained_digest` gives.
PRETRAINED: Mapping[str, str] = {"d4net-m": "96d82a610db4c89c66407d28b67b2ef12fb08cb6b935c5180b3802db6efaea91"}
# The one that is used where no model is named.
DEFAULT_MODEL = "d4net-m"


def sample_path(name: str) -> Path:
    """Return where a sample's zip lies.

    Examples
    --------
    >>> sample_path("pcam-mini").name
    'pcam-mini.zip'
    """
    return Path(str(files(__name__) / f"{name}.zip"))


def pretrained_path(name: str) -> Path:
    """Return where a run that ships lies.

    Examples
    --------
    >>> pretrained_path("d4net-m").name
    'd4net-m'
    """
    return Path(str(files(__name__) / name))


def pretrained_digest(folder: Path) -> str:
    """Return one SHA-256 of all that a run in a folder is used with: names and content of its files but its card.

    Raises
    ------
    OSError
        A file cannot be read.

    Examples
    --------
    >>> pretrained_digest(pretrained_path("d4net-m")) == PRETRAINED["d4net-m"]
    True
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in (".h5", ".json", ".npy", ".csv"))
    of_each = (f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in files)
    return hashlib.sha256("".join(of_each).encode()).hexdigest()
