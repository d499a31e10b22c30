"""Train a model on patches."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
from numpy.typing import ArrayLike

from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError, RunError
from sentinode.inference.logits import check_last_layer
from sentinode.keras_compat.generators import use_own_generators
from sentinode.layers.augmentation import augmented
from sentinode.models.build import seeded_initializers
from sentinode.training.config import TrainConfig
from sentinode.training.distributed import ProcessGroup, undistributed
from sentinode.training.fit import fit, steps_per_epoch
from sentinode.training.load import load_run
from sentinode.training.recipe.compile import compile_model
from sentinode.training.recipe.distillation import distilled
from sentinode.training.recipe.precision import choose_precision
from sentinode.training.recipe.soft_targets import with_targets, without_targets
from sentinode.training.results import write_results
from sentinode.training.run import CHECKPOINT, Run
from sentinode.training.splits import training_and_validation
from sentinode.training.state.checkpoint import Checkpoint, initial_checkpoint
from sentinode.training.state.folder import run_folder
from sentinode.training.state.last_run import load_final_weights, set_last_run
from sentinode.training.state.record import describe, find_stage, write_record

log = logging.getLogger("sentinode")


def train(
    model: keras.Model,
    patches: PatchSet,
    config: TrainConfig | None = None,
    *,
    out: str | Path,
    cache: str | Path | None = None,
    teachers: Sequence[Run] = (),
    targets: ArrayLike | None = None,
) -> Run:
    """Train a model and write a run directory.

    Calling it again with the same arguments resumes a run that was stopped or killed. On the same machine, with the
    same backend and number of threads, the result is bit-identical to that of an uninterrupted run.

    Parameters
    ----------
    model : keras.Model
        From `build_model`, or any model that takes uint8 patches and ends in ``Dense(1, "sigmoid")`` or ``Dense(2,
        "softmax")``. It is trained in place and holds the final weights afterwards; another training of it records them
        as its starting weights.
    patches : PatchSet
        Data with the splits that `config` names. Without the validation split, a tenth of the training patches is held
        out for validation.
    config : TrainConfig, optional
        Settings; the classic recipe by default.
    out : str or Path
        The run directory. If it holds a finished run with the same arguments, that run is returned.
    cache : str or Path, optional
        Folder for decoded patches; see `PatchSet.cached`.
    teachers : sequence of Run
        Runs for knowledge distillation: the probability of their mean logit replaces the labels as target. Label
        smoothing has no effect then.
    targets : array-like of shape (n,), optional
        P(tumour) of each of the `patches`, such as stored predictions of teachers; they replace the labels of the
        training patches as targets. Validation uses the labels.

    Returns
    -------
    Run
        ``run.model`` has the weights of the epoch with the lowest validation loss.

    Raises
    ------
    ModelError
        The model is no Keras model, or does not end in one sigmoid or two softmax units.
    DataError
        A patch is damaged or has no label, or `targets` are not probabilities; found before training starts.
    ConfigError
        Batches cannot be divided evenly between the devices, teachers are used on several devices, with class weights
        or with the focal loss, or `targets` with teachers or class weights.
    RunError
        `out` holds something else, cannot be written, is used by another process, or training diverged.
    TrainingStopped
        Ctrl-C or SIGTERM was received. The state is saved.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini")
    >>> few = patches.select(range(0, len(patches), 20))
    >>> run = train(build_model("mlp", dense_units=1), few, TrainConfig(epochs=1), out=tempfile.mkdtemp())
    >>> len(run.history)
    1
    """
    config, run, group = config or TrainConfig(), Path(out), ProcessGroup.current()
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"config must be a TrainConfig; got {type(config).__name__}: TrainConfig(epochs=3) makes one")
    check_last_layer(model)
    if targets is not None:
        if teachers or config.class_weight is not None:
            raise ConfigError("targets replace the labels; leave out teachers and class_weight")
        patches = with_targets(patches, targets)
    if teachers and (config.class_weight is not None or config.loss != "crossentropy"):
        raise ConfigError(
            "the predictions of teachers replace the labels, by cross-entropy without weights; leave out class_weight "
            "(--class-weight) and loss 'focal' (--loss), or the teachers"
        )
    training, validation, held_out = training_and_validation(patches, config, cache)
    validation = without_targets(validation)
    group.check(config.batch_size, len(training))
    if teachers and group.devices > 1:
        raise ConfigError("knowledge distillation runs on one device only; leave out devices or teachers")
    record = describe(model, patches, training, validation, held_out, config, out=run, teachers=teachers)
    with run_folder(run, group) as folder:
        with group.in_turn():
            stage = find_stage(run, record, config)
        if group.max(stage == "finished"):
            log.info("%s: already finished, nothing to do", run)
            (folder / CHECKPOINT).unlink(missing_ok=True)  # Left if it was killed between its last two files.
            finished = load_run(run)
            with undistributed():
                load_final_weights(model, finished, record.origin)
            return finished
        use_own_generators(model)
        if group.max(stage == "new"):
            record.config["precision"] = choose_precision(model, training, validation, config)
        else:
            record.config["precision"] = Run(run).config["precision"]
        precision = record.config["precision"]["used"]
        with _learner(model, config, teachers, precision) as learner:
            steps = steps_per_epoch(training, config, group)
            compile_model(learner, config, steps, labels=not teachers, soft=targets is not None)
            initial = initial_checkpoint(learner)
            with group.in_turn():
                if stage == "new" or group.process:
                    write_record(folder, record, training, validation)
                    initial.save(folder / CHECKPOINT)
                if group.process and find_stage(run, record, config) != "begun":
                    raise RunError(f"{run}: no checkpoint of process 0; all processes need the same shared directory")
                start = Checkpoint.load(run / CHECKPOINT)
            if start.epoch or start.batch:
                log.info("%s: resuming in epoch %d after %d steps", run, start.epoch + 1, start.batch)
            history, duration_s = fit(
                learner, model, training, validation, config, folder, start, precision=precision, group=group
            )
        with group.in_turn(), undistributed():
            finished = load_run(run) if group.process else write_results(run, training, validation, history, duration_s)
        set_last_run(model, finished, record.origin)
        return finished


@contextmanager
def _learner(model: keras.Model, config: TrainConfig, teachers: Sequence[Run], precision: str) -> Iterator[keras.Model]:
    """Wrap a model in what is used in training only: teachers and augmentation."""
    with distilled(model, [teacher.load_model() for teacher in teachers], precision) as student:
        with seeded_initializers(config.seed):
            learner = augmented(student, config.augment, config.augment_strength)
        yield learner
