"""Operating points by name, chosen on the validation patches of what is measured."""

from typing import Any

from sentinode.errors import ConfigError
from sentinode.metrics.thresholds import choose_threshold, parse_rule


def threshold_of(model: Any, rule: str | float) -> float:
    """Return the threshold of an operating point.

    Parameters
    ----------
    model
        A `Run`, whose validation predictions a rule is followed on; or anything else, which has none.
    rule
        ``"youden"``, ``"sensitivity>=0.95"``, ``"specificity>=0.95"``, ``"cost=fn:fp"``, or a number.

    Raises
    ------
    ConfigError
        No such rule, or no validation predictions to follow it on.

    Examples
    --------
    >>> threshold_of(None, 0.3)
    0.3
    """
    asked = parse_rule(rule)
    if asked.kind == "number":
        return asked.value
    validation = getattr(model, "validation_predictions", None)
    if validation is None:
        raise ConfigError(
            f"operating point {rule!r} is chosen on validation patches, and {model.name} keeps no predictions of them; "
            "give a number"
        )
    return choose_threshold(asked, validation.labels, validation.table["probability"].to_numpy())
