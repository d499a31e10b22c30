"""Confidence intervals: the jackknife over patches or clusters, and proportions."""
