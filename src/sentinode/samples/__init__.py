"""What ships inside the package, each with its card: real patches, and runs whose weights are ready to use."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

SAMPLES = ("pcam-mini",)
# Runs by name, with the SHA-256 of their weights.
RUNS: Mapping[str, str] = {"d4net-m": "abcaedcdbc826ee979ac72d702755886f828e4b0f4a25383d4742111c41e3e55"}
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
