"""Calibration: fit it, and measure it."""
