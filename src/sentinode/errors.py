"""Exceptions of the package.

Every message is one line that says what is wrong, where, which value was found, and how to go on. The command line
prints it unchanged.
"""

# The way out that all errors about a damaged run name.
DAMAGED_RUN = "the run directory is incomplete or damaged; copy it again"


class SentinodeError(Exception):
    """Base class of all errors that Sentinode raises on purpose."""


class DataError(SentinodeError):
    """Data are unusable: a broken file, a wrong shape, a missing label."""


class ConfigError(SentinodeError):
    """An argument has an invalid value, or two arguments contradict each other."""


class ModelError(SentinodeError):
    """A model cannot be built, loaded or used."""


class OutputError(SentinodeError):
    """Results cannot be written where they were asked for."""


class TrainingStopped(SentinodeError):  # noqa: N818 - not an error
    """A signal stopped a training run after it had saved its state; the same call resumes it.

    Attributes
    ----------
    signal_number : int
        SIGINT or SIGTERM.
    """

    def __init__(self, where: str, signal_number: int) -> None:
        super().__init__(f"{where}; the state is saved, run the same command again to resume")
        self.signal_number = signal_number


class RunError(SentinodeError):
    """A run directory cannot be written, is incomplete, or belongs to other settings."""


class TrainingDiverged(RunError):  # noqa: N818 - named like TrainingStopped
    """The loss of a training run is no longer finite."""


class ProcessLost(RunError):  # noqa: N818 - named like TrainingStopped
    """Another process of a distributed training has ended, and this one cannot continue without it.

    Parameters
    ----------
    process : str
        The process that raises the error.
    cause : str, optional
        How the loss was noticed.

    Examples
    --------
    >>> print(ProcessLost("process 1"))
    process 1: another process was lost; run the same command in every process to resume from the last checkpoint
    """

    def __init__(self, process: str, cause: str = "") -> None:
        reason = f" ({cause})" if cause else ""
        super().__init__(
            f"{process}: another process was lost{reason}; "
            "run the same command in every process to resume from the last checkpoint"
        )


def first_line(error: BaseException) -> str:
    r"""Return the first line of an exception's message, or the name of its class when it has none.

    Examples
    --------
    >>> first_line(ValueError("no such shape\nlong story")), first_line(KeyError())
    ('no such shape', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def plural(count: int, noun: str) -> str:
    """Format a count with its noun.

    Examples
    --------
    >>> plural(1, "patch"), plural(1200, "patch"), plural(2, "epoch"), plural(0, "entry")
    ('1 patch', '1,200 patches', '2 epochs', '0 entries')
    """
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}{'es' if noun.endswith('tch') else 's'}"
    return f"{count:,} {noun}"
