"""A search for settings: many trainings, one table, nothing done twice.

Optuna chooses what to try and keeps the study; every training is an ordinary run in a folder of its own, named by what
was tried, so that a study that is stopped or killed goes on within the training that it was in.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import socket
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError, ModelError, RunError, TrainingDiverged, first_line
from sentinode.models.build import MODELS, build_model
from sentinode.plots.style import save_figure
from sentinode.plots.training import plot_trials
from sentinode.samples import PRETRAINED
from sentinode.storage import atomic_file
from sentinode.training.config import TrainConfig
from sentinode.training.load import load_run
from sentinode.training.run import Run
from sentinode.training.state.record import only_process
from sentinode.training.train import train
from sentinode.tuning.space import OPTION, Dimension, Range, combinations, settings_of

OWNER = "owner"
REASON = "reason"
INSTEAD_OF = "instead_of"

log = logging.getLogger("sentinode")


@dataclass(frozen=True)
class Tuning:
    """What a search has found so far.

    Attributes
    ----------
    table
        One row a trial, the best first: what was tried, ``valid_auc`` (mean over seeds), ``sd``, ``seeds``, and
        ``reason`` where it failed.
    folder
        Where ``trials.csv``, ``trials.png`` and the runs are.
    """

    table: pd.DataFrame
    folder: Path

    @property
    def best(self) -> dict[str, Any]:
        """What was tried in the best trial.

        Raises
        ------
        RunError
            Every trial failed.
        """
        good = self.table[self.table["valid_auc"].notna()]
        if good.empty:
            raise RunError(f"{self.folder}: no trial has ended well; trials.csv there says why")
        row = good.iloc[0]
        names = [name for name in self.table.columns if name not in ("valid_auc", "sd", "seeds", REASON)]
        return {name: _plain(row[name]) for name in names}


def _plain(value: Any) -> Any:
    """Return what pandas made of a value as Python's own."""
    return value.item() if hasattr(value, "item") else value


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
) -> Tuning:
    """Search for the settings with the largest AUC on the validation patches.

    Parameters
    ----------
    model
        A name of `MODELS`, or a trained run from whose weights every trial starts: its folder, or the name of one that
        ships.
    patches
        As for `train`.
    space
        What to search.
    config
        All other settings.
    out
        The folder of the study; given again, it is gone on with.
    trials
        How many to do in all, drawn by Optuna's tree-structured Parzen estimator. When left out, every combination is
        tried, which needs `Values` alone.
    seeds
        Trainings a trial, from ``config.seed`` on; their mean counts.
    storage
        An address that several machines share, such as ``postgresql://…``; a file in `out` when left out.
    cache
        As for `train`.

    Raises
    ------
    ConfigError
        Optuna is not installed, nothing can be searched as asked, or options of a run's network are.
    RunError
        Another process tunes in `out`, the study there searches something else, or all its trials run elsewhere and
        none has ended.
    ModelError
        There is no such network.
    TrainingStopped
        Ctrl-C or SIGTERM came; all is saved.
    """
    optuna = _optuna()
    states = optuna.trial.TrialState
    config, folder = config or TrainConfig(), Path(out)
    every = combinations(space)
    if trials is None and every is None:
        raise ConfigError("a range has no end of values: say how many --trials to do, or list values")
    start = load_run(model) if model not in MODELS and (model in PRETRAINED or Path(model).is_dir()) else None
    if start is None and model not in MODELS:
        build_model(model)  # It says which there are.
    if start is not None and any(each.name.startswith(OPTION) for each in space):
        raise ConfigError(f"{model} is a trained run, whose network is what it is; search settings, not its options")
    asked = {"model": model, "space": [str(each) for each in space], "settings": config.to_json(), "seeds": seeds}
    if start is not None:
        asked["weights_sha256"] = start.identity["weights_sha256"]
    with only_process(folder):
        study = _open(optuna, folder, storage, space, asked, trials is None)
        owner = f"{socket.gethostname()}:{folder.resolve()}"
        _take_up_again(optuna, study, owner)
        wanted = every if trials is None else trials
        assert wanted is not None
        while _done(optuna, study) < wanted:
            _one(optuna, study, owner, start or model, patches, space, config, folder, seeds, cache)
            _write(Tuning(_table(study), folder))
        if running := [trial.number for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,))]:
            log.warning(
                "trials that run elsewhere: %d; the same call again shows what they find. Where the machine is gone: "
                "optuna tell --storage URL --study-name sentinode --trial-number %d --state fail",
                len(running),
                running[0],
            )
        tuning = Tuning(_table(study), folder)
        _write(tuning)  # What other machines found is in it.
    return tuning


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("tuning needs Optuna: pip install 'sentinode[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _open(
    optuna: Any,
    folder: Path,
    storage: str | None,
    space: Sequence[Dimension],
    asked: dict[str, Any],
    grid: bool,
) -> Any:
    """Open the study, or begin it; refuse one of something else."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        study = optuna.create_study(
            storage=storage or f"sqlite:///{folder / 'study.db'}",
            study_name="sentinode",
            direction="maximize",
            load_if_exists=True,
        )
    except Exception as error:  # The database's own errors are of many kinds.
        raise RunError(f"{storage or folder / 'study.db'}: no study can be kept there ({first_line(error)})") from error
    before = study.user_attrs.get("asked")
    if before is None:
        study.set_user_attr("asked", asked)
        if grid:
            values = [each.values for each in space if not isinstance(each, Range)]
            for combination in itertools.product(*values):
                study.enqueue_trial(dict(zip((each.name for each in space), combination, strict=True)))
        return study
    # A setting that came later is off by default.
    before = {**before, "settings": {**TrainConfig().to_json(), **before["settings"]}}
    if before != json.loads(json.dumps(asked)):
        differs = ", ".join(name for name in asked if before.get(name) != json.loads(json.dumps(asked[name])))
        raise RunError(f"{storage or folder}: the study there has another {differs}; name another folder with --out")
    return study


def _take_up_again(optuna: Any, study: Any, owner: str) -> None:
    """Queue what was interrupted: in this folder, whose lock says that nobody else is in it, or given up by hand."""
    states, trials = optuna.trial.TrialState, study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get(INSTEAD_OF) for trial in trials}
    for trial in trials:
        stopped = trial.state == states.RUNNING and trial.user_attrs.get(OWNER) == owner
        given_up = trial.state == states.FAIL and REASON not in trial.user_attrs
        if (stopped or given_up) and trial.number not in again:
            study.enqueue_trial(trial.params, user_attrs={INSTEAD_OF: trial.number})
        if stopped:
            study.tell(trial.number, state=states.FAIL)


def _done(optuna: Any, study: Any) -> int:
    """Return how many trials have ended, or are done elsewhere; those that were interrupted do not count."""
    states = optuna.trial.TrialState
    return sum(
        trial.state in (states.COMPLETE, states.RUNNING) or REASON in trial.user_attrs
        for trial in study.get_trials(deepcopy=False)
    )


def _one(
    optuna: Any,
    study: Any,
    owner: str,
    model: str | Run,
    patches: PatchSet,
    space: Sequence[Dimension],
    config: TrainConfig,
    folder: Path,
    seeds: int,
    cache: str | Path | None,
) -> None:
    """Ask what to try, train with every seed, tell what came out."""
    trial = study.ask()
    # By the number, which the storage counts: a process that goes on, or another machine, draws something else.
    seed_of_draws = int(np.random.SeedSequence([config.seed, trial.number]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=seed_of_draws)
    trial.set_user_attr(OWNER, owner)
    chosen = {each.name: _suggest(trial, each) for each in space}
    shown = ", ".join(f"{name}={value}" for name, value in chosen.items())
    log.info("trial %d: %s", trial.number + 1, shown)
    try:
        settings, options = settings_of(chosen, config)
        name = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]
        aucs = []
        for seed in range(config.seed, config.seed + seeds):
            network = build_model(model, seed=seed, **options) if isinstance(model, str) else model.starting_model(seed)
            run = train(network, patches, replace(settings, seed=seed), out=folder / name / f"seed-{seed}", cache=cache)
            aucs.append(float(run.summary["valid_auc"]))
    except (ConfigError, ModelError, TrainingDiverged) as error:  # All else, such as a full disk, ends the study.
        log.warning("trial %d: %s", trial.number + 1, error)
        trial.set_user_attr(REASON, str(error))
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    trial.set_user_attr("aucs", aucs)
    study.tell(trial, statistics.fmean(aucs))
    log.info("trial %d: validation AUC %.4f", trial.number + 1, statistics.fmean(aucs))


def _suggest(trial: Any, dimension: Dimension) -> Any:
    if not isinstance(dimension, Range):
        return trial.suggest_categorical(dimension.name, list(dimension.values))
    if dimension.whole:
        return trial.suggest_int(dimension.name, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(dimension.name, dimension.low, dimension.high, log=dimension.log)


def _table(study: Any) -> pd.DataFrame:
    rows = []
    for trial in study.get_trials(deepcopy=False):
        aucs, reason = trial.user_attrs.get("aucs", []), trial.user_attrs.get(REASON)
        if aucs or reason:
            spread = statistics.stdev(aucs) if len(aucs) > 1 else None
            rows.append(
                {**trial.params, "valid_auc": trial.value, "sd": spread, "seeds": len(aucs), REASON: reason or ""}
            )
    if not rows:
        raise RunError("no trial has ended yet: all that were asked for run elsewhere; call again when they have")
    table = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=_kind(name, rows)) for name in rows[0]})
    return table.sort_values("valid_auc", ascending=False, na_position="last", ignore_index=True)


def _kind(name: str, rows: list[dict[str, Any]]) -> type | None:
    """Return the dtype of a column, where pandas would not find it: of null and 4 it would make nan and 4.0."""
    if name in ("valid_auc", "sd"):
        return float
    return object if any(row[name] is None for row in rows) else None


def _write(tuning: Tuning) -> None:
    with atomic_file(tuning.folder / "trials.csv") as beside:
        table = tuning.table.map(lambda value: "null" if value is None else value)
        table.to_csv(beside, index=False, lineterminator="\n")
    with contextlib.suppress(RunError):  # Nothing to draw as long as every trial has failed.
        save_figure(plot_trials(tuning.table, list(tuning.best)), tuning.folder / "trials.png")
