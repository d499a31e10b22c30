"""Choose operating points on validation patches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError
from sentinode.evaluation.prediction_files import PredictionsFile
from sentinode.evaluation.selection import SelectedPatches, select_patches
from sentinode.inference.predict import predict
from sentinode.inference.predictions import Predictions
from sentinode.inference.predictor import Predictor
from sentinode.metrics import choose_threshold, parse_rule


@dataclass(frozen=True)
class PointChooser:
    """Chooses operating points on validation patches that are not evaluated.

    Attributes
    ----------
    patches : PatchSet
        The source of the evaluated patches.
    evaluated : SelectedPatches
        The evaluated patches.
    split : str or None
        The split of the source to choose points on. By default the validation predictions of each model, or the split
        ``valid`` for a model without them, such as a pretrained one.
    cache : str, Path or None
        See `PatchSet.cached`.
    """

    patches: PatchSet
    evaluated: SelectedPatches
    split: str | None = None
    cache: str | Path | None = None

    def choose(
        self, model: Predictor | PredictionsFile, rules: Sequence[str | float]
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Choose the threshold of each rule.

        Parameters
        ----------
        model : Predictor or PredictionsFile
            The model.
        rules : sequence of str or float
            Rules of `sentinode.metrics.parse_rule`.

        Returns
        -------
        thresholds : dict of str to float
            The threshold of each rule.
        made_by : dict
            What results record of the validation patches; empty if every rule is a number.

        Raises
        ------
        ConfigError
            A rule is invalid, or there are no validation patches.
        """
        parsed = {str(rule): parse_rule(rule) for rule in rules}
        if all(rule.kind == "number" for rule in parsed.values()):
            return {name: rule.value for name, rule in parsed.items()}, {}
        validation, chosen_on = self._predictions(model)
        labels, probability = validation.labels, validation.table["probability"].to_numpy()
        thresholds = {name: choose_threshold(rule, labels, probability) for name, rule in parsed.items()}
        return thresholds, {"points_chosen_on": chosen_on}

    def _predictions(self, model: Predictor | PredictionsFile) -> tuple[Predictions, str | dict[str, Any]]:
        own = model.validation_predictions
        if self.split is None and own is not None:
            return own, "validation patches of the model"
        name = self.split or "valid"
        if name == self.evaluated.split or name not in self.patches.split_names:
            raise ConfigError(
                f"{model.name}: operating points are chosen on validation patches, but the model has none, and "
                f"{self.patches.path} has no split {name!r} besides the evaluated one; use a number, or another split "
                "with --point-split"
            )
        selected = select_patches([], self.patches, name, cache=self.cache)
        predictions = (
            model.predictions(selected.patches)
            if isinstance(model, PredictionsFile)
            else predict(model, selected.patches)
        )
        return predictions, {"data": selected.data, **selected.made_by}
