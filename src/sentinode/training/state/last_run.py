"""The run that trained a model last: where the weights of a model come from that is trained several times."""

from dataclasses import replace
from pathlib import Path
from weakref import WeakKeyDictionary

import keras

from sentinode.models.build import Origin, origin, set_origin
from sentinode.serialize import to_json
from sentinode.storage import sha256_of
from sentinode.training.run import SUMMARY, WEIGHTS, Run

# The directory of the last run of a model, and the origin of the weights before that run.
_LAST: "WeakKeyDictionary[keras.Model, tuple[Path, Origin]]" = WeakKeyDictionary()


def origin_before(model: keras.Model, out: Path) -> Origin:
    """Return the origin of the weights with which a training run into a directory starts.

    Parameters
    ----------
    model : keras.Model
    out : Path
        The run directory. If it holds the last run of the model, it is the origin before that run.
    """
    last, before = _LAST.get(model, (None, Origin()))
    return before if last == out.resolve() and (out / SUMMARY).is_file() else origin(model) or Origin()


def set_last_run(model: keras.Model, run: Run, before: Origin) -> None:
    """Remember that a model has the final weights of a run, so that another training run records them as its start."""
    _LAST[model] = run.path.resolve(), before
    file = run.path / WEIGHTS["final"]
    provenance = replace(run.provenance, model=str(file), weights_sha256=sha256_of(file))
    set_origin(model, Origin(run.config["model"].get("built"), to_json(provenance), run.train_sha1))


def load_final_weights(model: keras.Model, run: Run, before: Origin) -> None:
    """Load the final weights of a finished run, as if the model had been trained there."""
    model.set_weights(run.load_model("final").get_weights())
    set_last_run(model, run, before)
