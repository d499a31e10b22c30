"""From a model and patches to logits and probabilities."""
