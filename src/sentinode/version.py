"""Versions from the metadata of installed packages, without importing them."""

from importlib.metadata import PackageNotFoundError, version

__version__ = version("sentinode")

# The packages that provide each backend, the preferred one first.
BACKEND_PACKAGES = {"tensorflow": ("tensorflow-cpu", "tensorflow"), "jax": ("jax",), "torch": ("torch",)}


def installed_version(*packages: str) -> str | None:
    """Return the version of the first of several packages that is installed, or None.

    Parameters
    ----------
    *packages : str
        Names of distributions.

    Returns
    -------
    str or None

    Examples
    --------
    >>> installed_version("no-such-package") is None
    True
    """
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None
