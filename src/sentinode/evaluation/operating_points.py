"""Operating points by name, chosen on the validation patches of what is measured."""

from typing import Protocol

from sentinode.errors import ConfigError
from sentinode.inference.predictions import Predictions
from sentinode.metrics.thresholds import choose_threshold, parse_rule


class Validated(Protocol):
    """A `Predictor`, or predictions from a file."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def validation_predictions(self) -> Predictions | None: ...  # noqa: D102


def threshold_of(model: Validated, rule: str | float) -> float:
    """Return the threshold of an operating point.

    Parameters
    ----------
    model : Predictor or PredictionsFile
        A rule is applied to its validation predictions.
    rule : str or float
        ``"youden"``, ``"sensitivity>=0.95"``, ``"specificity>=0.95"``, ``"cost=fn:fp"``, or a number.

    Raises
    ------
    ConfigError
        No such rule, or no validation predictions to follow it on.

    Examples
    --------
    >>> from sentinode import load_run
    >>> threshold_of(load_run("d4net-m"), 0.3)
    0.3
    """
    asked = parse_rule(rule)
    if asked.kind == "number":
        return asked.value
    validation = model.validation_predictions
    if validation is None:
        raise ConfigError(
            f"operating point {rule!r} is chosen on validation patches, and {model.name} keeps no predictions of them; "
            "give a number"
        )
    return choose_threshold(asked, validation.labels, validation.table["probability"].to_numpy())
