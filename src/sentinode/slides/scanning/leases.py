"""Divide slides between processes that share an output folder, also on several machines, without any server.

A process takes a slide by creating ``NAME.lease-1``, and touches it while it works. If it dies, the file becomes old,
and the next process takes the slide by creating ``NAME.lease-2``. Creating a file that must not exist is atomic on
local disks and on NFS, so that no locks are needed.
"""

import json
import os
import socket
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from sentinode.errors import DataError

HEARTBEAT_S = 20.0
# Some missed heartbeats: file servers cache times for up to a minute.
STALE_S = 180.0
MAX_ATTEMPTS = 3


class Lease:
    """A slide that this process works on.

    Parameters
    ----------
    file : Path
        The file that stands for it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            with suppress(OSError):
                os.utime(self._file)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the slide back."""
        self._ended.set()
        self._heart.join()
        name, _, attempt = self._file.name.rpartition(".lease-")
        files = _lease_files(self._file.parent, name)
        if any(file.exists() for file in files[int(attempt) :]):
            return  # This process was taken for dead, and another one holds the slide: its lease must stay.
        for file in files[: int(attempt)]:
            file.unlink(missing_ok=True)


def take_lease(folder: str | Path, name: str) -> Lease | None:
    """Take a slide for this process.

    Parameters
    ----------
    folder : str or Path
        The folder that the processes share.
    name : str
        Name of the slide's results.

    Returns
    -------
    Lease or None
        A context manager that gives the slide back; None if another process works on it.

    Raises
    ------
    DataError
        Three processes died while they worked on it.

    Examples
    --------
    >>> folder = tempfile.mkdtemp()
    >>> with take_lease(folder, "slide"):
    ...     take_lease(folder, "slide") is None
    True
    >>> os.listdir(folder)
    []
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file in _lease_files(folder, name):
        try:
            with file.open("x", encoding="utf-8") as opened:
                try:
                    json.dump(_this_process(), opened)
                    opened.flush()
                except OSError:  # The disk is full: what is left would be taken for another process.
                    file.unlink(missing_ok=True)
                    raise
            return Lease(file)
        except FileExistsError:
            if not _is_dead(file):
                return None
    raise DataError(
        f"{folder / name}: {MAX_ATTEMPTS} processes died while scanning it; check the slide file, then delete "
        f"{name}.lease-* to retry"
    )


def is_taken(folder: str | Path, name: str) -> bool:
    """Tell whether a process works on a slide; nothing is written.

    Parameters
    ----------
    folder, name
        See `take_lease`.

    Returns
    -------
    bool
    """
    files = [file for file in _lease_files(Path(folder), name) if file.exists()]
    return any(not _is_dead(file, time.time()) for file in files)


def _lease_files(folder: Path, name: str) -> list[Path]:
    """Return the files of all attempts, also of those that were not made."""
    return [folder / f"{name}.lease-{attempt}" for attempt in range(1, MAX_ATTEMPTS + 1)]


def _is_dead(file: Path, now: float | None = None) -> bool:
    """Tell whether the process of a lease is gone; a lease that is given back meanwhile counts as alive."""
    holder: dict[str, Any] = {}
    try:
        with suppress(ValueError):  # It is not whole: only its age tells.
            holder = json.loads(file.read_text(encoding="utf-8"))
        age_s = (_now(file.parent) if now is None else now) - file.stat().st_mtime
    except OSError:
        return False
    here = _this_process()
    # On Windows, signal 0 is no question but Ctrl-C; only the age tells there.
    if os.name != "nt" and all(holder.get(name) == here[name] for name in ("host", "boot", "namespace")):
        try:
            os.kill(int(holder["pid"]), 0)
        except ProcessLookupError:
            return True
        except (OSError, ValueError, TypeError, OverflowError):
            pass  # The process lives, or the file is not whole yet.
    return age_s > STALE_S


def _now(folder: Path) -> float:
    """Return the time by the clock of the file server, which may differ from this machine's."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".now-") as probe:
        return Path(probe.name).stat().st_mtime


def _this_process() -> dict[str, Any]:
    boot, namespace = "", ""
    with suppress(OSError):  # Linux only. Process numbers mean nothing on another machine of the same name,
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())  # and nothing in another container.
    boot = boot or f"{uuid.getnode():x}"
    return {"host": socket.gethostname(), "boot": boot, "namespace": namespace, "pid": os.getpid()}
