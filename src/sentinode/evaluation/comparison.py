"""The results of a comparison as values that can be saved."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode import metrics
from sentinode.errors import ConfigError, DataError, plural
from sentinode.evaluation.candidates import Cost
from sentinode.evaluation.evaluation import OUTSIDE_JSON, Evaluation, clusters_of
from sentinode.evaluation.files import interval_columns
from sentinode.evaluation.selection import Overlap
from sentinode.notebook import summary_html
from sentinode.plots.comparison import plot_comparison
from sentinode.plots.style import save_figures
from sentinode.storage import write_csv, write_json

COMPARISON = "compare.json"


@dataclass(frozen=True)
class ComparedModel:
    """The metrics of one model; of several seeds the means.

    Attributes
    ----------
    name : str
        The name of the model.
    auc : Interval
        The area under the ROC curve, for these trained networks on other patches.
    auc_by_seed : tuple of float
        The area of each seed.
    auc_sd : float or None
        The standard deviation of the area over seeds; None for one seed.
    thresholds : tuple of float
        The threshold of each seed.
    sensitivity, specificity, accuracy : Interval
        Metrics at these thresholds.
    overlap : Overlap
        Which of the patches the training has used.
    cost : Cost
        The size and speed of the model.
    made_by : tuple of dict
        The provenance of the predictions of each seed.
    evaluations : tuple of Evaluation
        All metrics of each seed. They are not in ``compare.json``.
    """

    name: str
    auc: metrics.Interval
    auc_by_seed: tuple[float, ...]
    auc_sd: float | None
    thresholds: tuple[float, ...]
    sensitivity: metrics.Interval
    specificity: metrics.Interval
    accuracy: metrics.Interval
    overlap: Overlap
    cost: Cost
    made_by: tuple[dict[str, Any], ...]
    evaluations: tuple[Evaluation, ...] = field(default=(), repr=False, compare=False, metadata=OUTSIDE_JSON)

    @property
    def curves(self) -> tuple[metrics.RocCurve, ...]:
        """The ROC curve of each seed."""
        return tuple(evaluation.roc for evaluation in self.evaluations)


@dataclass(frozen=True)
class ComparedPair:
    """Two models on the same patches.

    Attributes
    ----------
    auc : PairedDifference
        The difference of the areas by DeLong's paired test, with clusters by the paired jackknife.
    bootstrap : PairedDifference
        The same difference by the bootstrap.
    accuracy : McNemar
        McNemar's test of the accuracies, each model at its own threshold.
    accuracy_p_holm : float
        Its p-value, adjusted for the number of pairs.
    kappa : Interval or None
        The agreement of the predictions beyond chance; None if both models predict the same class for all patches.
    """

    auc: metrics.PairedDifference
    bootstrap: metrics.PairedDifference
    accuracy: metrics.McNemar
    accuracy_p_holm: float
    kappa: metrics.Interval | None


@dataclass(frozen=True)
class Comparison:
    """Several models on the same labeled patches. ``compare.json`` has one key for each field.

    Attributes
    ----------
    data : str
        The source and the split.
    split : str
        The name of the split; ``"all"`` if the source has no splits.
    normal, tumour : int
        The numbers of patches.
    clusters : str or None
        ``"patient"`` or ``"slide"``: what intervals and tests treat as independent. None if neither is known and they
        treat patches as independent.
    models : tuple of ComparedModel
        The models, in the given order.
    pairs : tuple of ComparedPair
        Each pair of models.
    p_value : float
        The p-value for equality of all AUCs.
    made_by : dict
        Provenance: the version and the fingerprint of the patches.
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

    @classmethod
    def from_evaluations(
        cls,
        evaluations: dict[str, tuple[Evaluation, ...]],
        patches: pd.DataFrame,
        overlaps: Sequence[Overlap],
        costs: Sequence[Cost],
        made_by: dict[str, Any],
    ) -> "Comparison":
        """Compare evaluations of the same patches.

        Parameters
        ----------
        evaluations : dict of str to tuple of Evaluation
            For each of at least two models the evaluation of each seed.
        patches : pandas.DataFrame
            The table of the patches.
        overlaps : sequence of Overlap
            For each model, which of the patches its training has used.
        costs : sequence of Cost
            The size and speed of each model.
        made_by : dict
            See the attributes.

        Returns
        -------
        Comparison
            The results.

        Raises
        ------
        ConfigError
            There are fewer than two models.
        """
        if len(evaluations) < 2:
            raise ConfigError(f"a comparison needs at least two models; got {len(evaluations)}")
        first = next(iter(evaluations.values()))[0]
        labels, units = first.predictions.labels, clusters_of(patches)[1]
        logits, classes = {}, {}
        for name, seeds in evaluations.items():
            tables = [(seed.predictions.table, seed.operating_point.threshold) for seed in seeds]
            logits[name] = np.array([table["logit"].to_numpy() for table, _ in tables])
            classes[name] = np.array([(table["probability"] >= at).to_numpy(dtype=np.int64) for table, at in tables])
        areas, drawn = metrics.compare_aucs(labels, logits, units), metrics.bootstrap_aucs(labels, logits, units)
        pairs = list(combinations(evaluations, 2))
        drawn_p = [drawn.p_value(*pair) for pair in pairs]
        tests = [metrics.mcnemar(labels, classes[a], classes[b], units) for a, b in pairs]
        return cls(
            data=first.data,
            split=first.split,
            normal=first.normal,
            tumour=first.tumour,
            clusters=first.clusters,
            models=tuple(
                _model(name, areas.areas[name], seeds, classes[name], labels, units, overlap, cost)
                for (name, seeds), overlap, cost in zip(evaluations.items(), overlaps, costs, strict=True)
            ),
            pairs=tuple(
                ComparedPair(
                    area,
                    metrics.PairedDifference(pair[0], pair[1], drawn.difference(*pair), p_value, p_holm),
                    test,
                    test_p_holm,
                    _kappa(classes[pair[0]], classes[pair[1]], units),
                )
                for pair, area, p_value, p_holm, test, test_p_holm in zip(
                    pairs,
                    areas.pairs,
                    drawn_p,
                    metrics.holm(drawn_p),
                    tests,
                    metrics.holm([each.p_value for each in tests]),
                    strict=True,
                )
            ),
            p_value=areas.p_value,
            made_by=made_by,
        )

    def save(self, folder: str | Path, figures: str = "png") -> None:
        """Save the results to a folder.

        Parameters
        ----------
        folder : str or Path
            The folder. Written are ``compare.json``, ``compare.csv`` (one row for each model) and a figure ``compare``.
        figures : {"png", "svg", "pdf"}, default "png"
            The format of the figures.
        """
        folder = Path(folder)
        (folder / COMPARISON).unlink(missing_ok=True)  # That of an earlier comparison does not mark this one.
        write_csv(self.table(), folder / "compare.csv")
        axes = plot_comparison(
            {model.name: model.curves for model in self.models},
            {model.name: model.auc for model in self.models},
            {model.name: (1 - model.specificity.estimate, model.sensitivity.estimate) for model in self.models},
            {(pair.auc.first, pair.auc.second): (pair.auc.difference, pair.auc.p_holm) for pair in self.pairs},
            title=f"{self.data}, {plural(self.normal + self.tumour, 'patch')}",
        )
        save_figures({"compare": axes}, folder, figures)
        write_json(folder / COMPARISON, self)

    def table(self) -> pd.DataFrame:
        """Return the metrics as a table.

        Returns
        -------
        pandas.DataFrame
            One row for each model; for each metric the estimate and its limits with ``_low`` and ``_high``.
        """
        rows = []
        for model in self.models:
            values = {name: getattr(model, name) for name in ("auc", "sensitivity", "specificity", "accuracy")}
            row = {"model": model.name, "seeds": len(model.auc_by_seed), **interval_columns(values)}
            seen = {"trained_on": model.overlap.trained_on, "validated_on": model.overlap.validated_on}
            rows.append({**row, "auc_sd": model.auc_sd, **seen, **asdict(model.cost)})
        integers = ("trained_on", "validated_on", "parameters", "flops", "size_bytes")
        return pd.DataFrame(rows).astype(dict.fromkeys(integers, "Int64"))

    def _repr_html_(self) -> str:
        rows = {
            "patches": f"{self.normal:,} normal, {self.tumour:,} tumour",
            "p-value for equality of all AUCs": f"{self.p_value:.3g}",
        }
        return summary_html(f"Comparison: {self.data}", rows, self.table().round(3))

    def __repr__(self) -> str:
        return f"<Comparison of {self}>"

    def __str__(self) -> str:
        areas = ", ".join(f"{model.name} {model.auc:.3f}" for model in self.models)
        return f"{self.data} ({self.normal:,} normal, {self.tumour:,} tumour): AUC {areas}"


def _model(
    name: str,
    area: metrics.Interval,
    seeds: tuple[Evaluation, ...],
    classes: np.ndarray,
    labels: np.ndarray,
    units: "pd.Series[str] | None",
    overlap: Overlap,
    cost: Cost,
) -> ComparedModel:
    def correct(chosen: np.ndarray) -> metrics.Interval:
        return metrics.proportion(classes[:, chosen] == labels[chosen], None if units is None else units[chosen])

    areas = tuple(seed.auc for seed in seeds)
    return ComparedModel(
        name=name,
        auc=area,
        auc_by_seed=areas,
        auc_sd=float(np.std(areas, ddof=1)) if len(areas) > 1 else None,
        thresholds=tuple(seed.operating_point.threshold for seed in seeds),
        sensitivity=correct(labels == 1),
        specificity=correct(labels == 0),
        accuracy=correct(labels >= 0),
        overlap=overlap,
        cost=cost,
        made_by=tuple(seed.made_by for seed in seeds),
        evaluations=seeds,
    )


def _kappa(first: np.ndarray, second: np.ndarray, units: "pd.Series[str] | None") -> metrics.Interval | None:
    try:
        return metrics.kappa(first, second, units)
    except DataError:  # Both models predict the same class for all patches.
        return None
