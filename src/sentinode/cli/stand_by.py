"""One line where JAX would abort: a process that waits for the one that trains, and speaks for it."""

import contextlib
import ctypes
import os
import signal
import sys
import tempfile

from sentinode.errors import ProcessLost, RunError

# Linux' prctl(2): the signal that a process gets when the one that made it is gone.
_PR_SET_PDEATHSIG = 1


def stand_by(process: str) -> None:
    """Split this process: one returns and goes on, the other waits and ends as that one ends.

    When process 0 of a training is killed, JAX aborts the others, with a page of its own log and no way to catch it.
    The one that waits turns that into one line. Signals are passed on to the one that goes on, and it does not outlive
    the one that waits. Nothing happens where the system is not Linux. No thread may run yet.

    Parameters
    ----------
    process
        What this one is called, for the message.

    Raises
    ------
    ProcessLost
        In the one that waits: JAX ended the other.
    SystemExit
        In the one that waits, with the status of the other.
    """
    if not sys.platform.startswith("linux"):
        return
    passed_on = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)
    with tempfile.TemporaryFile(mode="w+", errors="replace") as said:
        parent, child = os.getpid(), os.fork()
        if not child:
            os.setpgid(0, 0)  # Ctrl-C comes once, passed on.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            os.dup2(said.fileno(), 2)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
            return
        for number in passed_on:
            signal.signal(number, lambda number, _: _send(child, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        text = said.read()
    if status in (1, -signal.SIGABRT) and "coordination" in text:  # JAX' log of a lost process; our line may be in it.
        ours = [line.removeprefix("error: ") for line in text.splitlines() if line.startswith("error: ")]
        raise RunError(ours[0]) if ours else ProcessLost(process)
    sys.stderr.write(text)
    sys.exit(status if status >= 0 else 128 - status)


def _send(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)
