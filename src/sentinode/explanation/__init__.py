"""Where in a patch a network finds its evidence, and whether such a picture can be believed."""
