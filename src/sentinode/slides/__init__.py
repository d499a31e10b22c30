"""Whole slides: read, scan, outline lesions, and score."""

from sentinode.slides.lesions import find_lesions as find_lesions
from sentinode.slides.scan import load_scanner as load_scanner
from sentinode.slides.scan import scan_slide as scan_slide
from sentinode.slides.slide import open_slide as open_slide
