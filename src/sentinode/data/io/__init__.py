"""Read files, archives, images and csv tables."""
