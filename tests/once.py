"""What several worker processes of one test session need is made once."""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def made_once(out: Path, make: Callable[[Path], object]) -> Path:
    """Make a folder in the first worker process that asks; every other one waits for it."""
    made = Path(f"{out}.made")
    with FileLock(f"{out}.lock"):
        if not made.exists():
            make(out)
            made.touch()
    return out
