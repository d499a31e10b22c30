"""Explain what a run says of some patches: pictures, and figures that say how far to believe them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.errors import DataError, ModelError
from sentinode.evaluation.evaluate import choose_split
from sentinode.evaluation.outcomes import confidence, outcomes
from sentinode.explanation.attributions import METHODS, attributions, check_methods
from sentinode.explanation.files import write_explanations
from sentinode.explanation.first_layer import FirstLayer, first_layer
from sentinode.explanation.model_split import at_last_map
from sentinode.explanation.neighbours import Neighbours, nearest_training_patches
from sentinode.explanation.sanity import Trust
from sentinode.inference.predict import predict
from sentinode.progress import progress_bar

if TYPE_CHECKING:
    from sentinode.training.run import Run

log = logging.getLogger("sentinode")

# Patches that are chosen where none is named.
CHOSEN = 8


@dataclass(frozen=True)
class Explanations:
    """What was found.

    Attributes
    ----------
    folder
        Where ``explanations.png`` and ``hiding.png`` lie with tables of the same names; ``first_layer.png`` and
        ``neighbours.png`` with ``neighbours.csv`` beside them where there is something to show.
    table
        One row a patch and method: ``id``, ``label``, ``probability``, ``method`` and the figures of `Trust`.
    skipped
        The patches that could not be read, each with its reason, where `open_patches` was told to skip them.
    maps
        By method, float32 ``(n, 96, 96)``: how much each pixel speaks for tumour.
    neighbours
        The training patches that the network finds most like them; None where the run was trained on none of the
        patches.
    """

    folder: Path
    table: pd.DataFrame
    skipped: list[dict[str, str]]
    maps: dict[str, np.ndarray]
    neighbours: Neighbours | None


def explain(
    run: "Run",
    patches: PatchSet,
    split: str | None = None,
    *,
    ids: Sequence[str] = (),
    methods: Sequence[str] = (),
    out: str | Path | None = None,
    cache: str | Path | None = None,
    seed: int = 0,
) -> Explanations:
    """Say where a run finds its evidence, and check whether that can be believed.

    Parameters
    ----------
    run
        From `train` or `load_run`.
    patches
        Labelled or not.
    split
        As for `evaluate`; without labels all patches when left out.
    ids
        Of the patches to explain. When left out the two surest misses and the two surest false alarms, where labels are
        known, and the least sure calls: eight in all.
    methods
        Of `attributions`; when left out all that the network allows.
    out
        The folder to write to; when left out ``RUN/explanations``.
    cache
        Where decoded patches are kept; see `PatchSet.cached`.
    seed
        Of the checks' random orders.

    Returns
    -------
    Explanations
        All of it was written to its folder as well.

    Raises
    ------
    ConfigError
        No such method.
    DataError
        No such patch or split.
    ModelError
        A method that was asked for needs maps of features, and the network has none.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import load_run, open_patches
    >>> patches = open_patches("pcam-mini")
    >>> few = patches.select(range(0, len(patches), 20))
    >>> run = load_run("d4net-m")
    >>> first = few.split("test").table["id"][:1].tolist()
    >>> found = explain(run, few, ids=first, methods=["grad-cam"], out=tempfile.mkdtemp())
    >>> len(found.table)
    1
    """
    model, patches = run.model, patches.cached(cache)
    check_methods(methods)
    wanted = list(methods) or _possible(model)
    labelled = bool(patches.table["label"].notna().any())
    chosen = choose_split(run, patches, split, cache)[1] if labelled or split else patches
    chosen = _named(chosen, ids) if ids else chosen
    said = predict(run, chosen).table
    rows = np.arange(len(chosen)) if ids else _telling(chosen, said, run.threshold)
    shown = chosen.select(rows)
    pixels = shown.read()
    maps, trust = {}, {}
    with progress_bar("explaining", total=len(wanted), unit="methods") as advance:
        for method in wanted:
            maps[method] = attributions(model, pixels, method)
            trust[method] = Trust.of(model, pixels, method, seed)
            advance(1)
    neighbours = nearest_training_patches(run, patches, shown, seed=seed)
    about = shown.table[["id", "label"]].assign(probability=said["probability"].to_numpy()[rows])
    table = pd.concat(
        [about.assign(method=method, **each.figures) for method, each in trust.items()], ignore_index=True
    )
    folder = Path(out) if out else run.results_folder / "explanations"
    write_explanations(folder, pixels, table, maps, trust, _first_layer(model, pixels), neighbours)
    return Explanations(folder, table, [vars(each) for each in chosen.skipped], maps, neighbours)


def _first_layer(model: Any, pixels: np.ndarray) -> FirstLayer | None:
    try:
        return first_layer(model, pixels)
    except ModelError as error:
        log.warning("%s", error)
        return None


def _possible(model: Any) -> list[str]:
    """Return the methods that need no maps of features, and the others where there are some."""
    try:
        at_last_map(model)
    except ModelError as error:
        log.warning("%s", error)
        return [method for method in METHODS if not method.startswith("grad-cam")]
    return list(METHODS)


def _named(patches: PatchSet, ids: Sequence[str]) -> PatchSet:
    places = {name: row for row, name in enumerate(patches.table["id"])}
    missing = [name for name in ids if name not in places]
    if missing:
        raise DataError(
            f"{patches.path}: there is no patch {missing[0]!r} among the {len(patches):,} looked at; ids are as in "
            f"predictions.csv, such as {patches.table['id'].iloc[0]!r}; --split names another split"
        )
    return patches.select([places[name] for name in dict.fromkeys(ids)])


def _telling(patches: PatchSet, said: pd.DataFrame, threshold: float) -> np.ndarray:
    """Return the rows of the surest mistakes of both kinds, then of the least sure calls."""
    sure = confidence(said["logit"].to_numpy(), threshold)
    order, mistakes = np.argsort(sure, kind="stable"), np.empty(0, dtype=np.int64)
    if patches.table["label"].notna().all():
        became = outcomes(patches.labels, said["probability"].to_numpy(), threshold)[order[::-1]]
        mistakes = np.concatenate([order[::-1][became == kind][: CHOSEN // 4] for kind in ("missed", "alarm")])
    return np.concatenate([mistakes, order[~np.isin(order, mistakes)][: CHOSEN - len(mistakes)]])
