"""Whole slides: read, scan, outline lesions, score, and extract patches for training."""

from sentinode.slides.annotations import read_annotations as read_annotations
from sentinode.slides.extract import extract_patches as extract_patches
from sentinode.slides.lesions import find_lesions as find_lesions
from sentinode.slides.scan import load_scanner as load_scanner
from sentinode.slides.scan import scan_slide as scan_slide
from sentinode.slides.slide import open_slide as open_slide
