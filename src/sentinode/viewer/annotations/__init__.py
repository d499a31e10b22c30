"""Decisions and drawn regions: files, features, agreement of users."""
