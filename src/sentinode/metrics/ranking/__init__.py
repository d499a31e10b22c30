"""How well scores separate the classes: ROC and precision-recall curves, their areas, comparisons."""
