"""The numbers of a comparison; figures and reports draw from them and compute nothing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.errors import ConfigError, DataError
from sentinode.evaluation.scores import Facts, Scores
from sentinode.metrics.agreement import McNemar, kappa, mcnemar
from sentinode.metrics.bootstrap import BootstrapAucs, bootstrap_aucs
from sentinode.metrics.comparison import PairedDifference, compare_aucs, holm
from sentinode.metrics.interval import Interval
from sentinode.metrics.proportions import proportion
from sentinode.metrics.ranking import RocCurve, roc_curve


@dataclass(frozen=True)
class Seen:
    """What a model has seen of the patches that it is compared on.

    Attributes
    ----------
    trained_on
        How many of them any of its seeds was trained on; None where that is not known.
    chosen
        What was chosen on patches among these, such as ``"threshold"``; empty where nothing was.
    """

    trained_on: int | None
    chosen: str


@dataclass(frozen=True)
class ComparedModel:
    """What one model is worth; of several seeds the means of their figures.

    Attributes
    ----------
    name
        What it is called.
    auc
        The area under the ROC curve, for these very seeds on other patches.
    curves
        The ROC curve of each seed, with its area.
    auc_sd
        The standard deviation of the areas over seeds; None for one seed.
    thresholds
        The operating point of each seed.
    sensitivity, specificity, accuracy
        At these operating points.
    seen
        What it has seen of the patches.
    facts
        What it costs.
    made_by
        For each seed what its predictions come from.
    """

    name: str
    auc: Interval
    curves: tuple[RocCurve, ...]
    auc_sd: float | None
    thresholds: tuple[float, ...]
    sensitivity: Interval
    specificity: Interval
    accuracy: Interval
    seen: Seen
    facts: Facts
    made_by: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Return all numbers but the curves as plain values."""
        return {
            "name": self.name,
            "seeds": len(self.curves),
            "auc": self.auc.to_json(),
            "auc_by_seed": [curve.auc for curve in self.curves],
            "auc_sd": self.auc_sd,
            "thresholds": list(self.thresholds),
            "sensitivity": self.sensitivity.to_json(),
            "specificity": self.specificity.to_json(),
            "accuracy": self.accuracy.to_json(),
            **asdict(self.seen),
            **asdict(self.facts),
            "made_by": list(self.made_by),
        }


@dataclass(frozen=True)
class ComparedPair:
    """Two models on the same patches.

    Attributes
    ----------
    auc
        The first's area minus the second's, by the paired test of DeLong, over clusters where these are known.
    bootstrap
        The same difference, by draws of patches or clusters.
    calls
        Whether their calls, each at its own operating point, are equally often right.
    calls_p_holm
        The p-value of that, corrected for the number of pairs.
    kappa
        Agreement of their calls beyond chance; None where both call all patches the same.
    """

    auc: PairedDifference
    bootstrap: PairedDifference
    calls: McNemar
    calls_p_holm: float
    kappa: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "first": self.auc.first,
            "second": self.auc.second,
            "auc": _without_names(self.auc),
            "bootstrap": _without_names(self.bootstrap),
            "calls": {**self.calls.to_json(), "p_holm": self.calls_p_holm},
            "kappa": self.kappa.to_json() if self.kappa else None,
        }


