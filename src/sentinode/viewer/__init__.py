"""The viewer: slides, heat maps and decisions in the browser."""

from sentinode.viewer.application import create_viewer as create_viewer
from sentinode.viewer.start import start_viewer as start_viewer
from sentinode.viewer.targets import Targets as Targets
from sentinode.viewer.targets import sort_targets as sort_targets
