"""Several predictors as one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from sentinode.data.types import UInt8Array
from sentinode.errors import ConfigError, plural
from sentinode.inference.logits import probability
from sentinode.inference.ood import WARNINGS
from sentinode.inference.predictor import Predictor, Session

# A threshold of exactly 0 or 1 has no finite logit and counts as this near to it.
NEAREST = 1e-12


@dataclass(frozen=True)
class Ensemble(Predictor):
    """The mean of the calibrated logits of several predictors.

    Attributes
    ----------
    members : tuple of Predictor
        At least one, each with weights of its own.

    Raises
    ------
    ConfigError
        There is no member, or two have the same weights and would count twice.

    Examples
    --------
    >>> from sentinode import load_run
    >>> run = load_run("d4net-m")
    >>> abs(Ensemble((run,)).threshold - run.threshold) < 1e-9
    True
    """

    members: tuple[Predictor, ...]

    def __post_init__(self) -> None:
        if not self.members:
            raise ConfigError("an ensemble needs at least one model; got none")
        first: dict[str, Predictor] = {}
        for member in self.members:
            other = first.setdefault(member.identity["weights_sha256"], member)
            if other is not member:
                models = f"{member.identity['model']} and {other.identity['model']}"
                raise ConfigError(f"{models} have the same weights; specify each model of an ensemble once")

    @property
    def name(self) -> str:  # noqa: D102
        return "an ensemble"

    @property
    def threshold(self) -> float:
        """The mean of the members' thresholds on the logit scale; not chosen on any patches of its own."""
        return mean_threshold([member.threshold for member in self.members])

    @property
    def identity(self) -> dict[str, Any]:  # noqa: D102
        return {
            "ensemble": [member.identity for member in self.members],
            "threshold": self.threshold,
            "threshold_rule": "mean of the members' thresholds on the logit scale",
        }

    def describe(self) -> str:  # noqa: D102
        models = ", ".join(str(member.identity["model"]) for member in self.members)
        count = plural(len(self.members), "model")
        return f"ensemble of {count} (mean of their calibrated logits): {models}; research use only"

    def session(self, engine: str = "keras", *, tta: str = "none", precision: str = "float32") -> Session:  # noqa: D102
        sessions = [member.session(engine, tta=tta, precision=precision) for member in self.members]
        settings = dict(sessions[0].settings)
        engines = [session.settings.get("engine", "keras") for session in sessions]
        if len(set(engines)) > 1:  # External model files bring their own.
            settings["engine"] = engines
        if "tta" in settings:  # In effect if it is for any member.
            effective = {session.settings["tta"]["effective"] for session in sessions}
            settings["tta"] = {"requested": tta, "effective": tta if tta in effective else "none"}
        return Session(self, _mean_of([session.compute for session in sessions]), settings)

    def needs_keras(self, engine: str, precision: str = "float32") -> bool:  # noqa: D102
        return any(member.needs_keras(engine, precision) for member in self.members)

    @property
    def validation_warning_rate(self) -> float:
        """The largest rate of any member; together they warn more often."""
        return max(member.validation_warning_rate for member in self.members)

    def warnings(self, pixels: UInt8Array) -> list[str] | None:
        """Combine the warnings of the members."""
        known = [each for member in self.members if (each := member.warnings(pixels)) is not None]
        if not known:
            return None
        return [
            ", ".join(name for name in WARNINGS if any(name in each for each in patch))
            for patch in zip(*known, strict=True)
        ]

    def trained_on(self, sha1: pd.Series) -> NDArray[np.bool_] | None:
        """Tell for each patch whether any member was trained on it; see `any_of`."""
        return any_of([member.trained_on(sha1) for member in self.members])

    def validated_on(self, sha1: pd.Series) -> NDArray[np.bool_] | None:
        """Tell for each patch whether it is a validation patch of any member; see `any_of`."""
        return any_of([member.validated_on(sha1) for member in self.members])

    @property
    def validation_choices(self) -> str:  # noqa: D102
        return max((member.validation_choices for member in self.members), key=len)

    def held_out(self) -> set[str] | None:
        """Return the SHA-1s of the patches that all members held out; see `common_held_out`."""
        return common_held_out([member.held_out() for member in self.members])


def mean_threshold(thresholds: Sequence[float]) -> float:
    """Return the mean of thresholds on the logit scale.

    Examples
    --------
    >>> round(mean_threshold([0.2, 0.8]), 6)
    0.5
    """
    return float(probability(logit(np.clip(thresholds, NEAREST, 1 - NEAREST)).mean()))


def any_of(parts: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.bool_] | None:
    """Combine what is known of the training patches of several models.

    Parameters
    ----------
    parts : sequence of ndarray of bool of shape (n,), or None
        Per model, for each patch whether its training used it; None if that is unknown.

    Returns
    -------
    ndarray of bool of shape (n,), or None
        For each patch whether the training of any model used it; None if no training is known to, but one is unknown.

    Examples
    --------
    >>> any_of([np.array([False, True]), None]), any_of([np.array([False, False]), None])
    (array([False,  True]), None)
    """
    known = [part for part in parts if part is not None]
    if not known:
        return None
    used = np.any(known, axis=0)
    return used if used.any() or len(known) == len(parts) else None


def common_held_out(parts: Sequence[set[str] | None]) -> set[str] | None:
    """Combine what several models held out.

    Parameters
    ----------
    parts : sequence of set of str, or None
        Per model, the SHA-1s of the patches that its training held out; None if it held out nothing, or if that is
        unknown.

    Returns
    -------
    set of str, or None
        None if no model held out patches; empty if two held out different ones.

    Examples
    --------
    >>> common_held_out([{"a"}, None]), common_held_out([{"a"}, {"b"}]), common_held_out([None])
    ({'a'}, set(), None)
    """
    known = [part for part in parts if part is not None]
    if not known:
        return None
    return known[0] if all(part == known[0] for part in known) else set()


def _mean_of(parts: Sequence[Callable[[UInt8Array], np.ndarray]]) -> Callable[[UInt8Array], np.ndarray]:
    return lambda pixels: np.mean([compute(pixels) for compute in parts], axis=0)
