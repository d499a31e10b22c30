"""Exposure correction: the factor that brings the brightest spot of an underexposed patch close to white.

A spot is a square of 2 × 2 px, and its gray level the largest rounded mean of a channel. Noise and JPEG compression
change single pixels too much.
"""

import numpy as np
from numpy.typing import NDArray

# Side of a spot. A patch has whole numbers of them, and so has the step of a scan.
SPOT_PX = 2
# White at 0.75 of its brightness. Few training patches are darker. A higher limit would take many blurred patches for
# underexposed, since blur takes the brightest spots from dense tissue.
BRIGHTEST_UNDEREXPOSED = 190
# Darker ones show no light at all, such as the black frame of a scanner.
DARKEST_UNDEREXPOSED = 64
# Steps of 9 % keep the number of factors small that a scan needs.
_STEPS_PER_DOUBLING = 8
# Saved with networks, whose predictions would change with it.
EXPOSURE_RULE = {
    "spot_px": SPOT_PX,
    "darkest": DARKEST_UNDEREXPOSED,
    "brightest": BRIGHTEST_UNDEREXPOSED,
    "steps_per_doubling": _STEPS_PER_DOUBLING,
}


def exposure_factors(limit: int = BRIGHTEST_UNDEREXPOSED) -> NDArray[np.float32]:
    """Return the factor on all pixels of a patch, for each gray level of its brightest spot.

    Parameters
    ----------
    limit : int
        Brighter patches are not underexposed.

    Returns
    -------
    ndarray of float32, shape (256,)
        1 for patches that are not underexposed.
    """
    brightest = np.arange(256)
    doublings = np.log2(255 / np.maximum(brightest, 1))
    factors = 2 ** (np.floor(_STEPS_PER_DOUBLING * doublings) / _STEPS_PER_DOUBLING)
    underexposed = (brightest >= DARKEST_UNDEREXPOSED) & (brightest <= limit)
    return np.where(underexposed, factors, 1).astype(np.float32)


EXPOSURE_FACTORS = exposure_factors()
