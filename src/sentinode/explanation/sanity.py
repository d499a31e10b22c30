"""What tells a good explanation from a pretty one.

A picture that stays the same when the weights are shuffled shows the patch, not the network (Adebayo et al. 2018,
Sanity checks for saliency maps). Hiding what is said to matter has to change the answer sooner than hiding anything
(Petsiuk et al. 2018, RISE). And PCam asks about the central 32 × 32 px alone.
"""

from dataclasses import dataclass

import keras
import numpy as np
from scipy.stats import spearmanr

from sentinode.data.types import PATCH_SHAPE
from sentinode.explanation.attributions import attributions, mean_colour
from sentinode.inference.logits import logit_model, probability, tumour_logit
from sentinode.training.recipe.averaging import recompute_batch_statistics

SIDE = PATCH_SHAPE[0]
CENTRE = slice(32, 64)
# Hidden and uncovered square by square.
TILE_PX = 8
TILES = (SIDE // TILE_PX) ** 2
AT_ONCE = 6
# The share of the squares that is touched at each point of a deletion or insertion curve.
SHARES = np.arange(0, TILES + 1, AT_ONCE) / TILES
# Networks with shuffled weights that an explanation is compared with.
SHUFFLES = 3


@dataclass(frozen=True)
class Trust:
    """The checks of one method on some patches. Of an explanation that is the same everywhere all are NaN.

    Attributes
    ----------
    central_share
        ``(n,)``: of what speaks for tumour, the part in the central 32 × 32 px; evenly spread it is 0.111. NaN where
        nothing speaks for tumour.
    deletion, insertion
        ``(n, 25)``: P(tumour) at each of `SHARES`, while squares are hidden or uncovered, those first that speak most
        for tumour.
    deletion_drawn, insertion_drawn
        The same with squares in random order.
    randomised
        ``(n,)``: rank correlation, without its sign, with the explanations of the same network, its weights shuffled;
        the mean over those of three that say something of the patch.
    """

    central_share: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    deletion_drawn: np.ndarray
    insertion_drawn: np.ndarray
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
        says = np.where(np.ptp(found, axis=(1, 2)) > 0, 1.0, np.nan)
        rng, network = np.random.default_rng(seed), logit_model(model)
        ranked = np.argsort(-_tiles(found), axis=1, kind="stable")
        drawn = rng.permuted(np.broadcast_to(np.arange(TILES), ranked.shape), axis=1)
        similarity = []
        for shuffle in range(SHUFFLES):
            others = attributions(shuffled(model, pixels, SHUFFLES * seed + shuffle), pixels, method)
            similarity.append([_likeness(one, other) for one, other in zip(found, others, strict=True)])
        return cls(
            central_share=central_share(found),
            deletion=_curve(network, pixels, ranked, uncover=False) * says[:, None],
            insertion=_curve(network, pixels, ranked, uncover=True) * says[:, None],
            deletion_drawn=_curve(network, pixels, drawn, uncover=False) * says[:, None],
            insertion_drawn=_curve(network, pixels, drawn, uncover=True) * says[:, None],
            randomised=_mean_of_known(np.array(similarity)),
        )

    @property
    def deletion_gain(self) -> np.ndarray:
        """How much lower P(tumour) is on the way than with squares in random order: above 0 is good."""
        return (self.deletion_drawn - self.deletion).mean(axis=1)

    @property
    def insertion_gain(self) -> np.ndarray:
        """How much higher P(tumour) is on the way than with squares in random order: above 0 is good."""
        return (self.insertion - self.insertion_drawn).mean(axis=1)

    @property
    def figures(self) -> dict[str, np.ndarray]:
        """The checks by name, one number a patch."""
        return {
            "central_share": self.central_share,
            "deletion_gain": self.deletion_gain,
            "insertion_gain": self.insertion_gain,
            "randomised": self.randomised,
        }


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


def shuffled(model: keras.Model, pixels: np.ndarray, seed: int) -> keras.Model:
    """Return a copy of a network whose kernels have their numbers in random order.

    The statistics of its normalisations are measured anew on the patches, uint8 ``(n, 96, 96, 3)``: with those of
    the trained weights it would answer the same to everything, and explain nothing.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model, pixels = build_model("cnn"), np.zeros((1, 96, 96, 3), np.uint8)
    >>> before, after = (np.sort(each.get_weights()[0], axis=None) for each in (model, shuffled(model, pixels, 0)))
    >>> bool((before == after).all())
    True
    """
    rng, copy = np.random.default_rng(seed), keras.models.clone_model(model)
    weights = [rng.permuted(weight, axis=None) if weight.ndim > 1 else weight for weight in model.get_weights()]
    copy.set_weights(weights)
    recompute_batch_statistics(copy, [pixels])
    return copy


def _tiles(found: np.ndarray) -> np.ndarray:
    """Return the mean of each square, ``(n, 144)``."""
    across = SIDE // TILE_PX
    return found.reshape(len(found), across, TILE_PX, across, TILE_PX).mean(axis=(2, 4)).reshape(len(found), TILES)


def _curve(network: keras.Model, pixels: np.ndarray, order: np.ndarray, uncover: bool) -> np.ndarray:
    """Return P(tumour) while squares are hidden or uncovered in an order of their own, ``(n, 25)``."""
    blank, across = mean_colour(pixels), SIDE // TILE_PX
    turn = np.argsort(order, axis=1)
    said = []
    for done in range(0, TILES + 1, AT_ONCE):
        touched = np.kron((turn < done).reshape(-1, across, across), np.ones((TILE_PX, TILE_PX), bool))[..., None]
        shown = np.where(touched == uncover, pixels, blank)
        said.append(probability(tumour_logit(network.predict_on_batch(shown))))
    return np.stack(said, axis=1)


def _mean_of_known(similarity: np.ndarray) -> np.ndarray:
    """Return the mean over shuffled networks; those that say nothing of a patch are no control for it."""
    known = ~np.isnan(similarity)
    count = known.sum(axis=0)
    total = np.where(known, similarity, 0).sum(axis=0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.nan
    return abs(float(spearmanr(one, other, axis=None).statistic))
