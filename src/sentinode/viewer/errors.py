"""Errors that a page shows."""

from sentinode.errors import SentinodeError


class ViewerError(SentinodeError):
    """A request cannot be answered.

    Parameters
    ----------
    message : str
        What is wrong, and how to go on.
    status : int
        Status code of the answer.
    **facts : object
        Further entries of the answer.
    """

    def __init__(self, message: str, status: int = 400, **facts: object) -> None:
        super().__init__(message)
        self.status = status
        self.facts = facts


def not_found(what: str) -> ViewerError:
    """Return the error for something that is not among the targets."""
    return ViewerError(f"{what} not found; reload the page", 404)
