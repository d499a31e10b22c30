"""Slide readers: one module per library, each behind the same protocol."""
