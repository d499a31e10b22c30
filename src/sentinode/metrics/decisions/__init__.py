"""Decisions at a threshold: how to choose it, its metrics, and when to leave a patch to a person."""
