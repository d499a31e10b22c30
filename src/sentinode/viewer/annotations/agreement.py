"""Compare the decisions of two users."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from sentinode.viewer.annotations.features import LABELS


def agreement(reviews: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """Compare the two users who decided on the most objects in common.

    Parameters
    ----------
    reviews : iterable of mapping
        For each object the class that each user gave it last. Classes other than tumour and normal are left out.

    Returns
    -------
    dict
        ``users``, ``n`` objects in common, and Cohen's ``kappa`` (None where it is not defined).

    Examples
    --------
    >>> agreement([{"a": "Tumor", "b": "Tumor"}, {"a": "Normal", "b": "Normal"}, {"a": "Tumor"}])["kappa"]
    1.0
    """
    from sentinode.metrics import kappa  # Starts slowly; most viewers have one user.

    known = [{user: LABELS[kind] for user, kind in each.items() if kind in LABELS} for each in reviews]
    pairs = Counter(pair for each in known for pair in combinations(sorted(each), 2))
    if not pairs:
        return {"users": [], "n": 0, "kappa": None}
    first, second = min(pairs, key=lambda pair: (-pairs[pair], pair))
    both = [(each[first], each[second]) for each in known if first in each and second in each]
    # One class alone leaves no agreement beyond chance to measure.
    defined = len({label for pair in both for label in pair}) > 1 and len(both) > 1
    value = float(kappa(*np.array(both).T).estimate) if defined else None
    return {"users": [first, second], "n": len(both), "kappa": value}
