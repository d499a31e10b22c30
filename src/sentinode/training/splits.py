"""Select the training and the validation patches."""

import logging
from pathlib import Path

import numpy as np

from sentinode.data.duplicates.hashes import require_matching_hashes
from sentinode.data.patchset import PatchSet, check_patches
from sentinode.data.quality.channel_order import warn_of_exchanged_channels
from sentinode.data.splitting.split import split_patches
from sentinode.errors import DataError
from sentinode.training.config import TrainConfig

VALIDATION_FRACTION = 0.1

log = logging.getLogger("sentinode")


def training_and_validation(
    patches: PatchSet, config: TrainConfig, cache: str | Path | None
) -> tuple[PatchSet, PatchSet, bool]:
    """Select and cache the training and the validation patches.

    Without a validation split, a tenth of the training patches becomes the validation split; see `split_patches`.
    With ``config.deduplicate``, one training patch is kept of each set of exact duplicates.

    Parameters
    ----------
    patches : PatchSet
        Labeled patches.
    config : TrainConfig
        Uses `train_split`, `valid_split`, `deduplicate` and `seed`.
    cache : str or Path, optional
        Cache folder; see `PatchSet.cached`.

    Returns
    -------
    training, validation : PatchSet
        Cached patches.
    held_out : bool
        Whether the validation patches were split off from the training patches.

    Raises
    ------
    DataError
        A label or a class is missing, a patch cannot be read, or a file does not match the hash in its name.
    """
    check_patches(patches)
    training, validation, held_out = _select(patches, config, cache)
    warn_of_exchanged_channels(training)
    if config.deduplicate:
        unique = np.flatnonzero(~training.table["sha1"].duplicated())
        _warn_of_label_conflicts(training)
        if copies := len(training) - len(unique):
            log.info("left out %s of %s training patches: exact duplicates", f"{copies:,}", f"{len(training):,}")
            training = training.select(unique)
            _require_both_classes(training)
    return training, validation, held_out


def _select(patches: PatchSet, config: TrainConfig, cache: str | Path | None) -> tuple[PatchSet, PatchSet, bool]:
    names = patches.split_names
    training = patches.split(config.train_split) if names or config.train_split != "train" else patches
    _require_both_classes(training)
    if config.valid_split in names or config.valid_split != "valid":
        validation = patches.split(config.valid_split)
        _require_both_classes(validation)
        training, validation = (_cached(part, cache) for part in (training, validation))
        _warn_of_leaks(training, validation)
        return training, validation, False
    training = _cached(training, cache)
    fractions = {"train": 1 - VALIDATION_FRACTION, "valid": VALIDATION_FRACTION}
    try:
        split = split_patches(training, fractions, config.seed).patches
    except DataError as error:
        raise DataError(
            f"no validation split, and none can be made: {error}; or choose a split with --valid-split (valid_split)"
        ) from error
    training, validation = split.split("train"), split.split("valid")
    log.info(
        "%s: no split %r to validate on: %s of its training patches (10 %%) become the validation split",
        patches.path,
        config.valid_split,
        f"{len(validation):,}",
    )
    return training, validation, True


def _cached(patches: PatchSet, cache: str | Path | None) -> PatchSet:
    cached = require_matching_hashes(patches.cached(cache))
    _require_both_classes(cached)  # With skip_bad, no patch of a class may be left.
    return cached


def _warn_of_label_conflicts(training: PatchSet) -> None:
    labels = training.table.groupby("sha1")["label"].nunique()
    if conflicts := int((labels > 1).sum()):
        log.warning(
            "%s: %s training patches have exact duplicates with the other label; the first label is used",
            training.path,
            f"{conflicts:,}",
        )


def _warn_of_leaks(training: PatchSet, validation: PatchSet) -> None:
    for column in ("patient", "slide"):
        shared = set(training.table[column].dropna()) & set(validation.table[column].dropna())
        if shared:
            log.warning(
                "%s: %s %s in both the training and the validation split, such as %s: validation results have "
                "an optimistic bias; make new splits with sentinode data split",
                training.path,
                f"{len(shared):,}",
                f"{column} is" if len(shared) == 1 else f"{column}s are",
                min(shared),
            )


def _require_both_classes(patches: PatchSet) -> None:
    """Refuse a missing label or class before patches are decoded."""
    present = set(patches.labels.tolist())
    if len(present) < 2:
        split = f"split {patches.split_names[0]!r}" if patches.split_names else "the data"
        raise DataError(
            f"{patches.path}: all {len(patches):,} patches of {split} have label {present.pop()}; "
            "training needs both classes"
        )
