"""Quality checks without a model: near-blank and blurred patches, pen marks, clipping, and stain by group.

The thresholds were chosen on 28,000 real patches of PatchCamelyon and Kaggle, some of them blurred or painted on
purpose; ``benchmarks/quality_checks.py`` prints how many of these each check finds, and how many others.
"""

import numpy as np
import pandas as pd

from sentinode.data.quality.statistics import ChannelStatistics, QualityStatistics
from sentinode.data.types import UInt8Array

# PatchCamelyon's own background filter.
MIN_SATURATION = 0.07
# Standard deviation of the detail at 1 px, relative to the contrast of the patch.
MIN_SHARPNESS = 0.135
# Fractions of the pixels.
MAX_INK, MAX_BLACK, MAX_CLIPPED = 0.05, 0.2, 0.4

# Name and description of each check.
CHECKS = {
    "near_blank": "near-blank",
    "out_of_focus": "out of focus",
    "pen_marks": "with pen marks, dye or black areas",
    "clipped": "with clipped highlights",
}


def check_quality(channels: ChannelStatistics, statistics: QualityStatistics) -> pd.DataFrame:
    """Apply the quality checks to patches.

    Parameters
    ----------
    channels : ChannelStatistics
        Saturation of the patches.
    statistics : QualityStatistics
        Further statistics of the same patches.

    Returns
    -------
    DataFrame
        One row per patch and a bool column for each of `CHECKS`:

        - ``near_blank``: the saturation of every 8 × 8 px block is below 0.07, or the block is black.
        - ``out_of_focus``: the standard deviation of the detail at 1 px is below 13.5 % of the patch's contrast, and
          the patch is not near-blank. The patch is blurred or enlarged.
        - ``pen_marks``: 5 % of the pixels are green or blue as hematoxylin and eosin are not, or 20 % are black: a
          pen, the dye of cut margins, the edge of a slide, padding. Red, violet and gray ink is not detected, since it
          looks like eosin, hematoxylin and shadow.
        - ``clipped``: 40 % of the pixels have a channel at 255.
    """
    near_blank = channels.saturation < MIN_SATURATION
    black = statistics.black_fraction
    return pd.DataFrame(
        {
            "near_blank": near_blank,
            "out_of_focus": (statistics.detail[:, 0] < statistics.contrast + np.log(MIN_SHARPNESS)) & ~near_blank,
            "pen_marks": (statistics.ink_fraction >= MAX_INK) | ((black >= MAX_BLACK) & (black < 1)),
            "clipped": statistics.clipped_fraction >= MAX_CLIPPED,
        }
    )


def check_pixels(pixels: UInt8Array) -> pd.DataFrame:
    """Apply the quality checks to an array of patches; see `check_quality`.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n, 96, 96, 3)
        RGB patches.

    Returns
    -------
    DataFrame
        One row per patch and a bool column for each of `CHECKS`.

    Examples
    --------
    >>> check_pixels(np.full((1, 96, 96, 3), 240, np.uint8))["near_blank"].tolist()
    [True]
    """
    return check_quality(ChannelStatistics.from_pixels(pixels), QualityStatistics.from_pixels(pixels))


def stain_by_group(statistics: QualityStatistics, groups: pd.Series) -> pd.DataFrame:
    """Summarize the stain of groups of patches, such as slides or centres.

    Parameters
    ----------
    statistics : QualityStatistics
        Statistics of the patches.
    groups : Series of str
        Group of each patch.

    Returns
    -------
    DataFrame
        One row per group, the largest first: ``patches``; ``tissue``, the mean tissue fraction; ``hematoxylin`` and
        ``eosin``, means over patches, with their standard deviations ``hematoxylin_sd`` and ``eosin_sd``; ``red``,
        ``green``, ``blue``, the mean color of the tissue.
    """
    values = np.column_stack([statistics.tissue_fraction, statistics.stain_amounts, statistics.tissue_color])
    columns = ["tissue", "hematoxylin", "eosin", "red", "green", "blue"]
    table = pd.DataFrame(values, columns=columns).groupby(groups.to_numpy())
    means, deviations = table.mean(), table.std(ddof=0)
    summary = means.assign(
        patches=table.size(), hematoxylin_sd=deviations["hematoxylin"], eosin_sd=deviations["eosin"]
    ).rename_axis(index=None)
    order = ["patches", "tissue", "hematoxylin", "hematoxylin_sd", "eosin", "eosin_sd", "red", "green", "blue"]
    return summary[order].sort_values("patches", ascending=False, kind="stable")
