"""Hyperparameter search: many training runs, one table.

Optuna chooses the trials and stores the study. Each training run has a folder named by its settings, so that an
interrupted study resumes within the run that it was in.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import socket
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError, ModelError, RunError, TrainingDiverged, first_line
from sentinode.extras import optional
from sentinode.models.build import MODELS, build_model, names_run
from sentinode.plots import plot_trials
from sentinode.plots.style import save_figures
from sentinode.storage import write_csv
from sentinode.training.config import TrainConfig
from sentinode.training.load import load_run
from sentinode.training.splits import training_and_validation
from sentinode.training.state.folder import locked
from sentinode.training.train import train
from sentinode.tuning.space import OPTION, Dimension, Range, check_search, settings_of

# User attributes of a trial: the process that runs it, why it failed, the interrupted trial that it repeats.
OWNER, REASON, REPEATS = "owner", "reason", "repeats"
RESULTS = ("trial", "valid_auc", "sd", "seeds", REASON)

log = logging.getLogger("sentinode")


@dataclass(frozen=True)
class Tuning:
    """The results of a search so far.

    Attributes
    ----------
    table : DataFrame
        One row per trial, the best first: ``trial``, its settings, ``valid_auc`` (mean over seeds), ``sd``, ``seeds``,
        and ``reason`` if it failed.
    folder : Path
        Contains ``trials.csv``, the figure ``trials`` and the runs.
    """

    table: pd.DataFrame
    folder: Path

    @property
    def best(self) -> dict[str, Any]:
        """Settings of the best trial.

        Raises
        ------
        RunError
            All trials failed.
        """
        succeeded = self.table[self.table["valid_auc"].notna()]
        if succeeded.empty:
            raise RunError(f"{self.folder}: all trials failed; trials.csv contains the reasons")
        row = succeeded.iloc[0]
        values = {name: row[name] for name in self.table.columns if name not in RESULTS}
        return {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}


def tune(
    model: str,
    patches: PatchSet,
    space: Sequence[Dimension],
    config: TrainConfig | None = None,
    *,
    out: str | Path,
    trials: int | None = None,
    seeds: int = 1,
    storage: str | None = None,
    cache: str | Path | None = None,
    figures: str = "png",
) -> Tuning:
    """Search for the settings with the largest AUC on the validation patches.

    Parameters
    ----------
    model : str
        A name of `MODELS`; or a run directory or the name of pretrained weights, from which every trial starts.
    patches : PatchSet
        As for `train`.
    space : sequence of Values or Range
        The search space.
    config : TrainConfig, optional
        All other settings.
    out : str or Path
        Folder of the study. An existing study is resumed.
    trials : int, optional
        Number of trials, sampled by Optuna's tree-structured Parzen estimator. By default all combinations are tried,
        which requires a space without ranges.
    seeds : int, default 1
        Trainings per trial, with seeds from ``config.seed`` on. Trials are compared by their mean.
    storage : str, optional
        URL of a database that several machines share, such as ``postgresql://…``; by default a file in `out`.
    cache : str or Path, optional
        As for `train`.
    figures : {"png", "svg", "pdf"}, default "png"
        Format of ``trials``, the figure of all trials.

    Returns
    -------
    Tuning

    Raises
    ------
    ConfigError
        Optuna is not installed, or the search space is not valid.
    RunError
        Another process uses `out`, the study there has another search space, or no trial has ended.
    ModelError
        The model is unknown.
    TrainingStopped
        Ctrl-C or SIGTERM was received. The state is saved.
    """
    config, folder = config or TrainConfig(), Path(out)
    total = check_search(space, trials, seeds)
    start = load_run(model) if names_run(model) else None
    if start is None and model not in MODELS:
        build_model(model)  # Raises an error that lists the available models.
    if start is not None and any(dimension.name.startswith(OPTION) for dimension in space):
        raise ConfigError(f"{model} is a trained run with a fixed network; search settings, not options of the model")
    request = {
        "model": model,
        "space": [str(dimension) for dimension in space],
        "settings": config.to_json(),
        "seeds": seeds,
        "weights_sha256": start.identity["weights_sha256"] if start else None,
        "data": [part.fingerprint for part in training_and_validation(patches, config, cache)[:2]],
    }

    def run_trial(values: dict[str, Any]) -> list[float]:
        settings, options = settings_of(values, config)
        name = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
        aucs = []
        for seed in range(config.seed, config.seed + seeds):
            network = start.starting_model(seed) if start else build_model(model, seed=seed, **options)
            run = train(network, patches, replace(settings, seed=seed), out=folder / name / f"seed-{seed}", cache=cache)
            aucs.append(float(run.summary["valid_auc"]))
        return aucs

    with locked(folder):
        study = _Study(folder, storage, space, request, config.seed, grid=trials is None)
        while study.done() < total:
            study.run(run_trial)
            _write(Tuning(study.table(), folder), space, figures)
        study.warn_of_running()
        tuning = Tuning(study.table(), folder)
        _write(tuning, space, figures)  # Includes the trials of other machines.
    return tuning


class _Study:
    """The Optuna study: created or resumed, with the trials of this process and of others."""

    def __init__(
        self,
        folder: Path,
        storage: str | None,
        space: Sequence[Dimension],
        request: dict[str, Any],
        seed: int,
        grid: bool,
    ) -> None:
        optuna = optional("optuna", "tune")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._states, self._space, self._seed = optuna, optuna.trial.TrialState, space, seed
        # The lock of the folder is held: nobody else runs trials of a study in its own file.
        self._grid, self._alone = grid, storage is None
        self._owner = f"{_machine()}:{folder.resolve()}"
        # Characters such as ? and % in the name of the folder have a meaning in a URL.
        url = optional("sqlalchemy", "tune").URL.create("sqlite", database=str(folder / "study.db"))
        try:
            self._study = optuna.create_study(
                storage=storage or url.render_as_string(),
                study_name="sentinode",
                direction="maximize",
                load_if_exists=True,
            )
        except Exception as error:  # The errors of the databases have many types.
            raise RunError(f"{storage or folder / 'study.db'}: cannot store a study ({first_line(error)})") from error
        if earlier := self._study.user_attrs.get("request"):
            # Settings that were added later have their defaults.
            earlier = {**earlier, "settings": {**TrainConfig().to_json(), **earlier["settings"]}}
            request = json.loads(json.dumps(request))
            # An older study did not record all of the request.
            if differences := ", ".join(name for name in request if earlier.get(name, request[name]) != request[name]):
                raise RunError(
                    f"{storage or folder}: the existing study differs in {differences}; choose another folder with "
                    "--out"
                )
            self._repeat_interrupted()
        else:
            self._study.set_user_attr("request", request)
        if grid:
            values = [dimension.values for dimension in space if not isinstance(dimension, Range)]
            for combination in itertools.product(*values):  # Those that a killed process did not queue.
                values_of = dict(zip((each.name for each in space), combination, strict=True))
                self._study.enqueue_trial(values_of, skip_if_exists=True)

    def _repeat_interrupted(self) -> None:
        """Queue the trials that were interrupted in this folder, whose lock is held, or marked as failed by hand."""
        repeated = {trial.user_attrs.get(REPEATS) for trial in self._trials()}
        for trial in self._trials():
            own = self._alone or trial.user_attrs.get(OWNER) == self._owner
            interrupted = trial.state == self._states.RUNNING and own
            abandoned = trial.state == self._states.FAIL and REASON not in trial.user_attrs
            if (interrupted or abandoned) and trial.number not in repeated:
                self._study.enqueue_trial(_params(trial), user_attrs={REPEATS: trial.number})
            if interrupted:
                self._study.tell(trial.number, state=self._states.FAIL)

    def _trials(self) -> list[Any]:
        return list(self._study.get_trials(deepcopy=False))

    def done(self) -> int:
        """Count the trials that have ended or run elsewhere, without interrupted ones; of a grid, its combinations.

        Machines that start at the same moment queue some of them twice.
        """
        active = (self._states.COMPLETE, self._states.RUNNING)
        found = [trial for trial in self._trials() if trial.state in active or REASON in trial.user_attrs]
        return len({json.dumps(_params(trial), sort_keys=True) for trial in found}) if self._grid else len(found)

    def run(self, train_trial: Callable[[dict[str, Any]], list[float]]) -> None:
        """Run the next trial: `train_trial` gets its values and returns one AUC per seed."""
        trial = self._study.ask()
        # Seeded by the number of the trial, so that a resumed process or another machine draws other values.
        sampler_seed = int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=sampler_seed)
        trial.set_user_attr(OWNER, self._owner)
        values = {dimension.name: _suggest(trial, dimension) for dimension in self._space}
        log.info("trial %d: %s", trial.number + 1, ", ".join(f"{name}={value}" for name, value in values.items()))
        try:
            aucs = train_trial(values)
        except (ConfigError, ModelError, TrainingDiverged) as error:  # Others, such as a full disk, end the study.
            log.warning("trial %d: %s", trial.number + 1, error)
            trial.set_user_attr(REASON, str(error))
            self._study.tell(trial, state=self._states.FAIL)
            return
        trial.set_user_attr("aucs", aucs)
        self._study.tell(trial, statistics.fmean(aucs))
        log.info("trial %d: validation AUC %.4f", trial.number + 1, statistics.fmean(aucs))

    def warn_of_running(self) -> None:
        """Warn if trials of other machines have not ended."""
        if running := [trial.number for trial in self._trials() if trial.state == self._states.RUNNING]:
            log.warning(
                "%d %s still running elsewhere; run the same command again to see the results. If its machine was "
                "lost: optuna tell --storage URL --study-name sentinode --trial-number %d --state fail",
                len(running),
                "trial is" if len(running) == 1 else "trials are",
                running[0],
            )

    def table(self) -> pd.DataFrame:
        """Return one row per trial that has ended, the best first."""
        rows = []
        for trial in self._trials():
            aucs, reason = trial.user_attrs.get("aucs", []), trial.user_attrs.get(REASON)
            aucs = aucs if trial.state == self._states.COMPLETE else []  # Others were killed before they were told.
            if aucs or reason:
                spread = statistics.stdev(aucs) if len(aucs) > 1 else None
                figures = {"valid_auc": trial.value, "sd": spread, "seeds": len(aucs), REASON: reason or ""}
                rows.append({"trial": trial.number + 1, **trial.params, **figures})
        if not rows:
            raise RunError("no trial has ended yet: all of them run elsewhere; run the same command again later")
        columns = {name: pd.Series([row[name] for row in rows], dtype=_dtype(name, rows)) for name in rows[0]}
        return pd.DataFrame(columns).sort_values("valid_auc", ascending=False, na_position="last", ignore_index=True)


def _machine() -> str:
    """Return the name of this machine, with an identifier that tells machines of the same name apart."""
    identifier = ""
    with contextlib.suppress(OSError):  # Linux only.
        identifier = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    return f"{socket.gethostname()}:{identifier}"


def _params(trial: Any) -> dict[str, Any]:
    """Return the values of a trial; those that it was queued with, where it was killed before it took them."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def _suggest(trial: Any, dimension: Dimension) -> Any:
    if not isinstance(dimension, Range):
        return trial.suggest_categorical(dimension.name, list(dimension.values))
    if dimension.integer:
        return trial.suggest_int(dimension.name, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(dimension.name, dimension.low, dimension.high, log=dimension.log)


def _dtype(name: str, rows: list[dict[str, Any]]) -> type | None:
    """Return the dtype of a column where pandas would convert None and 4 to NaN and 4.0."""
    if name in ("valid_auc", "sd"):
        return float
    return object if any(row[name] is None for row in rows) else None


def _write(tuning: Tuning, space: Sequence[Dimension], figures: str) -> None:
    table = tuning.table.map(lambda value: "null" if value is None else value)
    write_csv(table, tuning.folder / "trials.csv")
    with contextlib.suppress(RunError):  # All trials failed so far, and there is nothing to draw.
        log_scale = [dimension.name for dimension in space if isinstance(dimension, Range) and dimension.log]
        save_figures({"trials": plot_trials(tuning.table, list(tuning.best), log_scale)}, tuning.folder, figures)
