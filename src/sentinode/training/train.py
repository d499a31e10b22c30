"""The training itself: data, model and settings in, a run out."""

import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import keras
import pandas as pd

from sentinode.data.batches import Batches
from sentinode.data.patchset import PatchSet
from sentinode.errors import ConfigError, RunError, TrainingStopped
from sentinode.inference.logits import check_last_layer
from sentinode.inference.ood import OODDetector
from sentinode.inference.predict import predict_logits
from sentinode.inference.predictions import Predictions
from sentinode.layers.augmentation import augmented
from sentinode.metrics.calibration import fit_calibration
from sentinode.metrics.conformal import fit_conformal
from sentinode.metrics.operating import youden_threshold
from sentinode.metrics.ranking import roc_curve
from sentinode.models.backend import without_tensorflow
from sentinode.models.build import seeded_initializers
from sentinode.models.loading import model_from_file
from sentinode.models.precision import mixed_precision
from sentinode.models.random_generators import use_own_generators
from sentinode.plots.style import save_figure
from sentinode.plots.training import plot_learning_curves
from sentinode.progress import progress_bar
from sentinode.storage import atomic_file, remove_leftovers, write_json
from sentinode.training.callbacks import (
    BestWeights,
    Checkpoints,
    EpochOrder,
    History,
    ProgressBar,
    best_epoch,
    past_its_best,
    save_weights,
)
from sentinode.training.config import TrainConfig
from sentinode.training.distributed import ProcessGroup, undistributed
from sentinode.training.linear_probe import fit_linear_probe
from sentinode.training.load import load_run
from sentinode.training.logging.examples import Examples
from sentinode.training.logging.tensorboard import EventWriter
from sentinode.training.recipe.activation_after_pooling import activation_after_pooling
from sentinode.training.recipe.averaging import WeightAverage, some_batches
from sentinode.training.recipe.compile import compile_model, output_count
from sentinode.training.recipe.distillation import distilled
from sentinode.training.recipe.fused_batch_normalization import fused_batch_normalization
from sentinode.training.recipe.precision import choose_precision
from sentinode.training.repeats import UnpaddedMetrics
from sentinode.training.run import ARCHITECTURE, CHECKPOINT, OOD, SUMMARY, VALIDATION, WEIGHTS, Run
from sentinode.training.splits import training_and_validation
from sentinode.training.state.checkpoint import Checkpoint, fresh, write_variables
from sentinode.training.state.record import class_counts, describe, find_stage, holds_run, only_process, write_record
from sentinode.training.state.stopping import SharedStopRequest, StopRequest, stop_requests
from sentinode.training.validation import Validation

log = logging.getLogger("sentinode")


