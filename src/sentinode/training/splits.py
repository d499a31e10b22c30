"""Which patches a training learns from, and which it is validated on."""

import logging
from pathlib import Path

import numpy as np

from sentinode.data.duplicates.identity import check_unaltered
from sentinode.data.patchset import PatchSet
from sentinode.data.splitting.hold_out import hold_out
from sentinode.errors import DataError
from sentinode.training.config import TrainConfig

log = logging.getLogger("sentinode")


def training_and_validation(
    patches: PatchSet, config: TrainConfig, cache: str | Path | None
) -> tuple[PatchSet, PatchSet, bool]:
    """Return training and validation patches, decoded; say whether the second had to be held out from the first.

    With ``config.deduplicate`` one of the exact copies of a training patch is left.

    Raises
    ------
    DataError
        A label or a whole class is missing, a patch cannot be read, or is not the one that it is named by.
    """
    training, validation, made = _divided(patches, config, cache)
    if config.deduplicate:
        once = np.flatnonzero(~training.table["sha1"].duplicated())
        _warn_of_contradictions(training)
        if copies := len(training) - len(once):
            log.info("%s of %s training patches are copies of others: left out", f"{copies:,}", f"{len(training):,}")
            training = training.select(once)
            _check_classes(training)
    return training, validation, made


def _divided(patches: PatchSet, config: TrainConfig, cache: str | Path | None) -> tuple[PatchSet, PatchSet, bool]:
    names = patches.split_names
    training = patches.split(config.train_split) if names or config.train_split != "train" else patches
    _check_classes(training)
    if config.valid_split in names or config.valid_split != "valid":
        validation = patches.split(config.valid_split)
        _check_classes(validation)
        training, validation = (check_unaltered(part.cached(cache)) for part in (training, validation))
        _warn_of_shared(training, validation)
        return training, validation, False
    training, validation = hold_out(check_unaltered(training.cached(cache)), seed=config.seed)
    log.info(
        "%s has no split %r: %s of its training patches, a tenth, are held out for validation",
        patches.path,
        config.valid_split,
        f"{len(validation):,}",
    )
    return training, validation, True


def _warn_of_contradictions(training: PatchSet) -> None:
    """Say when copies of a patch have two labels: which of them is left is chance."""
    labels = training.table.groupby("sha1")["label"].nunique()
    if contradictory := int((labels > 1).sum()):
        log.warning(
            "%s: %s training patches have copies of another label; the label of the first counts",
            training.path,
            f"{contradictory:,}",
        )


def _warn_of_shared(training: PatchSet, validation: PatchSet) -> None:
    """Say when figures on the validation patches will flatter: they are of tissue that is trained on."""
    for what in ("patient", "slide"):
        shared = set(training.table[what].dropna()) & set(validation.table[what].dropna())
        if shared:
            log.warning(
                "%s: %s %ss are in training and validation, such as %s; figures flatter (sentinode data split)",
                training.path,
                f"{len(shared):,}",
                what,
                min(shared),
            )


def _check_classes(patches: PatchSet) -> None:
    """Refuse missing labels and a missing class before the minutes of decoding and training."""
    present = set(patches.labels.tolist())
    if len(present) < 2:
        split = patches.split_names[0] if patches.split_names else "data"
        raise DataError(
            f"{patches.path}: all {len(patches):,} patches of {split} have label {present.pop()}; "
            "both classes are needed"
        )
