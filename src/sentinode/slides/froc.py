"""Free-response ROC curve of lesion detection, as the two evaluation scripts of CAMELYON16 define it.

``"2016"`` is the challenge's original script. ``"data"`` is the newer one that is distributed with the images. They
differ in the mask's tumour value, in how coordinates are rounded, and in how the score reads the curve; see `Variant`.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from sentinode.errors import DataError, plural

# False positives per slide at which sensitivities are averaged.
FALSE_POSITIVE_RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
# Lesions closer than this are one; shorter ones than ITC_UM, after merging, are isolated tumour cells.
MERGE_UM, ITC_UM = 75.0, 275.0
_ANY_NEIGHBOR = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Variant:
    """What differs between the two scripts.

    Attributes
    ----------
    tumour_value : int
        Value of tumour in the mask.
    rounds_coordinates : bool
        Whether coordinates in the mask are rounded to the nearest pixel; otherwise they are rounded down.
    interpolates : bool
        Whether the sensitivity at a rate is interpolated; otherwise it is that of the first point of the curve with at
        least this rate.
    skips_lowest : bool
        Whether the lowest score is no threshold; otherwise only 0 is none.
    single_precision : bool
        Whether scores of hits are rounded to float32. Those of false positives are not, so that a hit may outlast a
        false positive with the same score.
    """

    tumour_value: int
    rounds_coordinates: bool
    interpolates: bool
    skips_lowest: bool
    single_precision: bool


VARIANTS = {
    "2016": Variant(
        tumour_value=255, rounds_coordinates=False, interpolates=True, skips_lowest=True, single_precision=True
    ),
    "data": Variant(
        tumour_value=2, rounds_coordinates=True, interpolates=False, skips_lowest=False, single_precision=False
    ),
}


@dataclass(frozen=True)
class EvaluationMask:
    """The lesions of a slide as the scripts count them.

    Attributes
    ----------
    labels : ndarray of int, shape (rows, columns)
        Number of the lesion at each pixel, 0 outside.
    itc : frozenset of int
        Numbers of lesions that are isolated tumour cells: hits there are neither true nor false positives.
    level0_px : float
        Side of a mask pixel in level-0 px.
    """

    labels: NDArray[np.int32]
    itc: frozenset[int]
    level0_px: float

    @property
    def lesions(self) -> int:
        """Number of lesions that have to be found."""
        return int(self.labels.max(initial=0)) - len(self.itc)


@dataclass(frozen=True)
class SlideDetections:
    """Detections of one slide, sorted into true and false positives.

    Attributes
    ----------
    true_positives : ndarray of float32 or float64
        For each label of the mask the largest score in it, 0 where there is none.
    false_positives : ndarray of float64
        Score of each detection outside all lesions.
    lesions : int
        Number of lesions that have to be found.
    """

    true_positives: NDArray[np.floating]
    false_positives: NDArray[np.float64]
    lesions: int


@dataclass(frozen=True)
class FrocCurve:
    """Free-response ROC curve.

    Attributes
    ----------
    thresholds : ndarray of float
        Score from which on a detection counts, rising; infinity at the last point.
    false_positives_per_slide : ndarray of float
        At each threshold.
    sensitivity : ndarray of float
        Share of lesions found at each threshold.
    sensitivities : tuple of float
        At `FALSE_POSITIVE_RATES`.
    score : float
        Mean of `sensitivities`: the challenge's score.
    """

    thresholds: NDArray[np.float64]
    false_positives_per_slide: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    sensitivities: tuple[float, ...]
    score: float


def evaluation_mask(
    mask: ArrayLike, spacing_um_px: float, *, level0_px: float = 32.0, variant: str = "2016"
) -> EvaluationMask:
    """Label the lesions of a slide.

    Tumour is grown by 37.5 µm, holes are filled, and touching regions are one lesion. A lesion is isolated tumour cells
    where the longer axis of the ellipse with the same second moments is shorter than 275 µm.

    Parameters
    ----------
    mask : array_like of int, shape (rows, columns)
        Tumour is 255 (``"2016"``) or 2 (``"data"``).
    spacing_um_px : float
        µm per pixel of the mask.
    level0_px : float
        Side of a mask pixel in level-0 px: 32 for level 5, which the challenge used.
    variant : {"2016", "data"}
        The script to follow.

    Returns
    -------
    EvaluationMask

    Raises
    ------
    DataError
        The mask has values other than 0 but none of them is tumour's, or the spacing is not positive.

    Examples
    --------
    >>> mask = np.zeros((100, 100))
    >>> mask[20:60, 20:60] = 255
    >>> evaluation_mask(mask, 7.776).lesions
    1
    """
    values = np.asarray(mask)
    if not spacing_um_px > 0:
        raise DataError(f"mask spacing {spacing_um_px} µm/px: it must be positive")
    tumour = values == _variant(variant).tumour_value
    if not tumour.any():
        if values.any():
            found = ", ".join(str(value) for value in np.unique(values[values != 0])[:4])
            raise DataError(
                f"the mask has no tumour value {VARIANTS[variant].tumour_value} but {found}; "
                "masks of the 2016 script mark tumour with 255, those distributed with the data with 2"
            )
        return EvaluationMask(np.zeros(values.shape, np.int32), frozenset(), level0_px)
    near = ndimage.distance_transform_edt(~tumour) < MERGE_UM / (spacing_um_px * 2)
    labels, count = ndimage.label(ndimage.binary_fill_holes(near), _ANY_NEIGHBOR)
    limit_px = ITC_UM / spacing_um_px
    small = np.flatnonzero(_major_axes_px(labels, count) < limit_px) + 1
    return EvaluationMask(labels.astype(np.int32), frozenset(small.tolist()), level0_px)


def _major_axes_px(labels: NDArray[np.integer], count: int) -> NDArray[np.float64]:
    """Return the longer axis of the ellipse with the second moments of each label's pixel centers, in px."""
    rows, columns = np.nonzero(labels)
    number = labels[rows, columns]
    size = np.maximum(np.bincount(number, minlength=count + 1), 1)

    def moment(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(number, values, minlength=count + 1) / size

    down, across = rows - moment(rows.astype(float))[number], columns - moment(columns.astype(float))[number]
    vertical, horizontal, mixed = moment(down * down), moment(across * across), moment(down * across)
    largest = (vertical + horizontal) / 2 + np.sqrt(np.square((vertical - horizontal) / 2) + np.square(mixed))
    return 4 * np.sqrt(np.maximum(largest[1:], 0))


def match_detections(
    scores: ArrayLike, x_px: ArrayLike, y_px: ArrayLike, mask: EvaluationMask | None, *, variant: str = "2016"
) -> SlideDetections:
    """Sort the detections of one slide into true and false positives.

    Parameters
    ----------
    scores : array_like of float, shape (n,)
        Probability of each detection.
    x_px, y_px : array_like of float, shape (n,)
        Place of each detection in level-0 px.
    mask : EvaluationMask or None
        Lesions; None for a slide without tumour, on which every detection is a false positive.
    variant : {"2016", "data"}
        The script to follow.

    Returns
    -------
    SlideDetections
        Several hits of one lesion count once, with the largest score. Hits of isolated tumour cells count nowhere.

    Raises
    ------
    DataError
        The arrays differ in length, a score is NaN, or a detection lies outside the mask.
    """
    score, x, y = (np.asarray(values, dtype=float).reshape(-1) for values in (scores, x_px, y_px))
    if not len(score) == len(x) == len(y):
        raise DataError(f"{len(score)} scores, {len(x)} x and {len(y)} y: each detection needs all three")
    if np.isnan(score).any():
        raise DataError(f"the score of detection {int(np.argmax(np.isnan(score)))} is NaN; leave it out")
    chosen = _variant(variant)
    precision: np.dtype[np.floating] = np.dtype(np.float32 if chosen.single_precision else np.float64)
    if mask is None:
        return SlideDetections(np.zeros(0, precision), score, 0)
    convert = np.rint if chosen.rounds_coordinates else np.floor
    column, row = (convert(place / mask.level0_px).astype(int) for place in (x, y))
    rows, columns = mask.labels.shape
    outside = (row < 0) | (row >= rows) | (column < 0) | (column >= columns)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise DataError(
            f"detection {first} at x {x[first]:g}, y {y[first]:g} px lies outside the mask of {columns} × {rows} px "
            f"({mask.level0_px:g} level-0 px each); coordinates are level-0 px"
        )
    hit = mask.labels[row, column]
    found = np.zeros(int(mask.labels.max(initial=0)), precision)
    counts = (hit > 0) & ~np.isin(hit, list(mask.itc))
    np.maximum.at(found, hit[counts] - 1, score[counts].astype(precision))
    return SlideDetections(found, score[hit == 0], mask.lesions)


def froc(slides: Mapping[str, SlideDetections] | Sequence[SlideDetections], *, variant: str = "2016") -> FrocCurve:
    """Compute the free-response ROC curve of all slides and the challenge's score.

    Parameters
    ----------
    slides : mapping or sequence of SlideDetections
        Each slide once, those without detections and without tumour included.
    variant : {"2016", "data"}
        The script to follow.

    Returns
    -------
    FrocCurve

    Raises
    ------
    DataError
        There is no slide, or no lesion to find.

    Examples
    --------
    >>> mask = np.zeros((100, 100))
    >>> mask[20:60, 20:60] = 255
    >>> lesion = evaluation_mask(mask, 7.776)
    >>> hit = match_detections([0.9, 0.3], [1280, 3100], [1280, 3100], lesion)
    >>> froc([hit, match_detections([], [], [], None)]).sensitivities
    (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    """
    chosen = _variant(variant)
    each = list(slides.values()) if isinstance(slides, Mapping) else list(slides)
    lesions = sum(slide.lesions for slide in each)
    if not each or lesions == 0:
        raise DataError(
            f"{plural(len(each), 'slide')} with {plural(lesions, 'lesion')}: a FROC curve needs slides with lesions"
        )
    true = np.concatenate([slide.true_positives for slide in each])
    false = np.concatenate([slide.false_positives for slide in each])
    scores = np.unique(np.concatenate([true.astype(float), false]))
    thresholds = scores[1:] if chosen.skips_lowest else scores[scores > 0]
    called_true = len(true) - np.searchsorted(np.sort(true), thresholds.astype(true.dtype))
    called_false = len(false) - np.searchsorted(np.sort(false), thresholds)
    rate = np.append(called_false, 0) / len(each)
    sensitivity = np.append(called_true, 0) / lesions
    rising_rate, rising_sensitivity = rate[::-1], sensitivity[::-1]
    if chosen.interpolates:
        at = [float(value) for value in np.interp(FALSE_POSITIVE_RATES, rising_rate, rising_sensitivity)]
    else:
        places = [min(bisect_left(rising_rate.tolist(), wanted), len(rate) - 1) for wanted in FALSE_POSITIVE_RATES]
        at = [float(rising_sensitivity[place]) for place in places]
    return FrocCurve(np.append(thresholds, np.inf), rate, sensitivity, tuple(at), float(np.mean(at)))


def _variant(name: str) -> Variant:
    if name not in VARIANTS:
        raise DataError(f"FROC variant {name!r}: it must be one of {', '.join(VARIANTS)}")
    return VARIANTS[name]
