"""Select and check the patches that an evaluation uses."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from sentinode.data.duplicates.hashes import require_matching_hashes
from sentinode.data.patchset import PatchSet, check_patches
from sentinode.errors import DataError
from sentinode.inference.ensemble import common_held_out

log = logging.getLogger("sentinode")


class TrainedModel(Protocol):
    """What `select_patches` needs of a model: a `Run`, an `Ensemble`, or several seeds of one recipe."""

    @property
    def name(self) -> str:
        """The name in messages."""

    @property
    def validation_choices(self) -> str:
        """What was chosen on the validation patches, such as ``"threshold and best epoch"``."""

    def held_out(self) -> set[str] | None:
        """Return the SHA-1s of the patches that the training held out for validation; None if unknown."""

    def trained_on(self, sha1: "pd.Series[str]") -> np.ndarray | None:
        """Return for each patch whether the model was trained on it; None if unknown."""

    def validated_on(self, sha1: "pd.Series[str]") -> np.ndarray | None:
        """Return for each patch whether it is a validation patch of the model; None if unknown."""


@dataclass(frozen=True)
class Overlap:
    """How many patches of an evaluation the training of a model has used.

    Attributes
    ----------
    model : str
        The name of the model.
    trained_on : int or None
        The number of patches that the model was trained on; None if unknown.
    validated_on : int or None
        The number of patches that are validation patches of the model; None if unknown.
    validation_choices : str
        What was chosen on the validation patches, such as ``"threshold"``.
    """

    model: str
    trained_on: int | None
    validated_on: int | None
    validation_choices: str

    @property
    def warnings(self) -> list[str]:
        """Warnings of optimistic bias; empty if the training has used none of the patches."""
        found = []
        if self.trained_on:
            found.append(f"{self.model} was trained on {self.trained_on:,} of these patches; {BIASED}")
        if self.validated_on:
            were = "was" if self.validated_on == 1 else "were"
            found.append(
                f"{self.validated_on:,} of these patches {were} used to choose the {self.validation_choices} of "
                f"{self.model}; {BIASED}"
            )
        return found


BIASED = "its results have an optimistic bias"


@dataclass(frozen=True)
class SelectedPatches:
    """Patches that are ready to be evaluated on.

    Attributes
    ----------
    patches : PatchSet
        The patches, cached; none is an altered file.
    split : str
        The name of their split; ``"all"`` if the source has no splits.
    overlaps : tuple of Overlap
        For each model, which of the patches its training has used.
    """

    patches: PatchSet
    split: str
    overlaps: tuple[Overlap, ...]

    @property
    def data(self) -> str:
        """The source and the split, as in ``"pcam-mini, split test"``."""
        return self.patches.path if self.split == "all" else f"{self.patches.path}, split {self.split}"

    @property
    def made_by(self) -> dict[str, Any]:
        """What results record of the patches: split, fingerprints, and the patches that were skipped."""
        return {
            "split": self.split,
            "fingerprint": self.patches.fingerprint,
            "groups_fingerprint": self.patches.groups_fingerprint,
            **self.patches.skipped_json(),
        }


def select_patches(
    models: Sequence[TrainedModel],
    patches: PatchSet,
    split: str | None = None,
    *,
    cache: str | Path | None = None,
    labeled: bool = True,
    per_class: int | None = None,
    seed: int = 0,
    warn: bool = True,
) -> SelectedPatches:
    """Select the patches to evaluate models on, and check them.

    Patches that cannot be read are left out if `patches` was opened with ``skip_bad=True``, otherwise refused.

    Parameters
    ----------
    models : sequence of TrainedModel
        The models that will be evaluated.
    patches : PatchSet
        The source.
    split : str, optional
        The split to use. By default the first of these that exists: ``test`` if it is labeled, ``valid`` if it is
        labeled, the patches that the training held out for validation (the same for all models), all patches of a
        source without splits.
    cache : str or Path, optional
        The folder for decoded patches; see `PatchSet.cached`.
    labeled : bool, default True
        Whether every patch needs a label. If False, all patches of an unlabeled source are used.
    per_class : int, optional
        Draw at most this many patches of each class at random.
    seed : int, default 0
        The seed of that draw.
    warn : bool, default True
        Whether to log a warning for each model that was trained, or had its threshold chosen, on some of the patches.

    Returns
    -------
    SelectedPatches
        The cached patches with the name of their split and their overlap with the training data of each model.

    Raises
    ------
    DataError
        The split does not exist, no split is labeled, a patch has no label, or a file was altered: it does not hold
        the pixels whose hash is its name.
    """
    check_patches(patches)
    if split is None and not labeled and patches.table["label"].isna().all():
        name, chosen = "all", patches
    else:
        name, chosen = choose_split(models, patches, split, cache)
    if labeled:
        _ = chosen.labels  # Raises for a missing label, before any patch is decoded.
    if per_class is not None:
        chosen = draw_per_class(chosen, per_class, seed)
    chosen = require_matching_hashes(chosen.cached(cache))
    found = SelectedPatches(chosen, name, tuple(find_overlap(model, chosen) for model in models))
    for warning in (text for overlap in found.overlaps for text in overlap.warnings if warn):
        log.warning("%s: %s", found.data, warning)
    return found


def choose_split(
    models: Sequence[TrainedModel], patches: PatchSet, split: str | None = None, cache: str | Path | None = None
) -> tuple[str, PatchSet]:
    """Choose the split to evaluate on; see `select_patches`.

    Returns
    -------
    str
        The name of the split.
    PatchSet
        Its patches.

    Raises
    ------
    DataError
        The split does not exist, or no split is labeled.
    """
    names = patches.split_names
    if split in names:
        return str(split), patches.split(str(split))
    if split is None:
        for name in ("test", "valid"):
            if name in names and patches.split(name).table["label"].notna().all():
                return name, patches.split(name)
    held_out = common_held_out([model.held_out() for model in models]) if split in (None, "valid") else set()
    if held_out:
        source = (patches.split("train") if "train" in names else patches).cached(cache)
        rows = np.flatnonzero(source.table["sha1"].isin(held_out))
        if set(source.table["sha1"].iloc[rows]) == held_out:
            return "valid", source.select(rows)
    if split is not None:
        return split, patches.split(split)
    if names:
        raise DataError(
            f"{patches.path}: neither test nor valid is labeled; choose another split with --split "
            f"(splits: {', '.join(names)})"
        )
    return "all", patches


def find_overlap(model: TrainedModel, patches: PatchSet) -> Overlap:
    """Count the cached patches that the training of a model has used."""
    sha1 = patches.table["sha1"]
    trained_on, validated_on = (
        None if which is None else int(which.sum()) for which in (model.trained_on(sha1), model.validated_on(sha1))
    )
    return Overlap(model.name, trained_on, validated_on, model.validation_choices)


def draw_per_class(patches: PatchSet, count: int, seed: int) -> PatchSet:
    """Draw at most `count` patches of each class at random."""
    rng, labels = np.random.default_rng(seed), patches.labels
    drawn = [rng.permutation(np.flatnonzero(labels == label))[:count] for label in (0, 1)]
    return patches.select(np.sort(np.concatenate(drawn)))
