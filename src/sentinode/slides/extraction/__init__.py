"""Labeled patches from annotated slides."""
