"""Optimizer, schedule, weight averaging, precision and distillation."""
