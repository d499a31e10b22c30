"""Work in a process of its own: readers of damaged slides may crash the process that they run in."""

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from sentinode.errors import SentinodeError, first_line

Job = TypeVar("Job")
Result = TypeVar("Result")

# Seconds between looks at whether a call should stop; an answer is taken at once.
_LOOK_S = 0.1


class WorkerError(SentinodeError):
    """An `IsolatedWorker` gave no result of its function, and no error that the function foresees."""


class ProcessDiedError(WorkerError):
    """The process of an `IsolatedWorker` ended while it worked."""


class UnexpectedError(WorkerError):
    """The function of an `IsolatedWorker` raised an exception that nobody foresaw, such as a `TypeError`."""


def reason(path: Path, error: SentinodeError) -> str:
    """Say why a slide cannot be used.

    Parameters
    ----------
    path : Path
        The slide's file.
    error : SentinodeError
        What happened when it was read.

    Returns
    -------
    str

    Examples
    --------
    >>> reason(Path("a.svs"), ProcessDiedError("signal 11"))
    'a.svs: the process that read it died (signal 11); the file is damaged, or memory ran out'
    """
    if isinstance(error, ProcessDiedError):
        return f"{path}: the process that read it died ({error}); the file is damaged, or memory ran out"
    if isinstance(error, UnexpectedError):
        return f"{path}: {error}"
    return str(error)


class IsolatedWorker(Generic[Job, Result]):
    """Calls a function in a process of its own, which is started again when it has died.

    Parameters
    ----------
    prepare : callable
        Called once in each new process; returns the function. It must be picklable, such as a module's function with
        `functools.partial`.
    stop : threading.Event, optional
        While another thread has it set, a call ends the process and raises `ProcessDiedError`.

    Examples
    --------
    >>> from operator import methodcaller
    >>> from functools import partial
    >>> with IsolatedWorker(partial(methodcaller, "upper")) as worker:
    ...     worker.call("slide")
    'SLIDE'
    """

    # Only the thread that calls handles the process: another thread that ended it could meet it half started, or idle
    # between two calls.
    def __init__(self, prepare: Callable[[], Callable[[Job], Result]], stop: threading.Event | None = None) -> None:
        self._prepare = prepare
        self._stop = stop or threading.Event()
        self._process: Any = None
        self._connection: Connection[Any, Any] | None = None

    def start(self) -> None:
        """Start the process, unless it runs."""
        if self._process is None:
            self._start()

    def call(self, job: Job, *, stalled_s: float | None = None, progress: Callable[[], int] = lambda: 0) -> Result:
        """Call the function and return its result.

        Parameters
        ----------
        job : object
            Its argument.
        stalled_s : float or None
            Seconds without a change of `progress` after which the process is killed; None waits for ever.
        progress : callable
            Returns a count that changes while the function works.

        Raises
        ------
        SentinodeError
            What the function raised; an `UnexpectedError` for exceptions of other kinds.
        ProcessDiedError
            The process died, or was ended; the next call starts another.
        """
        self.start()
        return self._answer(job, stalled_s=stalled_s, progress=progress)

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()  # The process ends when it cannot receive.
            self._process.join()
        self._process = self._connection = None

    def __enter__(self) -> "IsolatedWorker[Job, Result]":
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception) and self._process is not None:
            self._process.terminate()  # Interrupted: its result is not wanted any more.
        self.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # A fork would copy the threads' locks of TensorFlow.
        connection, other = context.Pipe()
        process = context.Process(target=_work, args=(other, self._prepare), daemon=True)
        try:
            process.start()
        except OSError as error:
            connection.close()
            raise ProcessDiedError(f"it could not be started: {error.strerror or error}") from error
        finally:
            other.close()
        self._process, self._connection = process, connection
        try:
            self._answer()
        except SentinodeError:  # There is no function to call.
            self.close()
            raise

    def _answer(self, *job: Any, stalled_s: float | None = None, progress: Callable[[], int] = lambda: 0) -> Any:
        """Send a job, if there is one, and wait for the answer."""
        assert self._connection is not None
        try:
            for each in job:
                self._connection.send(each)
            before, since = progress(), time.monotonic()
            while not self._connection.poll(_LOOK_S):
                if self._stop.is_set():
                    self._kill("it was stopped")
                if progress() != before:
                    before, since = progress(), time.monotonic()
                elif stalled_s is not None and time.monotonic() - since > stalled_s:
                    self._kill(f"no progress for {stalled_s:g} s")
            succeeded, result = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            status = self._process.exitcode
            self.close()
            raise ProcessDiedError(f"signal {-status}" if status < 0 else f"exit status {status}") from None
        if not succeeded:
            raise result
        return result

    def _kill(self, why: str) -> NoReturn:
        self._process.kill()
        self.close()
        raise ProcessDiedError(why)


def map_isolated(
    prepare: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job]
) -> Iterator[tuple[Job, Result | SentinodeError]]:
    """Call a function for each job in a process of its own; failures do not stop the others.

    Parameters
    ----------
    prepare : callable
        See `IsolatedWorker`.
    jobs : iterable
        A job is taken when the one before is done.

    Yields
    ------
    job
    result or SentinodeError
        What the function returned or raised; `ProcessDiedError` if its process died.

    Examples
    --------
    >>> from operator import methodcaller
    >>> list(map_isolated(partial(methodcaller, "upper"), ["a", "b"]))
    [('a', 'A'), ('b', 'B')]
    """
    with IsolatedWorker(prepare) as worker:
        for job in jobs:
            try:
                yield job, worker.call(job)
            except SentinodeError as error:
                yield job, error


def _work(connection: "Connection[Any, Any]", prepare: Callable[[], Callable[[Any], Any]]) -> None:
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    try:
        function = _send_result(connection, prepare)
        while function is not None:
            _send_result(connection, partial(function, connection.recv()))
    except (EOFError, OSError, KeyboardInterrupt):
        return


def _send_result(connection: "Connection[Any, Any]", function: Callable[[], Any]) -> Any:
    """Call a function and send whether it succeeded, with its result or error; functions are not sent."""
    try:
        result = function()
    except SentinodeError as error:
        connection.send((False, error))
        return None
    except OSError as error:  # Such as a full disk.
        reason = SentinodeError(f"{error.filename or 'a file'}: {error.strerror or first_line(error)}")
        connection.send((False, reason))
        return None
    except Exception as error:
        traceback.print_exc()  # A fault of the program: its place is needed to mend it.
        connection.send((False, UnexpectedError(f"{type(error).__name__}: {first_line(error)}")))
        return None
    connection.send((True, None if callable(result) else result))
    return result


def end_with_the_parent() -> None:
    """End this process when its parent is killed, or two would scan the same slide after the next start."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
