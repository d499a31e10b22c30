"""What annotations of slides and labels of patches share when they are saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from filelock import FileLock

from sentinode.viewer.errors import ViewerError


@contextmanager
def saving(folder: Path, name: str, lock: Lock) -> Iterator[None]:
    """Hold the locks on a file of decisions while it is changed, against other threads and processes.

    Parameters
    ----------
    folder : Path
        Folder of the file; made when missing.
    name : str
        What the lock is called after.
    lock : Lock
        Held by other threads that change the file.

    Raises
    ------
    ViewerError
        507 when a file cannot be read or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock, FileLock(folder / f".{name}.lock"):
            yield
    except OSError as error:
        raise ViewerError(
            f"not saved: {error.strerror or error}; check the folder and the space on its disk, then try again", 507
        ) from error


def utc_now() -> str:
    """Return the time as decisions record it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
