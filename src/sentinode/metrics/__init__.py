"""Arrays in, numbers out. Higher is better for whatever is named a score."""
