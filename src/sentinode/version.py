"""Versions, from the metadata of installed packages; nothing is imported for them."""

from importlib.metadata import PackageNotFoundError, version

__version__ = version("sentinode")

# The packages that bring each backend, the more particular first.
BACKEND_PACKAGES = {"tensorflow": ("tensorflow-cpu", "tensorflow"), "jax": ("jax",), "torch": ("torch",)}


def installed(*packages: str) -> str | None:
    """Return the version of the first of these packages that is installed, or None.

    Examples
    --------
    >>> installed("no-such-package") is None
    True
    """
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None