@dataclass(frozen=True)
class Comparison:
    """Several models on the same labelled patches.

    Attributes
    ----------
    data
        What they were compared on, in words: the source and its split.
    split
        The split's name; ``"all"`` for a source without splits.
    normal, tumour
        Counts of patches.
    clusters
        ``"patient"`` or ``"slide"``: what intervals and tests take for independent; None where they have to take
        patches for that.
    models
        In the order in which they were given.
    pairs
        Each pair of them.
    p_value
        Of all areas being the same.
    made_by
        The data, and the version.
    folder
        Where it is written.
    """

    data: str
    split: str
    normal: int
    tumour: int
    clusters: str | None
    models: tuple[ComparedModel, ...]
    pairs: tuple[ComparedPair, ...]
    p_value: float
    made_by: dict[str, Any]
    folder: Path

    @classmethod
    def from_scores(
        cls,
        scores: Sequence[Scores],
        data: str,
        split: str,
        clusters: tuple[str | None, "pd.Series[str] | None"],
        seen: Sequence[Seen],
        made_by: dict[str, Any],
        folder: Path,
    ) -> "Comparison":
        """Measure and compare scores of the same patches.

        Parameters
        ----------
        scores
            Of at least two models.
        data, split
            What was scored, in words, and its split.
        clusters
            What `sentinode.evaluation.evaluation.clusters_of` gives.
        seen
            For each model, what it has seen of the patches.
        made_by
            What to remember.
        folder
            Where it will be written.

        Raises
        ------
        ConfigError
            Fewer than two models.
        DataError
            Only one class is there.
        """
        if len(scores) < 2:
            raise ConfigError(f"a comparison needs at least two models; got {len(scores)}")
        labels, (column, units) = scores[0].labels, clusters
        logits = {each.name: each.logits for each in scores}
        tested = compare_aucs(labels, logits, units)
        drawn = _bootstrap_pairs(bootstrap_aucs(labels, logits, units), list(logits))
        counted = [mcnemar(labels, a.calls, b.calls, units) for a, b in combinations(scores, 2)]
        corrected = holm([each.p_value for each in counted])
        agreed = [_kappa(a, b, units) for a, b in combinations(scores, 2)]
        return cls(
            data=data,
            split=split,
            normal=int(np.sum(labels == 0)),
            tumour=int(np.sum(labels == 1)),
            clusters=column,
            models=tuple(
                _model(each, tested.areas[each.name], units, its) for each, its in zip(scores, seen, strict=True)
            ),
            pairs=tuple(map(ComparedPair, tested.pairs, drawn, counted, corrected, agreed)),
            p_value=tested.p_value,
            made_by=made_by,
            folder=folder,
        )

    def to_json(self) -> dict[str, Any]:
        """Return all numbers but the curves as plain values."""
        return {
            "data": self.data,
            "split": self.split,
            "patches": {"normal": self.normal, "tumour": self.tumour},
            "clusters": self.clusters,
            "models": [model.to_json() for model in self.models],
            "pairs": [pair.to_json() for pair in self.pairs],
            "p_value": self.p_value,
            "made_by": self.made_by,
        }

    def table(self) -> pd.DataFrame:
        """Return one row a model: estimates with ``_low`` and ``_high`` beside, and what the model costs."""
        rows = []
        for model in self.models:
            row: dict[str, Any] = {"model": model.name, "seeds": len(model.curves)}
            for name in ("auc", "sensitivity", "specificity", "accuracy"):
                interval: Interval = getattr(model, name)
                row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
            rows.append({**row, "auc_sd": model.auc_sd, **asdict(model.seen), **asdict(model.facts)})
        whole = dict.fromkeys(("trained_on", "parameters", "flops", "size_bytes"), "Int64")
        return pd.DataFrame(rows).astype(whole)

    def __str__(self) -> str:
        head = f"{self.data}: {self.normal:,} normal, {self.tumour:,} tumour"
        return f"{head}\n{self.table().round(4).to_string(index=False)}"


def _model(scores: Scores, auc: Interval, units: Any, seen: Seen) -> ComparedModel:
    labels, calls = scores.labels, scores.calls
    curves = tuple(roc_curve(labels, row) for row in scores.logits)

    def right(which: Any) -> Interval:
        return proportion(calls[:, which] == labels[which], None if units is None else units[which])

    return ComparedModel(
        name=scores.name,
        auc=auc,
        curves=curves,
        auc_sd=float(np.std([curve.auc for curve in curves], ddof=1)) if len(curves) > 1 else None,
        thresholds=tuple(map(float, scores.thresholds)),
        sensitivity=right(labels == 1),
        specificity=right(labels == 0),
        accuracy=right(labels >= 0),
        seen=seen,
        facts=scores.facts,
        made_by=scores.made_by,
    )


def _bootstrap_pairs(drawn: BootstrapAucs, names: Sequence[str]) -> list[PairedDifference]:
    pairs = list(combinations(names, 2))
    p_values = [drawn.p_value(*pair) for pair in pairs]
    found = zip(pairs, p_values, holm(p_values), strict=True)
    return [PairedDifference(*pair, drawn.difference(*pair), p_value, p_holm) for pair, p_value, p_holm in found]


def _kappa(first: Scores, second: Scores, units: Any) -> Interval | None:
    try:
        return kappa(first.calls, second.calls, units)
    except DataError:  # All patches are called the same: there is no agreement beyond chance to speak of.
        return None


def _without_names(pair: PairedDifference) -> dict[str, Any]:
    return {name: value for name, value in pair.to_json().items() if name not in ("first", "second")}
