"""Sample patches and pretrained weights that are part of the package."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from sentinode.storage import sha256_of

SAMPLES = ("pcam-mini",)
# Pretrained weights by name, with the result of `pretrained_digest`.
PRETRAINED: Mapping[str, str] = {"d4net-m": "dab4002b99cce467eebe083738a1754de4b7e67ebb0bebdaaf9ea11fe951e947"}
# Used by commands without --model.
DEFAULT_MODEL = "d4net-m"


def sample_path(name: str) -> Path:
    """Return the path of a sample's zip archive.

    Examples
    --------
    >>> sample_path("pcam-mini").name
    'pcam-mini.zip'
    """
    return Path(str(files(__name__) / f"{name}.zip"))


def pretrained_path(name: str) -> Path:
    """Return the run directory of pretrained weights.

    Examples
    --------
    >>> pretrained_path("d4net-m").name
    'd4net-m'
    """
    return Path(str(files(__name__) / name))


def pretrained_digest(folder: Path) -> str:
    """Compute one SHA-256 over names and contents of all files of a run directory but its card.

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
    of_each = (f"{path.name} {sha256_of(path)}\n" for path in files)
    return hashlib.sha256("".join(of_each).encode()).hexdigest()
