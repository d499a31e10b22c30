"""Choose among the candidates of all slides."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sentinode.errors import DataError
from sentinode.slides.extraction.candidates import KINDS, Candidates, Kind
from sentinode.slides.extraction.config import ExtractConfig
from sentinode.slides.extraction.regions import Places


def choose(found: Sequence[Candidates], config: ExtractConfig) -> list[dict[Kind, Places]]:
    """Choose the places of each slide."""
    most = config.max_per_slide
    there = {kind: np.array([len(each.places[kind]) for each in found]) for kind in KINDS}
    tumour = np.minimum(there["tumour"], most)
    if config.balance == "equal" and tumour.sum() == 0:
        raise DataError(
            "no tumour patch on any slide, so there is nothing to balance normal patches with; add annotated "
            "slides with tumour, or take all with --balance all"
        )
    wanted = int(tumour.sum()) if config.balance == "equal" else most * len(found)
    hard = _spread(np.minimum(there["hard"], round(most * config.hard_fraction)), round(wanted * config.hard_fraction))
    random = _spread(np.minimum(there["random"], most - hard), wanted - int(hard.sum()))
    if config.balance == "equal":
        normal = int(hard.sum() + random.sum())
        if normal == 0:
            raise DataError(
                "no normal patch on any slide, so there is nothing to balance tumour patches with; add slides, or "
                "take all with --balance all"
            )
        tumour = _spread(tumour, normal)
    counts: dict[Kind, NDArray[np.int64]] = {"tumour": tumour, "hard": hard, "random": random}
    chosen = [{kind: each.places[kind][: counts[kind][number]] for kind in KINDS} for number, each in enumerate(found)]
    if not any(len(places) for each in chosen for places in each.values()):
        raise DataError(
            "no patch lies on the tissue of these slides; check whether it is smaller than 96 px at 0.972 µm/px"
        )
    return chosen


def _spread(most: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Divide a total into shares that are as equal as their limits allow.

    >>> _spread(np.array([1, 9, 9]), 10).tolist()
    [1, 5, 4]
    """
    shares = np.zeros_like(most)
    rest = min(total, int(most.sum()))
    while rest > 0:
        unfilled = np.flatnonzero(shares < most)[:rest]
        added = np.minimum(most[unfilled] - shares[unfilled], rest // len(unfilled))
        shares[unfilled] += added
        rest -= int(added.sum())
    return shares
