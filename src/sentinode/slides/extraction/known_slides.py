"""Tell which slides a model was trained on."""

from pathlib import Path
from typing import TYPE_CHECKING

from sentinode.errors import SentinodeError

if TYPE_CHECKING:
    import pandas as pd

    from sentinode.inference.predictor import Predictor
    from sentinode.training.run import Run


def known_slides(model: "Predictor", slides: "pd.Series[str]", sha1: "pd.Series[str]") -> dict[str, str] | None:
    """Return the slides that a model was trained on, as far as its training patches tell.

    Parameters
    ----------
    model : Predictor
    slides : Series of str
        The slide of each patch.
    sha1 : Series of str
        The SHA-1 of its pixels.

    Returns
    -------
    dict of str to str, or None
        Slides, and how that is known; None where nothing is known of the model's training patches.
    """
    from sentinode.training.run import Run

    trained = model.trained_on(sha1)
    if trained is None:
        return None
    counts = slides[trained].value_counts()
    known = {
        str(slide): f"{count:,} of its patches {'is a training patch' if count == 1 else 'are training patches'}"
        for slide, count in counts.items()
    }
    if isinstance(model, Run):
        path, named = str(model.config["data"]["path"]), _training_slides(model)
        known = {slide: f"patches of it in {path}" for slide in slides.unique() if slide in named} | known
    return dict(sorted(known.items()))


def _training_slides(model: "Run") -> set[str]:
    """Return the slides of a run's training patches, if its training data are still there and name their slides."""
    from sentinode.data.open import open_patches

    path = Path(model.config["data"]["path"])
    if not path.exists():
        return set()
    try:
        patches = open_patches(path)
        if patches.table["slide"].isna().all():
            return set()
        table = patches.cached().table
        return set(table["slide"][model.trained_on(table["sha1"])].dropna())
    except SentinodeError:  # They were changed or need options; then only SHA-1s tell.
        return set()
