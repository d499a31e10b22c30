"""Import the public names of a package when they are first used, so that it starts with what a process needs."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def import_when_used(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package.

    Parameters
    ----------
    package : str
        Its name.
    modules : mapping of str to str
        The module of each public name.

    Returns
    -------
    callable
        Raises AttributeError for other names.

    Examples
    --------
    >>> import_when_used("shapes", {"sqrt": "math"})("sqrt")(9)
    3.0
    """

    def get(name: str) -> Any:
        if name in modules:
            return getattr(import_module(modules[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
