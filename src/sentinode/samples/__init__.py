"""What ships inside the package, each with its card: real patches, and runs whose weights are ready to use."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

SAMPLES = ("pcam-mini",)
# Runs by name, with the SHA-256 of their weights.
RUNS: Mapping[str, str] = {"d4net-m": "97b314e1ba3f5ff6f38cc4158e4ba734cb28f10b79fb6fe60bcd731fb6c08a6d"}
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
