"""Open run directories and pretrained weights."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sentinode.errors import RunError
from sentinode.external.files import ENDINGS, check_no_interpretation, is_model_file
from sentinode.external.model import ExternalModel, load_model_file
from sentinode.inference.ensemble import Ensemble
from sentinode.samples import PRETRAINED, pretrained_digest, pretrained_path
from sentinode.serialize import to_json
from sentinode.training.provenance import Provenance
from sentinode.training.run import ARCHITECTURE, CONFIG, SUMMARY, TRAIN_SHA1, VALID_SHA1, WEIGHTS, Run

if TYPE_CHECKING:
    import keras


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
    if not isinstance(path, str | Path):
        raise RunError(
            f"path must be that of a run directory, or the name of pretrained weights; got a {type(path).__name__}"
        )
    folder = Path(path)
    # A folder of this name without a run in it holds results of the pretrained weights.
    if str(path) in PRETRAINED and not (folder / CONFIG).is_file():
        return _pretrained(str(path))
    if is_model_file(folder) and folder.exists():
        raise RunError(
            f"{folder}: a model file, and a run directory is needed, with its settings, training and validation; "
            f"evaluate this model with sentinode evaluate DATA --model {folder}, or train it further with sentinode "
            f"train DATA --model {folder} --out NEW_RUN"
        )
    if folder.is_file():
        raise RunError(
            f"{folder}: neither a run directory nor a model file, which end in {', '.join(ENDINGS)}; rename it if it "
            "is one"
        )
    if not folder.is_dir():
        nearest = difflib.get_close_matches(str(path), PRETRAINED, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else f"; sentinode train DATA --out {folder} creates one"
        raise RunError(f"{folder}: no such run directory{hint}")
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


def load_model(
    path: str | Path, *, input_scale: str | None = None, model_output: str | None = None
) -> Run | ExternalModel:
    """Open a run, pretrained weights, or a trained external model.

    Parameters
    ----------
    path : str or Path
        As for `load_run`, or as for `load_model_file`: a Keras, ONNX, OpenVINO or TorchScript file.
    input_scale, model_output : str, optional
        Only for an external model, see `load_model_file`.

    Returns
    -------
    Run or ExternalModel

    Raises
    ------
    RunError
        It is a directory, but not a finished run.
    ModelError
        It is a file that cannot be loaded or could run code.
    ConfigError
        `input_scale` or `model_output` is invalid.

    Examples
    --------
    >>> load_model("d4net-m").name
    'd4net-m'
    """
    if str(path) not in PRETRAINED and is_model_file(path):
        return load_model_file(path, input_scale, model_output)
    return load_run(path)


def starting_model(model: Run | ExternalModel, seed: int = 0) -> "keras.Model":
    """Return the network of a trained model as the start of another training run, which records where it comes from.

    Parameters
    ----------
    model : Run or ExternalModel
        From `load_model`; a Keras network.
    seed : int, default 0
        Seed of dropout.

    Raises
    ------
    ModelError
        It is not a Keras network.
    """
    if isinstance(model, Run):
        return model.starting_model(seed)
    from sentinode.keras_compat.generators import seed_generators
    from sentinode.models.build import Origin, set_origin

    name, sha256 = str(model.path), model.identity["weights_sha256"]
    provenance = Provenance(name, sha256, "unknown", "unknown", 0, 0, "")
    set_origin(model.model, Origin(starting_weights=to_json(provenance)))
    seed_generators(model.model, seed)
    return model.model


def load_predictor(
    paths: Sequence[str | Path], *, input_scale: str | None = None, model_output: str | None = None
) -> Run | ExternalModel | Ensemble:
    """Open one trained model, or several as an ensemble.

    Parameters
    ----------
    paths : sequence of str or Path
        Each as for `load_model`.
    input_scale, model_output : str, optional
        See `load_model`.

    Returns
    -------
    Run, ExternalModel or Ensemble

    Raises
    ------
    RunError, ModelError
        See `load_model`.
    ConfigError
        Two of them have the same weights, or `input_scale` or `model_output` is given and none is an external file.
    """
    models = tuple(load_model(path, input_scale=input_scale, model_output=model_output) for path in paths)
    if not any(isinstance(model, ExternalModel) for model in models):
        check_no_interpretation(models[0].name, input_scale, model_output)
    return models[0] if len(models) == 1 else Ensemble(models)
