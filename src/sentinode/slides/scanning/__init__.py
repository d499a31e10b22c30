"""Scans of one slide and of many."""
