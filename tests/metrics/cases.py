"""Random labels, scores and clusters for the batteries of this folder."""

from collections.abc import Iterator

import numpy as np


def random_cases(count: int, seed: int, clusters: int | None = None) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield labels of both classes, scores with many ties (now and then all of one value), and clusters or None."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        patches = int(rng.integers(2, 60))
        labels = (rng.random(patches) < rng.choice([0.1, 0.5, 0.9])).astype(int)
        labels[:2] = 0, 1
        levels = int(rng.choice([1, 2, 5, 1000]))
        scores = rng.integers(0, levels, patches) / 7 + rng.choice([0.0, 0.5, 200.0]) * labels
        yield labels, scores, None if clusters is None else rng.integers(0, clusters, patches)