def train(
    model: keras.Model,
    patches: PatchSet,
    config: TrainConfig | None = None,
    *,
    out: str | Path,
    cache: str | Path | None = None,
    teachers: Sequence[Run] = (),
) -> Run:
    """Train a model on patches and leave a run directory.

    Parameters
    ----------
    model
        From `build_model`, or any `keras.Model` that takes uint8 patches and ends in ``Dense(1, "sigmoid")`` or
        ``Dense(2, "softmax")``. It is trained in place and holds the final weights afterwards.
    patches
        A set with the splits that `config` names. Without its validation split, a tenth of the training patches is
        held out for it; see `split_patches`.
    config
        The settings; the classic recipe when left out.
    out
        The run directory. A finished run of the same settings, model and data is returned as it is; one that was
        stopped or killed is gone on with, and on the same machine, backend and number of threads ends with the same
        weights to the bit. The command line takes as many threads again; here they are what the process has.
    cache
        Where decoded patches are kept; see `PatchSet.cached`.
    teachers
        Runs whose mean opinion of each patch, changed at random as the model sees it, takes the place of its label.

    Returns
    -------
    Run
        ``run.model`` holds the best weights.

    Raises
    ------
    ModelError
        The model does not end in one sigmoid or two softmax units.
    DataError
        A patch cannot be read or has no label; found before training starts.
    ConfigError
        The batches cannot be shared out evenly between the devices; see `data_parallel`. A frozen network or teachers,
        and more than one device; a frozen network and teachers.
    RunError
        `out` holds something else or cannot be written, another process trains there, or the training diverged.
    TrainingStopped
        Ctrl-C or SIGTERM came; all is saved.

    Examples
    --------
    >>> import tempfile
    >>> from sentinode import build_model, open_patches
    >>> patches = open_patches("pcam-mini")
    >>> few = patches.select(range(0, len(patches), 20))
    >>> run = train(build_model("cnn"), few, TrainConfig(epochs=1), out=tempfile.mkdtemp())
    >>> len(run.history)
    1
    """
    config, group = config or TrainConfig(), ProcessGroup.now()
    run = Path(out)
    check_last_layer(model)
    group.check(config.batch_size)
    if (config.frozen or teachers) and group.devices > 1:
        what = "frozen needs one device: the network is only read" if config.frozen else "teachers need one device"
        raise ConfigError(f"{what}; leave --devices out")
    if config.frozen and teachers:
        raise ConfigError("frozen fits the last layer to labels, where teachers have no say; leave one of them out")
    training, validation, made = training_and_validation(patches, config, cache)
    record = describe(model, patches, training, validation, made, config, teachers)
    with contextlib.ExitStack() as held:
        with group.in_turn():
            folder = held.enter_context(_folder(run, group))
            remove_leftovers(folder)
            stage = find_stage(run, record, config)
        if group.largest(stage == "finished"):
            log.info("%s: this run is finished; nothing to do", run)
            (folder / CHECKPOINT).unlink(missing_ok=True)  # Killed between its summary and this.
            return load_run(run)
        use_own_generators(model)
        if group.largest(stage == "new"):
            precision = choose_precision(model, training, validation, config)
            record = replace(record, config={**record.config, "precision": precision})
        if config.frozen:
            write_record(run, record, training, validation, made)
            rows, duration_s = fit_linear_probe(model, training, validation, config.seed, run)
            return _finish(run, training, validation, rows, duration_s)
        used = record.config["precision"]["used"] if stage == "new" else Run(run).precision
        with seeded_initializers(config.seed):
            student = held.enter_context(distilled(model, [teacher.load_model() for teacher in teachers], used))
            learner = augmented(student, config.augment, config.augment_strength)
        steps = len(Batches(training, config.batch_size))
        compile_model(learner, config, steps, labels=not teachers)
        first = fresh(learner)
        with group.in_turn():
            if stage == "new" or folder != run:
                write_record(folder, record, training, validation, made)
                first.save(folder / CHECKPOINT)
            if folder != run and find_stage(run, record, config) != "begun":
                raise RunError(f"{run}: the checkpoint of process 0 is not here; all processes need one shared folder")
            start = Checkpoint.load(run / CHECKPOINT)
        if stage == "begun":
            log.info("%s: going on in epoch %d after %d steps", run, start.epoch + 1, start.batch)
        with (
            mixed_precision(model, Run(run).precision),
            activation_after_pooling(model),
            fused_batch_normalization(model),
            stop_requests() as request,
        ):
            if start.batch:
                _make_metrics(learner, training, group)
            write_variables(learner, start.arrays, run / CHECKPOINT, metrics=False)
            rows, duration_s = _fit(learner, model, training, validation, config, folder, start, request, group)
        with group.in_turn(), undistributed():
            return _finish(folder, training, validation, rows, duration_s) if folder == run else load_run(run)


@contextlib.contextmanager
def _folder(run: Path, group: ProcessGroup) -> Iterator[Path]:
    """Give the first process the run directory; what the others would write there goes to a folder thrown away."""
    if not group.process:
        holds_run(run)  # Refused before a lock is laid into somebody else's directory.
        with only_process(run):
            yield run
        return
    with tempfile.TemporaryDirectory(prefix="sentinode-") as scratch:
        try:
            yield Path(scratch)
        except TrainingStopped as stopped:
            raise TrainingStopped(f"{run}: stopped with process 0", stopped.signal_number) from None


