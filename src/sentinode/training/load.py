"""Open run directories and pretrained weights."""

from collections.abc import Sequence
from pathlib import Path

from sentinode.errors import RunError
from sentinode.inference.ensemble import Ensemble
from sentinode.samples import PRETRAINED, pretrained_digest, pretrained_path
from sentinode.training.run import ARCHITECTURE, CONFIG, SUMMARY, TRAIN_SHA1, VALID_SHA1, WEIGHTS, Run


def is_run(folder: Path) -> bool:
    """Check whether a directory is a run, finished or not."""
    try:
        return bool(Run(folder).config)
    except RunError:
        return False


def load_run(path: str | Path) -> Run:
    """Open a run directory or pretrained weights.

    No code from the directory is executed: the architecture is read from ``model.json``, the weights from HDF5.

    Parameters
    ----------
    path : str or Path
        A run directory, or the name of pretrained weights such as ``"d4net-m"``. A run directory of the same name takes
        precedence.

    Returns
    -------
    Run

    Raises
    ------
    RunError
        The directory is missing, incomplete, not a run, or a run that is not finished.

    Examples
    --------
    >>> load_run("d4net-m").model.input_shape
    (None, 96, 96, 3)
    """
    folder = Path(path)
    # A folder of this name without a run in it holds results of the pretrained weights.
    if str(path) in PRETRAINED and not (folder / CONFIG).is_file():
        return _pretrained(str(path))
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run directory; sentinode train DATA --out {folder} creates one")
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder}: not a run directory, {CONFIG} is missing")
    if not (folder / SUMMARY).is_file():
        raise RunError(f"{folder}: this run is not finished; run the same sentinode train command to resume it")
    needed = (ARCHITECTURE, TRAIN_SHA1, VALID_SHA1, WEIGHTS["best"])
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise RunError(f"{folder}: the run is incomplete, {', '.join(missing)} missing; copy the whole directory")
    return Run(folder)


def _pretrained(name: str) -> Run:
    run = Run(pretrained_path(name))
    try:
        digest = pretrained_digest(run.path)
    except OSError as error:
        raise RunError(f"{name}: files are missing in the package ({error}); reinstall sentinode") from error
    if digest != PRETRAINED[name]:
        raise RunError(f"{name}: the files in {run.path} were changed; reinstall sentinode")
    return run


def load_predictor(paths: Sequence[str | Path]) -> Run | Ensemble:
    """Open one trained model, or several as an ensemble.

    Parameters
    ----------
    paths : sequence of str or Path
        Each as for `load_run`.

    Raises
    ------
    RunError
        One of them is not a run that has ended.
    ConfigError
        Two of them have the same weights.
    """
    runs = tuple(load_run(path) for path in paths)
    return runs[0] if len(runs) == 1 else Ensemble(runs)
