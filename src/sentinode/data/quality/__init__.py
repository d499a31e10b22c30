"""Check the image quality of patches."""
