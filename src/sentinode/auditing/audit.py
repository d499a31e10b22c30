"""Labels that are probably wrong, and unusual patches: what only a network can see of a set of patches."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sentinode.auditing.out_of_fold import predict_out_of_fold
from sentinode.data.map_patches import map_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.quality.checks import FLAGS, Quality, judge
from sentinode.data.splitting.split import split_folds
from sentinode.errors import DataError
from sentinode.inference.features import embed
from sentinode.inference.ood import WARNINGS
from sentinode.metrics.confident import Confidence, confident_learning
from sentinode.metrics.ranking import roc_curve
from sentinode.version import __version__

if TYPE_CHECKING:
    from sentinode.training.run import Run

# What can be unusual: the features, among the patches of the set; all else, beside those of the run's training.
FEATURES = "features"
UNUSUAL = (*WARNINGS, FEATURES)
FOLDS = 5

log = logging.getLogger("sentinode")


@dataclass(frozen=True)
class Audit:
    """What `audit` found.

    Attributes
    ----------
    patches
        The cached patches that were looked at: those that have a label.
    table
        One row a patch, in their order: ``id``, ``label``, ``split``, ``slide``, ``sha1``; ``p_tumour`` and
        ``p_given``, the probabilities of tumour and of the label, by the other folds; ``label_suspect`` and
        ``copy_disagrees`` (bool); ``distance`` of the features, above 1 where they are unusual; ``unusual``, in what,
        of `UNUSUAL`; ``quality``, of `sentinode.data.quality.checks.FLAGS` (both empty where nothing is odd); and
        ``trained_on`` (bool).
    confidence
        From the labels and the probabilities.
    auc
        Of the probabilities, against the labels as given: how far the network is to be believed.
    folds
        How many there were, and what was kept together in them.
    quality
        What needs no network.
    made_by
        Run, data, versions.
    """

    patches: PatchSet
    table: pd.DataFrame
    confidence: Confidence
    auc: float
    folds: tuple[int, tuple[str, ...]]
    quality: Quality
    made_by: dict[str, Any]

    @property
    def suspects(self) -> pd.DataFrame:
        """The rows of `table` with a doubtful label, the least probable label first, then the unusual ones."""
        found = self.table[self.table["label_suspect"] | (self.table["unusual"] != "")]
        return found.sort_values(["label_suspect", "p_given"], ascending=[False, True], kind="stable")

    def unusual(self) -> dict[str, int]:
        """Return how many patches are unusual in each way of `UNUSUAL`."""
        said = self.table["unusual"].str.split(", ")
        return {kind: int(said.map(lambda kinds, kind=kind: kind in kinds).sum()) for kind in UNUSUAL}

    def doubted(self) -> dict[str, int]:
        """Return how many labels of each class are doubtful, and how many by a copy alone or as well."""
        wrong = self.table[self.table["label_suspect"]]
        counts = {name: int((wrong["label"] == label).sum()) for label, name in enumerate(("normal", "tumour"))}
        return {**counts, "copies_disagree": int(wrong["copy_disagrees"].sum())}

    def to_json(self) -> dict[str, Any]:
        """Return the findings as plain values."""
        return {
            "patches": len(self.table),
            "suspect_labels": self.doubted(),
            "unusual": self.unusual(),
            "confident_learning": self.confidence.to_json(),
            "auc": round(self.auc, 6),
            "folds": {"count": self.folds[0], "kept_together": list(self.folds[1])},
            "quality": self.quality.to_json(),
            "made_by": self.made_by,
        }


def audit(
    run: "Run",
    patches: PatchSet,
    splits: Sequence[str] = (),
    *,
    folds: int = FOLDS,
    cache: str | None = None,
    seed: int = 0,
) -> Audit:
    """Look for labels that are probably wrong, and for unusual patches.

    What the run's network makes of a patch before its last layer stays as it is; a last layer is fitted on all folds
    but one and asked about that one, so that no label takes part in the answer about itself. Patients, slides and
    copies are kept together in folds. Labels are then judged by `confident_learning`; a label is doubtful as well
    where a copy of the patch, exact or near, bears the other one. Unusual is what the run's warnings say, and what lies
    far from the features of the other folds.

    Parameters
    ----------
    run
        From `train` or `load_run`. One that was trained on these very patches knows some wrong labels by heart.
    patches
        Patches without a label are left out.
    splits
        Those to look at together; all when left out.
    folds
        At least 2.
    cache
        Where decoded patches are kept; see `PatchSet.cached`.
    seed
        Draws the folds.

    Raises
    ------
    DataError
        No such split, no labels, or too few groups for so many folds with both classes.
    ConfigError
        Fewer than two folds; an ensemble.

    Examples
    --------
    >>> from sentinode import load_run, open_patches
    >>> found = audit(load_run("d4net-m"), open_patches("pcam-mini"), ["test"])
    >>> len(found.table), found.auc > 0.9
    (400, True)
    """
    chosen = _chosen(patches, splits).cached(cache)
    without = int(chosen.table["label"].isna().sum())
    if without == len(chosen):
        raise DataError(f"{patches.path}: no patch has a label; sentinode predict warns of unusual patches without")
    chosen = chosen.select(np.flatnonzero(chosen.table["label"].notna()))
    division = split_folds(chosen, folds, seed)
    seen = run.trained_on(chosen.table["sha1"])
    if seen.any():
        log.warning(
            "%s: %s of these patches were trained on; wrong labels that the network knows by heart are missed",
            chosen.path,
            f"{int(seen.sum()):,}",
        )
    labels, features = chosen.labels, embed(run, chosen)
    distinct = ~chosen.table["sha1"].duplicated().to_numpy()
    found = predict_out_of_fold(features, labels, division.patches.table["split"].to_numpy(), distinct, seed)
    confidence = confident_learning(labels, found.probability)
    quality = judge(chosen)
    contradicted = _contradicted(chosen, quality.alike)
    warned = pd.Series(list(chain.from_iterable(map_patches(chosen, run.warnings, "looking"))))
    table = chosen.table[["id", "label", "split", "slide", "sha1"]].assign(
        p_tumour=found.probability,
        p_given=np.where(labels == 1, found.probability, 1 - found.probability),
        label_suspect=confidence.suspect | contradicted,
        copy_disagrees=contradicted,
        distance=found.distance,
        unusual=_joined([warned, pd.Series(np.where(found.distance > 1, FEATURES, ""))]),
        quality=_joined([quality.flags[name].map({True: words, False: ""}) for name, words in FLAGS.items()]),
        trained_on=seen,
    )
    made_by: dict[str, Any] = {"sentinode": __version__, "data": chosen.path, "fingerprint": chosen.fingerprint}
    made_by |= {"splits": chosen.split_names, "without_label": without, "trained_on": int(seen.sum())}
    made_by |= {"skipped": [vars(each) for each in chosen.skipped]} if chosen.skipped else {}
    auc = roc_curve(labels, found.probability).auc
    return Audit(chosen, table, confidence, auc, (folds, division.grouped_by), quality, {**made_by, **run.identity})


def _chosen(patches: PatchSet, splits: Sequence[str]) -> PatchSet:
    for name in splits:
        patches.split(name)  # Says which there are.
    if not splits:
        return patches
    return patches.select(np.flatnonzero(patches.table["split"].isin(list(splits))))


def _contradicted(patches: PatchSet, alike: pd.DataFrame) -> np.ndarray:
    """Say which patches have an exact or near copy with the other label."""
    labels = patches.labels
    exact = pd.Series(labels).groupby(patches.table["sha1"].to_numpy()).transform("nunique").to_numpy() > 1
    first, second = alike["first"].to_numpy(), alike["second"].to_numpy()
    other = labels[first] != labels[second]
    exact[first[other]] = exact[second[other]] = True
    return exact


def _joined(columns: Sequence[pd.Series]) -> list[str]:
    """Return the texts of each row that are not empty, with commas between."""
    return [", ".join(text for text in row if text) for row in zip(*columns, strict=True)]
