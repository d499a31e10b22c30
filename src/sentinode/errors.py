"""What can go wrong, as one small tree of exceptions.

Every message says what is wrong, where, what was found, and how to go on, on one line:
the command line prints it as it stands.
"""


class SentinodeError(Exception):
    """Anything that Sentinode refuses, with the way out in the message."""


class DataError(SentinodeError):
    """The data are not what they should be: a broken file, a wrong shape, a missing label."""


class ConfigError(SentinodeError):
    """A setting has a value that it cannot have, or two settings contradict each other."""


class ModelError(SentinodeError):
    """A model cannot be built, loaded or used."""


class TrainingStopped(SentinodeError):  # noqa: N818 - it is not an error
    """A training was asked to stop by a signal; all is saved, and the same call goes on.

    Attributes
    ----------
    signal_number
        SIGINT or SIGTERM.
    """

    def __init__(self, where: str, signal_number: int) -> None:
        super().__init__(f"{where}; everything is saved, and the same command goes on from there")
        self.signal_number = signal_number


class RunError(SentinodeError):
    """A run directory cannot be written, is not whole, or belongs to other settings."""


class TrainingDiverged(RunError):  # noqa: N818 - named like TrainingStopped
    """A loss is not finite any more: these settings lead nowhere."""


class ProcessLost(RunError):  # noqa: N818 - named like TrainingStopped
    """Another process of a training is gone, and the training with it; the last checkpoint is whole.

    Examples
    --------
    >>> print(ProcessLost("process 1"))
    process 1: another process was lost; the same command in every process goes on from the last checkpoint
    """

    def __init__(self, process: str, because: str = "") -> None:
        reason = f" ({because})" if because else ""
        super().__init__(
            f"{process}: another process was lost{reason}; "
            "the same command in every process goes on from the last checkpoint"
        )


def first_line(error: BaseException) -> str:
    r"""Return the first line of what an exception says, or its kind when it says nothing.

    Examples
    --------
    >>> first_line(ValueError("no such shape\nlong story")), first_line(KeyError())
    ('no such shape', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
