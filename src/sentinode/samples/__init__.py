"""Real patches that ship inside the package, each with its card."""

from importlib.resources import files
from pathlib import Path

SAMPLES = ("pcam-mini",)


def sample_path(name: str) -> Path:
    """Return where a sample's zip lies.

    Examples
    --------
    >>> sample_path("pcam-mini").name
    'pcam-mini.zip'
    """
    return Path(str(files(__name__) / f"{name}.zip"))
