"""External model files as predictors."""

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sentinode.errors import ConfigError, DataError
from sentinode.export.cached import engine_file
from sentinode.external.arrays import ArrayNetwork, open_network
from sentinode.external.files import find_weights, read_sidecar, recognize
from sentinode.external.interpretation import Interpretation, interpret, to_logits
from sentinode.inference.engines import check_options
from sentinode.inference.kept_sessions import KeptSessions
from sentinode.inference.predictor import DEFAULT_THRESHOLD, Floats, Predictor, Session, parse_threshold
from sentinode.storage import sha256_of

if TYPE_CHECKING:
    import keras

    from sentinode.data.types import UInt8Array

log = logging.getLogger("sentinode")


def load_model_file(
    path: str | Path, input_scale: str | None = None, model_output: str | None = None
) -> "ExternalModel":
    """Open a trained external model; no Python and no pickle in it is run.

    Parameters
    ----------
    path : str or Path
        A Keras model (``.keras``, ``.h5``, or a json with its weights beside it), or an ONNX, OpenVINO or TorchScript
        file.
    input_scale : str, optional
        What is done to gray levels from 0 to 255: ``"1"``, ``"1/255"``, ``"1/127.5-1"``, ``"imagenet"``, or another
        ``"A/B+C"``. If left out, it is read from the file or probed, see `interpret`.
    model_output : {"logit", "probability", "softmax", "normal-probability", "tumour-first"}, optional
        The meaning of the outputs; ``"softmax"`` and ``"tumour-first"`` are two numbers per patch, probabilities or
        logits. If left out, it is read from the file or from the values.

    Returns
    -------
    ExternalModel
        Keras files can be used wherever a `Run` can, but for what needs its training; the others for predictions and
        evaluations.

    Raises
    ------
    ModelError
        The file cannot be loaded, could run code, or has inputs or outputs of another kind.
    ConfigError
        `input_scale` or `model_output` is invalid.
    """
    path = Path(path)
    kind = recognize(path)
    return (KerasFile if kind in ("keras", "hdf5", "json") else ArrayFile)(path, kind, input_scale, model_output)


class ExternalModel(Predictor):
    """A trained external model. Nothing is known of its training data; its logits are not calibrated."""

    def __init__(self, path: Path, kind: str, input_scale: str | None, model_output: str | None) -> None:
        self.path, self.kind = path, kind
        self._stated = {"scale": input_scale, "output": model_output}
        self._sidecar = read_sidecar(path) if path.is_file() else {}
        for warning in self.interpretation.warnings:
            log.warning("%s: %s", path, warning)

    @cached_property
    def interpretation(self) -> Interpretation:
        """How its inputs and outputs are understood."""
        raise NotImplementedError

    @property
    def _known_scale(self) -> str | None:
        """The scale that the json beside the file tells: one written by `export_run`, or by the user."""
        if "sentinode" in self._sidecar:
            return "1"
        return str(self._sidecar["input_scale"]) if "input_scale" in self._sidecar else None

    @property
    def name(self) -> str:  # noqa: D102
        return self.path.name

    @property
    def results_folder(self) -> Path:
        """A folder of that name in the working folder."""
        return Path(f"{self.path.stem}-results")

    @property
    def threshold(self) -> float:
        """That of the json beside the file, or 0.5."""
        try:
            return parse_threshold(self._sidecar.get("threshold", DEFAULT_THRESHOLD))
        except ValueError as error:
            raise DataError(f"{self.path}.json: threshold: {error}; correct it or delete it") from error

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the model."""
        if self.kind == "json":
            return find_weights(self.path)
        weights = self.path.with_suffix(".bin")
        return (self.path, weights) if self.kind == "openvino" and weights.is_file() else (self.path,)

    @cached_property
    def identity(self) -> dict[str, Any]:  # noqa: D102
        return {
            "model": str(self.path),
            "weights_sha256": sha256_of(*self.files),
            "threshold": self.threshold,
            "input_scale": self.interpretation.scale.text,
            "output": self.interpretation.output,
        }

    def describe(self) -> str:  # noqa: D102
        sentences = "; ".join(self.interpretation.sentences)
        return f"{self.path}: an external {self.kind} file; {sentences}; threshold {self.threshold:g}"


class KerasFile(KeptSessions, ExternalModel):
    """An external Keras file."""

    @cached_property
    def _loaded(self) -> "keras.Model":
        from sentinode.external.keras_files import describe_input, load_keras_file

        model = load_keras_file(self.path, self.kind)
        describe_input(model, self.path)
        return model

    @cached_property
    def interpretation(self) -> Interpretation:  # noqa: D102
        from sentinode.external.interpretation import resized
        from sentinode.external.keras_files import describe_input, known_output, known_scale

        size = describe_input(self._loaded, self.path)
        return interpret(
            lambda pixels, scale: np.asarray(self._loaded.predict_on_batch(scale(resized(pixels, size)))),
            where=str(self.path),
            **self._stated,
            known_scale=self._known_scale or known_scale(self._loaded),
            known_output=known_output(self._loaded),
        )

    @cached_property
    def model(self) -> "keras.Model":
        """The network in the form of Sentinode's: uint8 patches in, probability out."""
        from sentinode.external.keras_files import conforming_model

        return conforming_model(self._loaded, self.interpretation)

    def network_file(self, engine: str, precision: str = "float32") -> Path:  # noqa: D102
        architecture = find_weights(self.path)[0] if self.kind == "json" else self.path
        return engine_file(self, architecture, engine, precision)

    def needs_keras(self, engine: str, precision: str = "float32") -> bool:  # noqa: D102
        return True


class ArrayFile(ExternalModel):
    """An external ONNX, OpenVINO or TorchScript file."""

    @cached_property
    def _network(self) -> ArrayNetwork:
        return open_network(self.path, self.kind)

    @cached_property
    def interpretation(self) -> Interpretation:  # noqa: D102
        is_uint8 = np.dtype(self._network.dtype) == np.uint8
        return interpret(
            self._network.outputs,
            where=str(self.path),
            **self._stated,
            known_scale=self._known_scale or ("1" if is_uint8 else None),
            known_output=self._network.output,
        )

    def session(self, engine: str = "keras", *, tta: str = "none", precision: str = "float32") -> Session:
        """Return a session; the file brings its own engine, so `engine` is left at its default or names that one."""
        check_options("keras", tta, precision)
        own = self._network.engine
        if engine not in ("keras", own):
            raise ConfigError(f"{self.path}: a {self.kind} file runs in {own}, not in {engine}; leave the engine out")
        if precision != "float32":
            raise ConfigError(f"{self.path}: a {self.kind} file computes as it was exported; leave precision out")

        def logits(pixels: "UInt8Array") -> Floats:
            outputs = self._network.outputs(pixels, self.interpretation.scale)
            return to_logits(outputs.reshape(len(outputs), -1), self.interpretation.output, str(self.path))

        def mean_logits(pixels: "UInt8Array") -> Floats:
            from sentinode.layers.d4 import ORDER, apply_symmetry  # With Keras, which the file does without.

            return np.mean([logits(apply_symmetry(pixels, symmetry)) for symmetry in range(ORDER)], axis=0)

        settings: dict[str, Any] = {"engine": own}
        if tta != "none":
            settings["tta"] = {"requested": tta, "effective": tta}
        return Session(self, logits if tta == "none" else mean_logits, settings)

    def needs_keras(self, engine: str, precision: str = "float32") -> bool:  # noqa: D102
        return False
