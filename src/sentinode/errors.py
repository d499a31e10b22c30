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


class RunError(SentinodeError):
    """A run directory cannot be written, is not whole, or belongs to other settings."""
