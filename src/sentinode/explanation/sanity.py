"""Sanity checks of attribution maps.

A map that does not change when the weights are randomized depends on the patch rather than on the network (Adebayo et
al., Sanity checks for saliency maps, NeurIPS 2018). Deleting the pixels with the largest attributions must lower the
probability faster than deleting random ones (deletion and insertion curves: Petsiuk et al., RISE, BMVC 2018). The label
of a PatchCamelyon patch depends on its central 32 × 32 px.
"""

from dataclasses import dataclass

import keras
import numpy as np
from scipy.stats import spearmanr

from sentinode.data.types import PATCH_SHAPE
from sentinode.explanation.attributions import attributions, mean_color
from sentinode.explanation.model_split import after_exposure_correction
from sentinode.inference.logits import logit_model, probability, tumour_logit
from sentinode.training.recipe.averaging import recompute_batch_statistics

SIDE = PATCH_SHAPE[0]
CENTER = slice(32, 64)
# Squares that are deleted or inserted.
TILE_PX = 8
TILES = (SIDE // TILE_PX) ** 2
TILES_PER_STEP = 6
# The fraction of the squares deleted or inserted at each point of a curve.
FRACTIONS = np.arange(0, TILES + 1, TILES_PER_STEP) / TILES
# Networks with randomized weights.
RANDOMIZATIONS = 3


@dataclass(frozen=True)
class SanityChecks:
    """Checks of one attribution method on some patches; NaN for constant maps.

    Attributes
    ----------
    central_share : ndarray of shape (n,)
        The fraction of the positive attribution in the central 32 × 32 px; 0.111 for a uniform map. NaN if no
        attribution is positive.
    deletion, insertion : ndarray of shape (n, 25)
        P(tumour) at each of `FRACTIONS`, while squares are deleted or inserted in descending order of attribution.
    deletion_random, insertion_random : ndarray of shape (n, 25)
        The same in random order.
    randomization_correlation : ndarray of shape (n,)
        Absolute rank correlation with the maps of the network with randomized weights; the mean over those of three
        such networks whose map is not constant.
    """

    central_share: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    deletion_random: np.ndarray
    insertion_random: np.ndarray
    randomization_correlation: np.ndarray

    @classmethod
    def measure(cls, model: keras.Model, pixels: np.ndarray, method: str, seed: int = 0) -> "SanityChecks":
        """Run the checks.

        Parameters
        ----------
        model : keras.Model
            See `attributions`.
        pixels : ndarray of uint8, shape (n, 96, 96, 3)
            The patches.
        method : str
            See `attributions`.
        seed : int
            Seed of the random orders and of the randomized weights.
        """
        model, pixels = after_exposure_correction(model, pixels)
        found = attributions(model, pixels, method)
        defined = np.where(np.ptp(found, axis=(1, 2)) > 0, 1.0, np.nan)
        rng, network = np.random.default_rng(seed), logit_model(model)
        ranked = np.argsort(-_tiles(found), axis=1, kind="stable")
        random = rng.permuted(np.broadcast_to(np.arange(TILES), ranked.shape), axis=1)
        correlations = []
        for number in range(RANDOMIZATIONS):
            others = attributions(randomized(model, pixels, RANDOMIZATIONS * seed + number), pixels, method)
            correlations.append([_correlation(one, other) for one, other in zip(found, others, strict=True)])
        return cls(
            central_share=central_share(found),
            deletion=_curve(network, pixels, ranked, insert=False) * defined[:, None],
            insertion=_curve(network, pixels, ranked, insert=True) * defined[:, None],
            deletion_random=_curve(network, pixels, random, insert=False) * defined[:, None],
            insertion_random=_curve(network, pixels, random, insert=True) * defined[:, None],
            randomization_correlation=_mean_of_known(np.array(correlations)),
        )

    @property
    def deletion_gain(self) -> np.ndarray:
        """Mean drop of P(tumour) over the deletion curve, compared with the random order; above 0 is good."""
        return (self.deletion_random - self.deletion).mean(axis=1)

    @property
    def insertion_gain(self) -> np.ndarray:
        """Mean rise of P(tumour) over the insertion curve, compared with the random order; above 0 is good."""
        return (self.insertion - self.insertion_random).mean(axis=1)

    @property
    def values(self) -> dict[str, np.ndarray]:
        """The checks by name, one value per patch."""
        return {
            "central_share": self.central_share,
            "deletion_gain": self.deletion_gain,
            "insertion_gain": self.insertion_gain,
            "randomization_correlation": self.randomization_correlation,
        }


def central_share(found: np.ndarray) -> np.ndarray:
    """Return the fraction of the positive attribution in the central 32 × 32 px; NaN if there is none.

    Examples
    --------
    >>> central_share(np.ones((1, 96, 96))).round(3).tolist()
    [0.111]
    """
    positive = np.maximum(found, 0)
    total = positive.sum(axis=(1, 2))
    inside = positive[:, CENTER, CENTER].sum(axis=(1, 2))
    return np.divide(inside, total, out=np.full(len(found), np.nan), where=total > 0)


def randomized(model: keras.Model, pixels: np.ndarray, seed: int) -> keras.Model:
    """Return a copy of a network with the values of each kernel in random order.

    Batch statistics are recomputed on the patches, uint8 ``(n, 96, 96, 3)``; with those of the trained weights the
    output would be constant.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model, pixels = build_model("cnn"), np.zeros((1, 96, 96, 3), np.uint8)
    >>> before, after = (np.sort(each.get_weights()[0], axis=None) for each in (model, randomized(model, pixels, 0)))
    >>> bool((before == after).all())
    True
    """
    rng, copy = np.random.default_rng(seed), keras.models.clone_model(model)
    weights = [rng.permuted(weight, axis=None) if weight.ndim > 1 else weight for weight in model.get_weights()]
    copy.set_weights(weights)
    recompute_batch_statistics(copy, [pixels])
    return copy


def _tiles(found: np.ndarray) -> np.ndarray:
    across = SIDE // TILE_PX
    return found.reshape(len(found), across, TILE_PX, across, TILE_PX).mean(axis=(2, 4)).reshape(len(found), TILES)


def _curve(network: keras.Model, pixels: np.ndarray, order: np.ndarray, insert: bool) -> np.ndarray:
    """Return P(tumour) while squares are deleted or inserted in the given order, ``(n, 25)``."""
    blank, across = mean_color(pixels), SIDE // TILE_PX
    rank = np.argsort(order, axis=1)
    probabilities = []
    for done in range(0, TILES + 1, TILES_PER_STEP):
        touched = np.kron((rank < done).reshape(-1, across, across), np.ones((TILE_PX, TILE_PX), bool))[..., None]
        shown = np.where(touched == insert, pixels, blank)
        probabilities.append(probability(tumour_logit(network.predict_on_batch(shown))))
    return np.stack(probabilities, axis=1)


def _mean_of_known(correlations: np.ndarray) -> np.ndarray:
    """Return the mean over the randomized networks, without those whose map of a patch is constant."""
    known = ~np.isnan(correlations)
    count = known.sum(axis=0)
    total = np.where(known, correlations, 0).sum(axis=0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.nan
    return abs(float(spearmanr(one, other, axis=None).statistic))
