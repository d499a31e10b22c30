"""Export a trained network to a file or folder for other software."""

import logging
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sentinode.data.open import sample_patches
from sentinode.data.types import CLASS_NAMES, PATCH_SHAPE, PATCH_SIZE_PX, PATCH_SPACING_UM_PX
from sentinode.errors import ConfigError, ModelError
from sentinode.export.formats import FORMATS, WSINFER_CONFIG, Format, check_export_path, export_files, find_format
from sentinode.export.runtimes import call_python, logits_of, runtime
from sentinode.inference.predict import as_predictor
from sentinode.inference.predictor import Predictor
from sentinode.storage import atomic_file, atomic_folder, write_json
from sentinode.version import BACKEND_PACKAGES, __version__, installed_version

if TYPE_CHECKING:
    import keras

log = logging.getLogger("sentinode")

# Of logits: above the rounding errors of all runtimes, below the effect of a wrong weight.
TOLERANCE = 1e-3
SAMPLE_PATCHES = 16


@dataclass(frozen=True)
class Export:
    """An exported network.

    Attributes
    ----------
    path : Path
        The network, or for wsinfer its folder.
    about : Path
        The json that describes input, outputs and origin.
    runtime : str
        The software that ran the exported network for the comparison, with its version.
    patches : int
        The number of patches compared.
    difference : float
        The largest difference of a logit from the logit of Keras.
    """

    path: Path
    about: Path
    runtime: str
    patches: int
    difference: float


def export_run(
    run: "Predictor | keras.Model", out: str | Path, kind: str = "keras", *, spacing_um_px: float = PATCH_SPACING_UM_PX
) -> Export:
    """Write the calibrated network of a run for other software, and compare its logits with those of Keras.

    Parameters
    ----------
    run : Run or keras.Model
        From `train` or `load_run`; a Keras model takes uint8 patches.
    out : str or Path
        The file to write, with the ending of its format, or for ``"wsinfer"`` the folder. An earlier export of the same
        format is replaced.
    kind : {"keras", "onnx", "openvino", "wsinfer"}
        ``"wsinfer"`` is for QuPath too.
    spacing_um_px : float
        The pixel size of the training patches in µm.

    Returns
    -------
    Export

    Raises
    ------
    ConfigError
        The format is unknown, a package is missing, `out` has another ending, or something else is in its place.
    OutputError
        `out` cannot be written.
    ModelError
        The conversion failed, or the logits differ by more than 0.001. Nothing is written then.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import load_run
    >>> export_run(load_run("d4net-m"), Path(tempfile.mkdtemp()) / "d4net-m.keras").difference < 1e-4
    True
    """
    chosen, out, run = find_format(kind), Path(out), as_predictor(run)
    check_export_path(out, kind)
    if not 0 < spacing_um_px < float("inf"):
        raise ConfigError(f"spacing_um_px must be a number above 0; got {spacing_um_px}")
    sample = sample_patches("test", SAMPLE_PATCHES)
    expected = run.session().logits(sample)
    with tempfile.TemporaryDirectory(prefix="sentinode-") as work:
        network = _make(run, kind, chosen, Path(work))
        difference = float(np.max(np.abs(logits_of(kind, network, sample.read()) - expected)))
        if not difference <= TOLERANCE:
            raise ModelError(
                f"{out}: not written, because the logits of {runtime(kind)} differ from those of Keras by "
                f"{difference:.2g} (tolerance {TOLERANCE}); try another version of it"
            )
        made = Export(out, _about_path(out, chosen), runtime(kind), len(sample), difference)
        about = _about(run, kind, chosen, made, spacing_um_px)
        if chosen.ending:
            made.about.unlink(missing_ok=True)  # Killed in between, no network has the threshold of another.
            _place_files(Path(work), out, kind)
            write_json(made.about, about)
        else:
            write_json(Path(work) / WSINFER_CONFIG, _wsinfer_config(about))
            with atomic_folder(out) as temporary:
                for name in chosen.files:
                    shutil.copyfile(Path(work) / name, temporary / name)
    return made


