"""Cache decoded patches on disk."""
