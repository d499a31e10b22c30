"""Packages that only some features need; the extras of Sentinode install them."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sentinode.errors import ConfigError, first_line


def optional(module: str, extra: str, feature: str = "") -> Any:
    """Import a module of a package that one of the extras installs.

    Parameters
    ----------
    module, extra : str
    feature : str
        What needs it, such as a file; the message begins with it.

    Returns
    -------
    module

    Raises
    ------
    ConfigError
        It is not installed, and the message names the extra; or it cannot be imported.

    Examples
    --------
    >>> optional("no_such_engine", "onnx")
    Traceback (most recent call last):
    sentinode.errors.ConfigError: no_such_engine is not installed; pip install 'sentinode[onnx]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise _not_installed((error.name or module).partition(".")[0], extra, feature) from error
    except ImportError as error:
        raise ConfigError(f"{module} cannot be imported ({first_line(error)}); reinstall it") from error


def check_installed(module: str, extra: str, feature: str = "") -> None:
    """Check like `optional`, without importing the module, which may take seconds.

    Raises
    ------
    ConfigError
        It is not installed; the message names the extra.

    Examples
    --------
    >>> check_installed("no_such_engine", "onnx", "it")
    Traceback (most recent call last):
    sentinode.errors.ConfigError: it needs no_such_engine, which is not installed; pip install 'sentinode[onnx]'
    """
    if find_spec(module) is None:
        raise _not_installed(module, extra, feature)


def _not_installed(module: str, extra: str, feature: str) -> ConfigError:
    fact = f"{feature} needs {module}, which is not installed" if feature else f"{module} is not installed"
    return ConfigError(f"{fact}; pip install 'sentinode[{extra}]'")
