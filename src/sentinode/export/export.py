"""From a run to one file, or one folder, that other software can use."""

import logging
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sentinode.data.open import open_patches
from sentinode.data.patchset import PatchSet
from sentinode.data.types import CLASS_NAMES, PATCH_SHAPE, PATCH_SIZE_PX
from sentinode.errors import ConfigError, DataError, ModelError
from sentinode.export.formats import Format, find_format
from sentinode.export.runtimes import call_python, logits_of, runtime
from sentinode.inference.predict import predict
from sentinode.storage import atomic_file, atomic_folder, read_json, write_json
from sentinode.version import BACKEND_PACKAGES, __version__, installed_version

log = logging.getLogger("sentinode")

# Of PatchCamelyon: 0.243 µm/px at the scanner, four times reduced. A fourteenth of it is at 0.905.
SPACING_UM_PX = 0.972
# Larger than the rounding of any runtime, smaller than what a wrong weight would do.
TOLERANCE = 1e-3
SAMPLE_PATCHES = 16
WSINFER_CONFIG = "config.json"


@dataclass(frozen=True)
class Export:
    """What `export_run` made.

    Attributes
    ----------
    path
        The network, or for wsinfer its folder.
    about
        The json that says what the network expects, what it gives, and what made it.
    runtime
        What the exported network was run in, with its version.
    patches
        How many patches it was compared on.
    difference
        The largest difference of a logit from Keras'.
    """

    path: Path
    about: Path
    runtime: str
    patches: int
    difference: float


def export_run(run: Any, out: str | Path, kind: str = "keras", *, spacing_um_px: float = SPACING_UM_PX) -> Export:
    """Write a run's best network, calibrated, for other software, and compare its answers with Keras'.

    Parameters
    ----------
    run
        From `train` or `load_run`.
    out
        The file to write, with the ending of its format, or for ``"wsinfer"`` the folder. What was exported there
        before in the same format is replaced.
    kind
        ``"keras"``, ``"onnx"``, ``"openvino"`` or ``"wsinfer"``, which QuPath takes as well.
    spacing_um_px
        The size of a pixel of the patches that the run was trained on, in µm.

    Returns
    -------
    Export
        Where it is, and how far its logits are from Keras'.

    Raises
    ------
    ConfigError
        No such format, or `out` has another ending or something else in its place.
    ModelError
        A package is missing, the conversion failed, or the answers differ; nothing is left behind then.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import load_run
    >>> export_run(load_run("d4net-m"), tempfile.mkdtemp() + "/d4net-m.keras").difference < 1e-4
    True
    """
    chosen, out = find_format(kind), Path(out)
    _check_place(out, kind, chosen)
    if not 0 < spacing_um_px < float("inf"):
        raise ConfigError(f"spacing_um_px must be a number above 0; got {spacing_um_px}")
    sample = _sample()
    said = predict(run, sample).table["logit"].to_numpy()
    with tempfile.TemporaryDirectory(prefix="sentinode-") as work:
        network = _make(run, kind, chosen, Path(work))
        difference = float(np.max(np.abs(logits_of(kind, network, sample.read()) - said)))
        if not difference <= TOLERANCE:
            raise ModelError(
                f"{out}: not written, since {runtime(kind)} gives logits that differ from Keras' by {difference:.2g}, "
                f"where {TOLERANCE} is allowed; another version of it may do better"
            )
        made = Export(out, _about_path(out, chosen), runtime(kind), len(sample), difference)
        about = _about(run, kind, chosen, made, spacing_um_px)
        if chosen.ending:
            _place_files(Path(work), out, chosen)
            write_json(made.about, about)
        else:
            write_json(Path(work) / WSINFER_CONFIG, _wsinfer_config(about))
            with atomic_folder(out) as beside:
                for name in chosen.files:
                    shutil.copyfile(Path(work) / name, beside / name)
    return made


def _check_place(out: Path, kind: str, chosen: Format) -> None:
    if chosen.ending:
        if out.suffix != chosen.ending or out.is_dir():
            raise ConfigError(f"{out}: {kind} is a file that ends in {chosen.ending}; name such a file to write")
        return
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not _is_wsinfer_export(out)):
        raise ConfigError(f"{out}: {kind} is a folder, and something else is there; name another one to write")


