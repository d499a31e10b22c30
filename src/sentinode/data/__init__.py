"""Patches and what is known of them: from any source to uint8 pixels, without a backend."""
