"""From a model and patches to a run: a directory that stands by itself."""
