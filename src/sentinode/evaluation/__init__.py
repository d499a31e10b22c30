"""From predictions to numbers that can be believed, and the files that show them."""