def _make(run: Predictor, kind: str, chosen: Format, work: Path) -> Path:
    """Write the files of the network into a folder, and return the first."""
    from sentinode.export.network import exported_network
    from sentinode.keras_compat.graph import flatten_layers
    from sentinode.models.backend import without_tensorflow

    keras_file, network = work / "model.keras", work / chosen.files[0]
    with without_tensorflow():
        exported = exported_network(run.model, run.calibration)
        kinds = {type(layer) for layer in flatten_layers(exported)}
        foreign = [each.__name__ for each in kinds if not each.__module__.startswith("keras.")]
        if foreign and kind == "keras":
            names = ", ".join(sorted(foreign))
            raise ModelError(
                f"{run.model.name} has custom layers ({names}), which Keras cannot load without Sentinode; "
                "export it to another format"
            )
        exported.save(keras_file)
    if chosen.backend is not None:
        log.info("converting to %s with Keras on %s in a separate process", kind, chosen.backend)
        environment = {
            **os.environ,
            "KERAS_BACKEND": chosen.backend,
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        call_python(
            *("-m", "sentinode.export.conversion", kind, str(keras_file), str(network)),
            what=f"{run.name}: the conversion to {kind} with Keras on {chosen.backend}",
            environment=environment,
        )
    return network


def _place_files(work: Path, out: Path, kind: str) -> None:
    """Move the files to their place; the first, which refers to the others, comes last."""
    first, *others = zip(export_files(out, kind), FORMATS[kind].files, strict=True)
    if others:
        out.unlink(missing_ok=True)  # Killed in between, it does not describe the weights of another network.
    for file, name in (*others, first):
        with atomic_file(file) as temporary:
            shutil.copyfile(work / name, temporary)


def _about_path(out: Path, chosen: Format) -> Path:
    return Path(f"{out}.json") if chosen.ending else out / WSINFER_CONFIG


def _about(run: Predictor, kind: str, chosen: Format, made: Export, spacing_um_px: float) -> dict[str, Any]:
    """Describe what the network file itself does not."""
    import keras

    compared = {"runtime": made.runtime, "largest_logit_difference": made.difference, "patches": made.patches}
    identity = {name: value for name, value in run.identity.items() if name not in ("model", "input_scale", "output")}
    used = ("keras", *BACKEND_PACKAGES.get(chosen.backend or keras.backend.backend(), ()), *chosen.needs)
    versions = {
        "python": platform.python_version(),
        **{name: installed_version(name) for name in used if installed_version(name)},
    }
    name, outputs = {}, {"probability": "calibrated probability of tumour"}
    if kind != "keras":
        name["name"], outputs["logit"] = "patches", "logit of that probability"
    return {
        "format": kind,
        "input": {
            **name,
            "shape": [None, *PATCH_SHAPE],
            "dtype": "uint8",
            "value_range": [0, 255],
            "channels": "RGB",
            "spacing_um_px": spacing_um_px,
        },
        "outputs": outputs,
        "class_names": list(CLASS_NAMES),
        "network": run.architecture,
        "run": Path(run.identity["model"]).resolve().name,
        **identity,
        "compared_with_keras": compared,
        "sentinode": __version__,
        "versions": versions,
    }


def _wsinfer_config(about: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration for WSInfer and QuPath, which allow additional keys at the top level only."""
    ours = {name: value for name, value in about.items() if name not in ("input", "outputs", "class_names")}
    return {
        "spec_version": "1.0",
        "architecture": str(about["network"]["name"]),
        "num_classes": len(CLASS_NAMES),
        "patch_size_pixels": PATCH_SIZE_PX,
        "spacing_um_px": about["input"]["spacing_um_px"],
        "class_names": about["class_names"],
        # QuPath accepts only a single number as size.
        "transform": [{"name": "Resize", "arguments": {"size": PATCH_SIZE_PX}}, {"name": "ToTensor"}],
        "sentinode": ours,
    }
