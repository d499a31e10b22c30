"""What a trained network sees in a set of patches that is wrong with the set: labels, and unusual patches."""
