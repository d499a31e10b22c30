"""Exposure correction: the factor that brings the brightest pixel of an underexposed patch close to white."""

import numpy as np
from numpy.typing import NDArray

# White at 1/√2 of its brightness. 1 in 3,000 training patches is darker. A higher limit would take many blurred patches
# for underexposed, since blur takes the brightest pixels from dense tissue.
BRIGHTEST_UNDEREXPOSED = 180
# Darker ones show no light at all, such as the black frame of a scanner.
DARKEST_UNDEREXPOSED = 64
# Steps of 9 % keep the number of factors small that a scan needs.
_STEPS_PER_DOUBLING = 8


def exposure_factors(limit: int = BRIGHTEST_UNDEREXPOSED) -> NDArray[np.float32]:
    """Return the factor on all pixels of a patch, for each gray level of its brightest pixel.

    Parameters
    ----------
    limit : int
        Brighter patches are not underexposed.

    Returns
    -------
    ndarray of float32, shape (256,)
        1 for patches that are not underexposed. A level is that of the largest of the three channels.
    """
    brightest = np.arange(256)
    doublings = np.log2(255 / np.maximum(brightest, 1))
    factors = 2 ** (np.floor(_STEPS_PER_DOUBLING * doublings) / _STEPS_PER_DOUBLING)
    underexposed = (brightest >= DARKEST_UNDEREXPOSED) & (brightest <= limit)
    return np.where(underexposed, factors, 1).astype(np.float32)


EXPOSURE_FACTORS = exposure_factors()
