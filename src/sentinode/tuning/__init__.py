"""Which settings suit a set of patches best."""
