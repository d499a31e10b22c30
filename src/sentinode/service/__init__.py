"""The HTTP application: predictions for images that are posted to it."""

from sentinode.service.application import create_application
from sentinode.service.images import Limits

__all__ = ["Limits", "create_application"]
