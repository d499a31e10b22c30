"""Pixels and outlines of slides, read in processes of their own."""
