"""Figures drawn from numbers; nothing is computed here."""
