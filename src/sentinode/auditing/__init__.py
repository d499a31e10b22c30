"""Audit a set of patches with a trained network: probable label errors and outliers."""
