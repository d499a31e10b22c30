"""Identify patches: hashes, near duplicates, provenance."""
