"""What is named as a model, turned into scores of given patches: a run, several seeds of it, another software's csv."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np

from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError, DataError
from sentinode.evaluation.operating_points import threshold_of
from sentinode.evaluation.prediction_files import PredictionsFile
from sentinode.inference.logits import probability
from sentinode.inference.predict import predict
from sentinode.metrics.checks import Floats, Integers
from sentinode.samples import PRETRAINED
from sentinode.training.load import load_run
from sentinode.training.run import ARCHITECTURE, WEIGHTS, Run


@dataclass(frozen=True)
class Facts:
    """What a model costs; None where that is not known, as for another software's predictions.

    Attributes
    ----------
    parameters
        How many numbers it has learned or measured.
    flops
        Floating-point operations a patch, see `sentinode.models.flops.flops`.
    size_bytes
        Of the files that predicting needs: the architecture and the best weights.
    patches_per_s
        Predicted a second on this machine, start of the network and reading of the patches included: rough.
    """

    parameters: int | None = None
    flops: int | None = None
    size_bytes: int | None = None
    patches_per_s: float | None = None


@dataclass(frozen=True)
class Scores:
    """What a model, in one or several seeds, says of labelled patches.

    Attributes
    ----------
    name
        What the model is called.
    labels
        0 or 1, int64, shape ``(n,)``.
    logits
        Log-odds of tumour, float64, shape ``(seeds, n)``.
    thresholds
        For each seed the probability from which it calls a patch tumour, shape ``(seeds,)``.
    facts
        What it costs.
    made_by
        For each seed what its predictions come from.
    """

    name: str
    labels: Integers
    logits: Floats
    thresholds: Floats
    facts: Facts
    made_by: tuple[dict[str, Any], ...]

    @property
    def calls(self) -> Integers:
        """1 where a seed calls a patch tumour, shape ``(seeds, n)``."""
        return (probability(self.logits) >= self.thresholds[:, None]).astype(np.int64)


@dataclass(frozen=True)
class Entry:
    """What stands for one model: one run or csv, or one for each of several seeds.

    Attributes
    ----------
    name
        What it is called.
    members
        One for each seed.

    Raises
    ------
    ConfigError
        No member, or the same weights twice: they are no other seed.
    """

    name: str
    members: tuple[Run | PredictionsFile, ...]

    def __post_init__(self) -> None:
        if not self.members:
            raise ConfigError(f"model {self.name!r} has no run")
        first: dict[str, Path] = {}
        for member in self.members:
            other = first.setdefault(_digest(member), member.path)
            if other is not member.path:
                raise ConfigError(
                    f"{self.name}: {member.path} and {other} are the same network, and no two seeds; give each once"
                )

    @property
    def runs(self) -> tuple[Run, ...]:
        """Those of its members that are runs."""
        return tuple(member for member in self.members if isinstance(member, Run))


def open_entry(model: "str | Path | Run") -> Entry:
    """Open what stands for one model.

    Parameters
    ----------
    model
        A run directory, the name of a run that ships, or a csv of predictions from any software, with or without a name
        before it, ``"small=runs/a"``; several seeds of one recipe as ``"cnn=runs/1,runs/2"`` or ``"cnn=runs/cnn-*"``.
        What exists as a path is taken as that path, whatever is in its name. Or a `Run`.

    Raises
    ------
    ConfigError
        Several seeds without a name, a pattern that nothing matches, the same weights twice.
    RunError
        One of them is no run that has ended.
    DataError
        There is no such csv.

    Examples
    --------
    >>> open_entry("shipped=d4net-m").name
    'shipped'
    """
    if isinstance(model, Run):
        return Entry(model.path.name, (model,))
    text = str(model)
    if _is_there(text):
        return Entry(_name_of(text), (_open_member(text),))
    name, equals, rest = text.partition("=")
    name, rest = (name.strip(), rest) if equals else ("", text)
    paths = [rest] if _is_there(rest) else [path for part in rest.split(",") for path in _matching(part.strip())]
    if not name and len(paths) > 1:
        raise ConfigError(f"--model {text}: give several seeds of one recipe a name, as in NAME={text}")
    return Entry(name or _name_of(paths[0]), tuple(_open_member(path) for path in paths))


def open_entries(models: "Sequence[str | Path | Run]") -> list[Entry]:
    """Open several models, each under a name of its own.

    Raises
    ------
    ConfigError
        Two have the same name; else see `open_entry`.
    """
    entries = [open_entry(model) for model in models]
    names = [entry.name for entry in entries]
    for place, name in enumerate(names):
        if name in names[:place]:
            both = [str(entry.members[0].path) for entry in entries if entry.name == name]
            raise ConfigError(f"{' and '.join(both)} are both named {name!r}; name them, as in --model NAME={both[-1]}")
    return entries


def score(entries: Sequence[Entry], patches: PatchSet, point: str | float | None = None) -> list[Scores]:
    """Return what each of several models says of labelled patches; what runs say is predicted.

    Tables are read and matched first, so that one which does not fit is told before the minutes of prediction.

    Parameters
    ----------
    entries
        From `open_entries`.
    patches
        Each with a label.
    point
        The operating point, see `sentinode.metrics.thresholds.parse_rule`; rules are applied to each run's own
        validation patches. When left out each has its own: a run's threshold; of a csv that of the json beside it, else
        0.5.

    Raises
    ------
    DataError
        A patch has no label; see `PredictionsFile`.
    ConfigError
        The seeds of an entry are networks of different sizes; a rule where validation predictions are not known.
    """
    labels = patches.labels
    thresholds = [
        np.array([member.threshold if point is None else threshold_of(member, point) for member in entry.members])
        for entry in entries
    ]
    for entry in entries:
        _check_one_recipe(entry)
    files = [member for entry in entries for member in entry.members if isinstance(member, PredictionsFile)]
    read = {file.path: file.logits(patches) for file in files}
    found = []
    for entry, at in zip(entries, thresholds, strict=True):
        rows, duration_s = [], 0.0
        for member in entry.members:
            if isinstance(member, PredictionsFile):
                rows.append(read[member.path])
                continue
            started = time.perf_counter()
            rows.append(predict(member, patches).table["logit"].to_numpy())
            duration_s += time.perf_counter() - started
        identities = tuple(member.identity for member in entry.members)
        facts = _facts(entry.runs, len(patches), duration_s)
        found.append(Scores(entry.name, labels, np.array(rows), at, facts, identities))
    return found


def _facts(runs: Sequence[Run], patches: int, duration_s: float) -> Facts:
    if not runs:
        return Facts()
    from sentinode.models.flops import flops

    model, files = runs[0].model, (ARCHITECTURE, WEIGHTS["best"])
    size_bytes = sum((runs[0].path / file).stat().st_size for file in files)
    return Facts(model.count_params(), flops(model), size_bytes, len(runs) * patches / duration_s)


def _check_one_recipe(entry: Entry) -> None:
    for run in entry.runs[1:]:
        first, other = entry.runs[0].model.count_params(), run.model.count_params()
        if first != other:
            raise ConfigError(
                f"{entry.name}: {entry.runs[0].path} has {first:,} parameters and {run.path} {other:,}, which are no "
                "two seeds of one recipe; give each a --model of its own"
            )


def _digest(member: Run | PredictionsFile) -> str:
    return str(member.identity["weights_sha256" if isinstance(member, Run) else "sha256"])


def _is_there(text: str) -> bool:
    return bool(text) and (Path(text).exists() or text in PRETRAINED)


def _name_of(path: str) -> str:
    """Return the last part of a path; of a predictions.csv the folder's, which says more."""
    there = Path(path)
    return there.parent.name or there.stem if there.name == "predictions.csv" else there.name.removesuffix(".csv")


def _open_member(path: str) -> Run | PredictionsFile:
    there = Path(path)
    if there.is_file():
        return PredictionsFile(there)
    if there.suffix.lower() == ".csv" and not there.exists():
        raise DataError(f"{path}: there is no such csv of predictions")
    return load_run(path)


def _matching(part: str) -> list[str]:
    if not part:
        raise ConfigError("a model has an empty name between commas or behind '='; name a run or a csv")
    if not has_magic(part) or _is_there(part):
        return [part]
    found = sorted(glob(part))  # noqa: PTH207
    if not found:
        raise ConfigError(f"{part}: no run matches this pattern")
    return found
