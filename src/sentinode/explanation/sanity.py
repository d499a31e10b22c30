"""What tells a good explanation from a pretty one.

A picture that stays the same when the weights are shuffled shows the patch, not the network (Adebayo et al. 2018,
Sanity checks for saliency maps). Hiding what is said to matter has to change the answer sooner than hiding anything
(Petsiuk et al. 2018, RISE). And PCam asks about the central 32 × 32 px alone.
"""

from dataclasses import dataclass

import keras
import numpy as np
from scipy.stats import spearmanr

from sentinode.data.patchset import PATCH_SHAPE
from sentinode.explanation.attributions import attributions, mean_colour
from sentinode.prediction.logits import logit_model, probability, tumour_logit

SIDE = PATCH_SHAPE[0]
CENTRE = slice(32, 64)
# Hidden and uncovered square by square.
TILE_PX = 8
TILES = (SIDE // TILE_PX) ** 2
AT_ONCE = 6


@dataclass(frozen=True)
class Trust:
    """The checks of one method on some patches, one number a patch.

    Attributes
    ----------
    central_share
        Of what speaks for tumour, the part in the central 32 × 32 px; evenly spread it is 0.111.
    deletion_gain
        Mean P(tumour) while squares are hidden in random order, less that while those are hidden first that speak most
        for tumour: above 0 the explanation finds what the network needs.
    insertion_gain
        The same for squares that are uncovered, the other way round: above 0 is good.
    randomised
        Rank correlation with the explanation of the same network, its weights shuffled: near 0 is good.
    """

    central_share: np.ndarray
    deletion_gain: np.ndarray
    insertion_gain: np.ndarray
    randomised: np.ndarray

    @classmethod
    def of(cls, model: keras.Model, pixels: np.ndarray, method: str, seed: int = 0) -> "Trust":
        """Measure it.

        Parameters
        ----------
        model, pixels, method
            As for `attributions`.
        seed
            Of random orders and of shuffling.
        """
        found = attributions(model, pixels, method)
        others = attributions(shuffled(model, seed), pixels, method)
        rng, network = np.random.default_rng(seed), logit_model(model)
        ranked = np.argsort(-_tiles(found), axis=1, kind="stable")
        drawn = rng.permuted(np.broadcast_to(np.arange(TILES), ranked.shape), axis=1)
        areas = {
            (name, way): _area(network, pixels, order, uncover=way == "insertion")
            for name, order in (("ranked", ranked), ("drawn", drawn))
            for way in ("deletion", "insertion")
        }
        return cls(
            central_share(found),
            areas["drawn", "deletion"] - areas["ranked", "deletion"],
            areas["ranked", "insertion"] - areas["drawn", "insertion"],
            np.array([_rank_correlation(one, other) for one, other in zip(found, others, strict=True)]),
        )


def central_share(found: np.ndarray) -> np.ndarray:
    """Return the part of what speaks for tumour that lies in the central 32 × 32 px; NaN where nothing does.

    Examples
    --------
    >>> central_share(np.ones((1, 96, 96))).round(3).tolist()
    [0.111]
    """
    positive = np.maximum(found, 0)
    total = positive.sum(axis=(1, 2))
    inside = positive[:, CENTRE, CENTRE].sum(axis=(1, 2))
    return np.divide(inside, total, out=np.full(len(found), np.nan), where=total > 0)


def shuffled(model: keras.Model, seed: int) -> keras.Model:
    """Return a copy of a network whose kernels have their numbers in random order.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model = build_model("cnn")
    >>> before, after = (np.sort(each.get_weights()[0], axis=None) for each in (model, shuffled(model, 0)))
    >>> bool((before == after).all())
    True
    """
    rng, copy = np.random.default_rng(seed), keras.models.clone_model(model)
    weights = [rng.permuted(weight, axis=None) if weight.ndim > 1 else weight for weight in model.get_weights()]
    copy.set_weights(weights)
    return copy


def _tiles(found: np.ndarray) -> np.ndarray:
    """Return the mean of each square, ``(n, 144)``."""
    across = SIDE // TILE_PX
    return found.reshape(len(found), across, TILE_PX, across, TILE_PX).mean(axis=(2, 4)).reshape(len(found), TILES)


def _area(network: keras.Model, pixels: np.ndarray, order: np.ndarray, uncover: bool) -> np.ndarray:
    """Return the mean P(tumour) over the whole way of hiding or uncovering squares in an order of their own."""
    blank, across = mean_colour(pixels), SIDE // TILE_PX
    turn = np.argsort(order, axis=1)
    said = []
    for done in range(0, TILES + 1, AT_ONCE):
        touched = np.kron((turn < done).reshape(-1, across, across), np.ones((TILE_PX, TILE_PX), bool))[..., None]
        shown = np.where(touched == uncover, pixels, blank)
        said.append(probability(tumour_logit(network.predict_on_batch(shown))))
    return np.mean(said, axis=0)


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0  # One that says nothing says nothing alike.
    return float(spearmanr(one, other, axis=None).statistic)
