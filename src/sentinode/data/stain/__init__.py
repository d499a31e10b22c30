"""Normalize and perturb stain and image appearance."""
