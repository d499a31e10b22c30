"""Persist and inspect the state of a training run."""
