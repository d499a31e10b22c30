"""Annotations of slides: outlines and masks."""
