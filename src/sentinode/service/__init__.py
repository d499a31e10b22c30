"""The HTTP application: predictions for images that are posted to it.

Each name is imported when it is first used, so that the viewer, which listens in the same way, starts without it.
"""

from typing import TYPE_CHECKING

from sentinode.lazy import import_when_used

if TYPE_CHECKING:
    from sentinode.service.application import create_application as create_application
    from sentinode.service.images import Limits as Limits

_MODULES = {"Limits": "sentinode.service.images", "create_application": "sentinode.service.application"}

__all__ = sorted(_MODULES)


__getattr__ = import_when_used(__name__, _MODULES)
