"""The HTTP application: predictions for images that are posted to it.

Each name is imported when it is first used, so that the viewer, which listens in the same way, starts without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinode.service.application import create_application as create_application
    from sentinode.service.images import Limits as Limits

_MODULES = {"Limits": "sentinode.service.images", "create_application": "sentinode.service.application"}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'sentinode.service' has no attribute {name!r}")
