"""Explain the predictions of a run for some patches."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError, ModelError
from sentinode.evaluation.outcomes import confidence
from sentinode.evaluation.selection import select_patches
from sentinode.explanation.attributions import METHODS, attributions, check_methods
from sentinode.explanation.explanations import Explanations
from sentinode.explanation.first_layer import FirstLayer, first_layer
from sentinode.explanation.model_split import split_after_first_layer, split_at_last_feature_map
from sentinode.explanation.neighbors import nearest_training_patches
from sentinode.explanation.sanity import SanityChecks
from sentinode.inference.predict import as_predictor, predict
from sentinode.progress import progress_bar

if TYPE_CHECKING:
    import keras

    from sentinode.inference.predictor import Predictor

log = logging.getLogger("sentinode")

# Patches chosen if none is named.
CHOSEN = 8


def explain(
    run: "Predictor | keras.Model",
    patches: PatchSet,
    split: str | None = None,
    *,
    ids: Sequence[str] = (),
    methods: Sequence[str] = (),
    out: str | Path | None = None,
    cache: str | Path | None = None,
    seed: int = 0,
) -> Explanations:
    """Compute attribution maps of some patches, and check how far they can be trusted.

    Parameters
    ----------
    run : Run or keras.Model
        From `train` or `load_run`; not an ensemble.
    patches : PatchSet
        Labeled or not. If it has training patches of the run, the nearest ones are found for each explained patch.
    split : str, optional
        The split to explain patches of, as for `evaluate`; by default all patches if none has a label.
    ids : sequence of str, optional
        The patches to explain. By default eight: the two most confident false negatives and false positives if labels
        are known, and the least confident predictions.
    methods : sequence of str, optional
        Methods of `attributions`; by default all that the network allows.
    out : str or Path, optional
        The folder to write figures and tables to; by default nothing is written.
    cache : str or Path, optional
        The folder of decoded patches; see `PatchSet.cached`.
    seed : int
        Seed of the checks.

    Returns
    -------
    Explanations

    Raises
    ------
    ConfigError
        A method is unknown.
    DataError
        There is no such patch or split.
    ModelError
        The model is not a single Keras network, or a method needs a feature map and the network has none.

    Examples
    --------
    >>> from sentinode import load_run, open_patches
    >>> patches = open_patches("pcam-mini", split="test").select(range(0, 400, 40))
    >>> explain(load_run("d4net-m"), patches, ids=patches.table["id"][:1].tolist(), methods=["grad-cam"])
    <Explanations of 1 patch by grad-cam>
    """
    run = as_predictor(run)
    ids, methods = ([each] if isinstance(each, str) else list(each) for each in (ids, methods))
    model, patches = run.model, patches.cached(cache)
    check_methods(methods)
    methods = methods or _available_methods(model)
    chosen = select_patches([run], patches, split, cache=cache, labeled=False, warn=False).patches
    chosen = _select_ids(chosen, ids) if ids else chosen
    predictions = predict(run, chosen).table
    rows = np.arange(len(chosen)) if ids else _informative_rows(chosen, predictions, run.threshold)
    shown = chosen.select(rows)
    pixels = shown.read()
    maps, checks = {}, {}
    with progress_bar("explaining", total=len(methods), unit="methods") as advance:
        for method in methods:
            maps[method] = attributions(model, pixels, method)
            checks[method] = SanityChecks.measure(model, pixels, method, seed)
            advance(1)
    about = shown.table[["id", "label"]].assign(probability=predictions["probability"].to_numpy()[rows])
    tables = [about.assign(method=method, **each.values) for method, each in checks.items()]
    explanations = Explanations(
        pd.concat(tables, ignore_index=True),
        pixels,
        maps,
        checks,
        _first_layer(model, pixels),
        nearest_training_patches(run, patches, shown, seed=seed),
        [vars(each) for each in chosen.skipped],
    )
    if out is not None:
        explanations.write(out)
    return explanations


def _first_layer(model: "keras.Model", pixels: np.ndarray) -> FirstLayer | None:
    try:
        return first_layer(model, pixels)
    except ModelError as error:
        log.warning("%s", error)
        return None


def _available_methods(model: "keras.Model") -> list[str]:
    needs = {
        "grad-cam": split_at_last_feature_map,
        "grad-cam++": split_at_last_feature_map,
        "integrated-gradients": split_after_first_layer,
    }
    unavailable = set()
    for split in dict.fromkeys(needs.values()):
        try:
            split(model)
        except ModelError as error:
            log.warning("%s", error)
            unavailable |= {method for method, needed in needs.items() if needed is split}
    return [method for method in METHODS if method not in unavailable]


def _select_ids(patches: PatchSet, ids: Sequence[str]) -> PatchSet:
    rows = {name: row for row, name in enumerate(patches.table["id"])}
    missing = [name for name in ids if name not in rows]
    if missing:
        raise DataError(
            f"{patches.path}: no patch has the id {missing[0]!r} among these {len(patches):,}; ids are as in "
            f"predictions.csv, such as {patches.table['id'].iloc[0]!r}; --split chooses another split"
        )
    return patches.select([rows[name] for name in dict.fromkeys(ids)])


def _informative_rows(patches: PatchSet, predictions: pd.DataFrame, threshold: float) -> np.ndarray:
    """Return the most confident false negatives and false positives, then the least confident predictions."""
    margin = confidence(predictions["logit"].to_numpy(), threshold)
    ascending, errors = np.argsort(margin, kind="stable"), np.empty(0, dtype=np.int64)
    if patches.table["label"].notna().all():
        descending = ascending[::-1]
        label = patches.labels[descending]
        predicted = predictions["probability"].to_numpy()[descending] >= threshold
        kinds = [(label == 1) & ~predicted, (label == 0) & predicted]
        errors = np.concatenate([descending[kind][: CHOSEN // 4] for kind in kinds])
    return np.concatenate([errors, ascending[~np.isin(ascending, errors)][: CHOSEN - len(errors)]])
