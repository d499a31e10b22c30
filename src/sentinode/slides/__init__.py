"""Whole slides: read, scan, outline lesions, score, and extract patches for training.

Each name is imported when it is first used, so that a process which only reads slides starts at once.
"""

from typing import TYPE_CHECKING

from sentinode.lazy import import_when_used

if TYPE_CHECKING:
    from sentinode.slides.annotations.read import read_annotations as read_annotations
    from sentinode.slides.extraction.extract import extract_patches as extract_patches
    from sentinode.slides.results.lesions import find_lesions as find_lesions
    from sentinode.slides.scanning.scan import scan_slide as scan_slide
    from sentinode.slides.scanning.scan_slides import scan_slides as scan_slides
    from sentinode.slides.scanning.scanner import load_scanner as load_scanner
    from sentinode.slides.slide import open_slide as open_slide

_MODULES = {
    "extract_patches": "sentinode.slides.extraction.extract",
    "find_lesions": "sentinode.slides.results.lesions",
    "load_scanner": "sentinode.slides.scanning.scanner",
    "open_slide": "sentinode.slides.slide",
    "read_annotations": "sentinode.slides.annotations.read",
    "scan_slide": "sentinode.slides.scanning.scan",
    "scan_slides": "sentinode.slides.scanning.scan_slides",
}

__all__ = sorted(_MODULES)


__getattr__ = import_when_used(__name__, _MODULES)
