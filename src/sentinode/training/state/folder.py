"""The lock and the ownership of a run directory."""

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sentinode.errors import RunError, TrainingStopped
from sentinode.storage import TEMPORARY_PREFIX, remove_leftovers
from sentinode.training.distributed import ProcessGroup
from sentinode.training.load import is_run
from sentinode.training.state.progress import lock_path


@contextmanager
def run_folder(run: Path, group: ProcessGroup) -> Iterator[Path]:
    """Lock a run directory and give each process a folder to write to.

    Parameters
    ----------
    run : Path
        The run directory.
    group : ProcessGroup

    Yields
    ------
    Path
        The run directory in the first process; a temporary folder in the others.

    Raises
    ------
    RunError
        The directory holds something else, cannot be written, or another process trains there.
    """
    with ExitStack() as stack:
        with group.in_turn():
            if group.process:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sentinode-")))
            else:
                check_is_run_or_empty(run)  # Before a lock is created in a foreign directory.
                stack.enter_context(locked(run))
                remove_leftovers(run)
                folder = run
        try:
            yield folder
        except TrainingStopped as stopped:
            if not group.process:
                raise
            raise TrainingStopped(f"{run}: stopped with process 0", stopped.signal_number) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a directory against other processes. The lock of a killed process is released by the system.

    Parameters
    ----------
    folder : Path
        Created if it is missing, and removed again if nothing was written to it.

    Raises
    ------
    RunError
        Another process holds the lock, or the directory cannot be created or written.
    """
    lock, created = FileLock(lock_path(folder)), not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=1)  # Long enough for `sentinode watch`, which looks at the lock.
    except Timeout as error:
        raise RunError(f"{folder}: another process trains there; wait for it, or choose another directory") from error
    except OSError as error:
        action = "written" if folder.exists() else "created"
        raise RunError(f"{folder}: cannot be {action} ({error.strerror or error}); choose another directory") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows cannot delete an open file.
            Path(lock.lock_file).unlink()
        lock.release()
        if created:
            with contextlib.suppress(OSError):  # Not empty: a run.
                folder.rmdir()


def check_is_run_or_empty(folder: Path) -> bool:
    """Check whether a directory holds a run.

    Returns
    -------
    bool
        False when the directory is missing or empty.

    Raises
    ------
    RunError
        The directory holds something else, or cannot be read.
    """
    try:
        if not folder.exists() or (folder.is_dir() and all(_is_leftover(file) for file in folder.iterdir())):
            return False
    except OSError as error:
        raise RunError(f"{folder}: cannot be read ({error.strerror or error}); choose another directory") from error
    if not is_run(folder):
        raise RunError(f"{folder}: not empty and not a run; choose another directory with --out")
    return True


def _is_leftover(file: Path) -> bool:
    """Recognize what a killed process leaves: its lock and temporary files."""
    return file == lock_path(file.parent) or file.name.startswith(TEMPORARY_PREFIX)
