"""Choose operating points on the validation patches of a model."""

from typing import Protocol

from sentinode.errors import ConfigError
from sentinode.inference.predictions import Predictions
from sentinode.metrics import choose_threshold, parse_rule


class Validated(Protocol):
    """A `Predictor`, or predictions from a file."""

    @property
    def name(self) -> str:
        """The name in messages."""

    @property
    def validation_predictions(self) -> Predictions | None:
        """Predictions of the model's validation patches; None if unknown."""


def threshold_of(model: Validated, rule: str | float) -> float:
    """Choose the threshold of an operating point.

    Parameters
    ----------
    model : Predictor or PredictionsFile
        The model. A rule is applied to its validation predictions.
    rule : str or float
        ``"youden"``, ``"sensitivity>=0.95"``, ``"specificity>=0.95"``, ``"cost=fn:fp"``, or a threshold.

    Returns
    -------
    float
        The threshold.

    Raises
    ------
    ConfigError
        The rule is invalid, or the model has no validation predictions.

    Examples
    --------
    >>> from sentinode import load_run
    >>> threshold_of(load_run("d4net-m"), 0.3)
    0.3
    """
    parsed = parse_rule(rule)
    if parsed.kind == "number":
        return parsed.value
    validation = model.validation_predictions
    if validation is None:
        raise ConfigError(
            f"operating point {rule!r} is chosen on validation patches, but {model.name} has no predictions of them; "
            "use a number"
        )
    return choose_threshold(parsed, validation.labels, validation.table["probability"].to_numpy())
