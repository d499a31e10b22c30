"""Open the models of a comparison: runs, several seeds of one recipe, and predictions of other software."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError, DataError
from sentinode.evaluation.operating_points import PointChooser
from sentinode.evaluation.prediction_files import PredictionsFile
from sentinode.external.files import is_model_file
from sentinode.external.model import ExternalModel, KerasFile
from sentinode.inference.ensemble import any_of, common_held_out
from sentinode.inference.predict import predict
from sentinode.inference.predictions import Predictions
from sentinode.samples import PRETRAINED
from sentinode.training.load import load_model
from sentinode.training.run import ARCHITECTURE, WEIGHTS, Run


@dataclass(frozen=True)
class Cost:
    """The size and speed of a model; None if unknown, as for the predictions of other software.

    Attributes
    ----------
    parameters : int or None
        The number of parameters, including those that are not trained.
    flops : int or None
        Floating-point operations per patch.
    size_bytes : int or None
        The size of the files that prediction needs: the architecture and the best weights.
    patches_per_s : float or None
        The prediction speed on this machine, including startup and reading: a rough figure.
    """

    parameters: int | None = None
    flops: int | None = None
    size_bytes: int | None = None
    patches_per_s: float | None = None


@dataclass(frozen=True)
class Candidate:
    """A model to compare.

    Attributes
    ----------
    name : str
        The name of the model.
    members : tuple of Run, ExternalModel or PredictionsFile
        One run, model file or file of predictions; for several seeds of one recipe, one for each seed.

    Raises
    ------
    ConfigError
        There is no member, or two members have the same weights.
    """

    name: str
    members: tuple[Run | ExternalModel | PredictionsFile, ...]

    def __post_init__(self) -> None:
        if not self.members:
            raise ConfigError(f"model {self.name!r} has no run")
        first: dict[str, Path] = {}
        for member in self.members:
            other = first.setdefault(_digest(member), member.path)
            if other is not member.path:
                raise ConfigError(
                    f"{self.name}: {member.path} and {other} have the same weights, so they are not "
                    "two seeds; remove one"
                )

    @property
    def runs(self) -> tuple[Run | ExternalModel, ...]:
        """The members that are runs or model files."""
        return tuple(member for member in self.members if not isinstance(member, PredictionsFile))

    @property
    def validation_choices(self) -> str:
        """What was chosen on the validation patches of the runs."""
        return max((run.validation_choices for run in self.runs), key=len, default="")

    def held_out(self) -> set[str] | None:
        """Return the SHA-1s of the patches that all runs held out; see `common_held_out`."""
        return common_held_out([run.held_out() for run in self.runs])

    def trained_on(self, sha1: "pd.Series[str]") -> np.ndarray | None:
        """Return for each patch whether any run was trained on it; see `any_of`."""
        return any_of([run.trained_on(sha1) for run in self.runs])

    def validated_on(self, sha1: "pd.Series[str]") -> np.ndarray | None:
        """Return for each patch whether it is a validation patch of any run; see `any_of`."""
        return any_of([run.validated_on(sha1) for run in self.runs])

    def check(self) -> None:
        """Raise unless all seeds have the same number of parameters.

        Raises
        ------
        ConfigError
            Two runs are different networks.
        """
        runs = [run for run in self.runs if isinstance(run, Run)]
        for run in runs[1:]:
            first, other = runs[0].model.count_params(), run.model.count_params()
            if first != other:
                raise ConfigError(
                    f"{self.name}: {runs[0].path} has {first:,} parameters and {run.path} has {other:,}, so they "
                    "are not two seeds of one recipe; pass each with its own --model"
                )

    def predict(
        self, patches: PatchSet, chooser: PointChooser, point: str | float | None = None
    ) -> tuple[list[tuple[Predictions, float]], Cost]:
        """Predict patches with every member.

        Parameters
        ----------
        patches : PatchSet
            Labeled, cached patches.
        chooser : PointChooser
            Chooses the threshold of `point`.
        point : str or float, optional
            The operating point; by default the threshold of each member.

        Returns
        -------
        predictions : list of tuple of Predictions and float
            The predictions and the threshold of each member.
        cost : Cost
            The size and speed of the model.
        """
        found, duration_s = [], 0.0
        for member in self.members:
            points, about = ({}, {}) if point is None else chooser.choose(member, [point])
            threshold = points.get(str(point), member.threshold)
            if isinstance(member, PredictionsFile):
                found.append((member.predictions(patches, about), threshold))
                continue
            started = time.perf_counter()
            found.append((predict(member, patches, about), threshold))
            duration_s += time.perf_counter() - started
        return found, self._cost(len(patches), duration_s)

    def _cost(self, patches: int, duration_s: float) -> Cost:
        if not self.runs:
            return Cost()
        from sentinode.models.flops import flops

        run, patches_per_s = self.runs[0], len(self.runs) * patches / duration_s
        parts = (ARCHITECTURE, WEIGHTS["best"])
        files = run.files if isinstance(run, ExternalModel) else [run.path / name for name in parts]
        size_bytes = sum(file.stat().st_size for file in files)
        if isinstance(run, ExternalModel) and not isinstance(run, KerasFile):
            return Cost(None, None, size_bytes, patches_per_s)
        return Cost(run.model.count_params(), flops(run.model), size_bytes, patches_per_s)


def open_candidate(
    model: "str | Path | Run | Candidate", *, input_scale: str | None = None, model_output: str | None = None
) -> Candidate:
    """Open a model to compare.

    Parameters
    ----------
    model : str, Path, Run or Candidate
        A run directory, the name of a pretrained run, a model file, or a csv file of predictions, optionally after a
        name, as in ``"small=runs/a"``. Several seeds of one recipe are ``"cnn=runs/1,runs/2"`` or ``"cnn=runs/cnn-*"``.
        A string that is an existing path is that path.
    input_scale, model_output : str, optional
        Only for a model file, see `load_model`.

    Returns
    -------
    Candidate
        The model.

    Raises
    ------
    ConfigError
        Several seeds have no name, a pattern matches nothing, or two seeds have the same weights.
    RunError
        A path is not a complete run.
    DataError
        A csv file does not exist.

    Examples
    --------
    >>> open_candidate("pretrained=d4net-m").name
    'pretrained'
    """
    if isinstance(model, Candidate):
        return model
    if isinstance(model, Run):
        return Candidate(model.path.name, (model,))

    def open_member(path: str) -> Run | ExternalModel | PredictionsFile:
        if is_model_file(path):
            return load_model(path, input_scale=input_scale, model_output=model_output)
        file = Path(path)
        if file.is_file():
            return PredictionsFile(file)
        if file.suffix.lower() == ".csv" and not file.exists():
            raise DataError(f"{path}: no such csv file of predictions")
        return load_model(path)

    text = str(model)
    if _exists(text):
        return Candidate(_name_of(text), (open_member(text),))
    name, equals, rest = text.partition("=")
    name, rest = (name.strip(), rest) if equals else ("", text)
    paths = [rest] if _exists(rest) else [path for part in rest.split(",") for path in _matching(part.strip())]
    if not name and len(paths) > 1:
        raise ConfigError(f"--model {text}: several seeds of one recipe need a name, as in --model NAME={text}")
    return Candidate(name or _name_of(paths[0]), tuple(open_member(path) for path in paths))


def open_candidates(
    models: "Sequence[str | Path | Run | Candidate]", *, input_scale: str | None = None, model_output: str | None = None
) -> list[Candidate]:
    """Open several models to compare; see `open_candidate`.

    Raises
    ------
    ConfigError
        There are fewer than two models, or two have the same name.
    """
    if len(models) < 2:
        raise ConfigError(f"a comparison needs at least two models; got {len(models)} (repeat --model)")
    candidates = [open_candidate(model, input_scale=input_scale, model_output=model_output) for model in models]
    names = [candidate.name for candidate in candidates]
    for index, name in enumerate(names):
        if name in names[:index]:
            both = [str(candidate.members[0].path) for candidate in candidates if candidate.name == name]
            raise ConfigError(f"{' and '.join(both)} have the same name {name!r}; use --model NAME={both[-1]}")
    return candidates


def _digest(member: Run | ExternalModel | PredictionsFile) -> str:
    return str(member.identity["sha256" if isinstance(member, PredictionsFile) else "weights_sha256"])


def _exists(text: str) -> bool:
    return bool(text) and (Path(text).exists() or text in PRETRAINED)


def _name_of(path: str) -> str:
    """Return the last part of a path; for predictions.csv the name of its folder, which says more."""
    file = Path(path)
    return file.parent.name or file.stem if file.name == "predictions.csv" else file.name.removesuffix(".csv")


def _matching(part: str) -> list[str]:
    if not part:
        raise ConfigError("a model is empty between commas or after '='; specify a run or a csv file")
    if not has_magic(part) or _exists(part):
        return [part]
    found = sorted(glob(part))  # noqa: PTH207
    if not found:
        raise ConfigError(f"{part}: no run or csv file matches this pattern")
    return found
