"""Routes of the viewer, each with what it checks of a request."""
