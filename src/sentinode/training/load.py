"""Open a run directory, or a run that ships with the package."""

from collections.abc import Sequence
from pathlib import Path

from sentinode.errors import RunError
from sentinode.inference.ensemble import Ensemble
from sentinode.samples import PRETRAINED, pretrained_digest, pretrained_path
from sentinode.training.run import ARCHITECTURE, CONFIG, SUMMARY, TRAIN_SHA1, VALID_SHA1, WEIGHTS, Run


def is_run(folder: Path) -> bool:
    """Say whether a directory is a run, ended or not, by what its ``config.json`` holds."""
    try:
        return bool(Run(folder).config)
    except RunError:
        return False


def load_run(path: str | Path) -> Run:
    """Open a run directory, or a run that ships with the package.

    Nothing in it is executed: the architecture is read from ``model.json`` and the weights from an HDF5 file.

    Parameters
    ----------
    path
        Where it is now; it may have been moved. Or the name of a run that ships, such as ``"d4net-m"``, unless there is
        a run directory of that name.

    Returns
    -------
    Run
        ``run.model`` is the network with its best weights.

    Raises
    ------
    RunError
        No such directory, not a run, or a run that has not ended.

    Examples
    --------
    >>> load_run("d4net-m").model.input_shape
    (None, 96, 96, 3)
    """
    folder = Path(path)
    # A folder of that name without a run in it holds what evaluations of the shipped one have left.
    if str(path) in PRETRAINED and not (folder / CONFIG).is_file():
        return _shipped(str(path))
    if not folder.is_dir():
        raise RunError(f"{folder}: there is no such run directory; sentinode train DATA --out {folder} makes one")
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder}: not a run directory, there is no {CONFIG} in it")
    if not (folder / SUMMARY).is_file():
        raise RunError(f"{folder}: this run has not ended; the same sentinode train command ends it")
    needed = (ARCHITECTURE, TRAIN_SHA1, VALID_SHA1, WEIGHTS["best"])
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise RunError(f"{folder}: the run is not whole, {', '.join(missing)} is missing; copy the whole directory")
    return Run(folder)


def _shipped(name: str) -> Run:
    """Open a run that ships, and check that it is whole and unchanged."""
    run = Run(pretrained_path(name))
    try:
        digest = pretrained_digest(run.path)
    except OSError as error:
        raise RunError(f"{name}: its files are missing in the package ({error}); install it again") from error
    if digest != PRETRAINED[name]:
        raise RunError(f"{name}: its files in {run.path} are not those of the package; install it again")
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