def _is_wsinfer_export(folder: Path) -> bool:
    try:
        return "sentinode" in read_json(folder / WSINFER_CONFIG)
    except (OSError, DataError, TypeError):
        return False


def _sample() -> PatchSet:
    """Return a few real patches of both classes."""
    patches = open_patches("pcam-mini", split="test")
    return patches.select(np.linspace(0, len(patches) - 1, SAMPLE_PATCHES).astype(int))


def _make(run: Any, kind: str, chosen: Format, work: Path) -> Path:
    """Make the network's own file, or files, in a folder, and return the first."""
    from sentinode.export.network import exported_network
    from sentinode.models.backend import without_tensorflow

    keras_file, network = work / "model.keras", work / chosen.files[0]
    with without_tensorflow():
        exported = exported_network(run.model, run.calibration)
        kinds = {type(layer) for layer in exported._flatten_layers()}
        foreign = [each.__name__ for each in kinds if not each.__module__.startswith("keras.")]
        if foreign and kind == "keras":
            names = ", ".join(sorted(foreign))
            raise ModelError(
                f"{run.model.name} has layers that Keras alone does not know ({names}): no file of it would "
                "load without Sentinode; the other formats hold what the layers compute"
            )
        exported.save(keras_file)
    if chosen.backend is not None:
        log.info("converting to %s with Keras on %s, in a process of its own", kind, chosen.backend)
        environment = {
            **os.environ,
            "KERAS_BACKEND": chosen.backend,
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        call_python(
            *("-m", "sentinode.export.conversion", kind, str(keras_file), str(network)),
            what=f"{run.path}: the conversion to {kind} with Keras on {chosen.backend}",
            environment=environment,
        )
    return network


def _place_files(work: Path, out: Path, chosen: Format) -> None:
    """Put each file where it belongs; the first, which refers to the others, last."""
    for name in reversed(chosen.files):
        with atomic_file(out.with_suffix(Path(name).suffix)) as beside:
            shutil.copyfile(work / name, beside)


def _about_path(out: Path, chosen: Format) -> Path:
    return Path(f"{out}.json") if chosen.ending else out / WSINFER_CONFIG


def _about(run: Any, kind: str, chosen: Format, made: Export, spacing_um_px: float) -> dict[str, Any]:
    """Return what a reader of the network alone could not know."""
    import keras

    compared = {"from": "keras", "in": made.runtime, "is": made.difference, "patches": made.patches}
    identity = {name: value for name, value in run.identity.items() if name != "model"}
    used = ("keras", *BACKEND_PACKAGES.get(chosen.backend or keras.backend.backend(), ()), *chosen.needs)
    versions = {
        "python": platform.python_version(),
        **{name: installed_version(name) for name in used if installed_version(name)},
    }
    names, outputs = {}, {"probability": "P(tumour), calibrated"}
    if kind != "keras":
        names["name"], outputs["logit"] = "patches", "its log-odds"
    return {
        "format": kind,
        "input": {
            **names,
            "shape": [None, *PATCH_SHAPE],
            "dtype": "uint8",
            "colours": "RGB",
            "spacing_um_px": spacing_um_px,
        },
        "outputs": outputs,
        "class_names": list(CLASS_NAMES),
        "network": run.config["model"],
        "run": run.path.resolve().name,
        **identity,
        "largest_logit_difference": compared,
        "sentinode": __version__,
        "versions": versions,
    }


def _wsinfer_config(about: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration that WSInfer and QuPath read; more keys at its top are allowed, none below."""
    ours = {name: value for name, value in about.items() if name not in ("input", "outputs", "class_names")}
    return {
        "spec_version": "1.0",
        "architecture": str(about["network"]["name"]),
        "num_classes": len(CLASS_NAMES),
        "patch_size_pixels": PATCH_SIZE_PX,
        "spacing_um_px": about["input"]["spacing_um_px"],
        "class_names": about["class_names"],
        # QuPath takes one number alone as a size.
        "transform": [{"name": "Resize", "arguments": {"size": PATCH_SIZE_PX}}, {"name": "ToTensor"}],
        "sentinode": ours,
    }
