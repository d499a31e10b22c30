"""The viewer: slides, heat maps and decisions in the browser.

Each name is imported when it is first used, so that `sentinode view` starts with what it needs.
"""

from typing import TYPE_CHECKING

from sentinode.lazy import import_when_used

if TYPE_CHECKING:
    from sentinode.viewer.application import create_viewer as create_viewer
    from sentinode.viewer.start import start_viewer as start_viewer
    from sentinode.viewer.targets import Targets as Targets
    from sentinode.viewer.targets import sort_targets as sort_targets

_MODULES = {
    "Targets": "sentinode.viewer.targets",
    "create_viewer": "sentinode.viewer.application",
    "sort_targets": "sentinode.viewer.targets",
    "start_viewer": "sentinode.viewer.start",
}

__all__ = sorted(_MODULES)


__getattr__ = import_when_used(__name__, _MODULES)
