"""Names of CAMELYON17's slides; apart from `grouping`, whose tables start slowly."""

import re

_SLIDE = re.compile(r"patient_(\d+)_node_\d+", re.IGNORECASE)


def camelyon17_patient(slide: str) -> str | None:
    """Return the number of the patient in the name of a slide of CAMELYON17; None for other names.

    Examples
    --------
    >>> [camelyon17_patient(name) for name in ("patient_017_node_2", "Patient_017_Node_2", "tumor_017")]
    ['017', '017', None]
    """
    match = _SLIDE.fullmatch(slide)
    return match[1].zfill(3) if match else None