def _fit(
    learner: keras.Model,
    model: keras.Model,
    training: PatchSet,
    validation: PatchSet,
    config: TrainConfig,
    folder: Path,
    start: Checkpoint,
    request: StopRequest,
    group: ProcessGroup,
) -> tuple[list[dict[str, float]], float]:
    """Train from `start` to the end; return the history and the seconds it took in all.

    `learner` is the model, or wraps it in random changes of its patches.
    """
    outputs, size = output_count(model), config.batch_size
    steps = len(Batches(training, size))
    with undistributed():
        twin = model_from_file(folder / ARCHITECTURE)
    left = len(training) - start.batch * size
    board = folder / "tensorboard"
    # Curves are written anew from the rows of the checkpoint; pictures cannot be, and stay when a training goes on.
    for part in ("train", "valid") if start.rows else (".",):
        shutil.rmtree(board / part, ignore_errors=True)
    with (
        contextlib.closing(History(folder, start.rows, (left, len(training)))) as history,
        EventWriter(board / "examples") as examples,
        progress_bar("training", total=(config.epochs - start.epoch - 1) * len(training) + left) as advance,
    ):
        if group.processes > 1:
            request = SharedStopRequest(request, group)
        checkpoints = Checkpoints(folder / CHECKPOINT, start, history, request, steps, config.checkpoint_minutes)
        validation_pass = Validation(model, validation, config, watchers=[history, checkpoints])
        mean = WeightAverage(learner, model, lambda: some_batches(training, config))
        callbacks = [
            mean.callback(take_out=False),
            validation_pass,
            history,
            Examples(examples, validation, validation_pass, config.seed),
            BestWeights(folder / WEIGHTS["best"], model, twin, history, config.early_stopping),
            mean.callback(take_out=True),
            checkpoints,
            ProgressBar(advance, len(training), size, start.batch),
        ]
        # An epoch that was begun is ended in a call of its own, since fit wants epochs of one length.
        first = start.epoch + 1 if start.batch else start.epoch
        for epoch, until, skip in ((start.epoch, first, start.batch), (first, config.epochs, 0)):
            if epoch < until and not past_its_best(history.rows, config.early_stopping):
                batches = Batches(training, size, outputs, config.seed, epoch, skip, group)
                learner.fit(
                    batches,
                    initial_epoch=epoch,
                    epochs=until,
                    class_weight=config.class_weights(class_counts(training)),
                    shuffle=False,  # Batches shuffles by seed and epoch; Keras would by Python's global state.
                    callbacks=[EpochOrder(batches), UnpaddedMetrics(batches), *callbacks],
                    verbose=0,
                )
        mean.put_in()
        twin.set_weights(model.get_weights())
        save_weights(twin, folder / WEIGHTS["final"])
        return history.rows, checkpoints.duration_s


def _make_metrics(model: keras.Model, training: PatchSet, group: ProcessGroup) -> None:
    """Let Keras make the variables of its metrics, which it does with the first batch it sees; nothing is learned."""
    model.test_on_batch(*Batches(training, group.devices, output_count(model), share=group)[0])


def _finish(
    folder: Path, training: PatchSet, validation: PatchSet, rows: list[dict[str, float]], duration_s: float
) -> Run:
    """Write what follows from the weights; the summary comes last, since it says that the run has ended."""
    run = Run(folder)
    best_model = run.model
    with atomic_file(folder / "model.keras") as beside, without_tensorflow():
        best_model.save(beside)
    write_json(folder / OOD, OODDetector.fit(training, validation).to_json())
    history = pd.DataFrame(rows)
    save_figure(plot_learning_curves(history, best_epoch(rows)), folder / "curves.png")
    logits = predict_logits(best_model, validation)
    calibration = fit_calibration(validation.labels, logits)
    about = {"data": validation.path, "patches": len(validation), "fingerprint": validation.fingerprint}
    made_by = {**about, "model": str(folder), "calibration": asdict(calibration)}
    predictions = Predictions.from_logits(validation.table, calibration(logits), made_by)
    predictions.write(folder / VALIDATION)
    probabilities = predictions.table["probability"]
    summary = {
        "best_epoch": best_epoch(rows),
        "epochs": len(history),
        "duration_s": round(duration_s, 2),
        "calibration": asdict(calibration),
        "valid_auc": roc_curve(predictions.labels, probabilities).auc,
        "threshold": youden_threshold(predictions.labels, probabilities),
        "conformal": fit_conformal(predictions.labels, probabilities).to_json(),
        "threshold_rule": "largest sensitivity + specificity on the validation patches (Youden)",
        "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(folder / SUMMARY, summary)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return run
