"""Choose operating points on the validation patches of a model."""

from typing import Any

from sentinode.errors import ConfigError
from sentinode.metrics import choose_threshold, parse_rule


def threshold_of(model: Any, rule: str | float) -> float:
    """Choose the threshold of an operating point.

    Parameters
    ----------
    model : Run or object
        A run, whose validation predictions the rule is applied to; or a model without them.
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
    >>> threshold_of(None, 0.3)
    0.3
    """
    parsed = parse_rule(rule)
    if parsed.kind == "number":
        return parsed.value
    validation = getattr(model, "validation_predictions", None)
    if validation is None:
        raise ConfigError(
            f"operating point {rule!r} is chosen on validation patches, but {model.name} has no predictions of them; "
            "use a number"
        )
    return choose_threshold(parsed, validation.labels, validation.table["probability"].to_numpy())
