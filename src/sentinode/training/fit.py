"""The epochs of a training run: Keras' `fit` and its callbacks."""

import shutil
from contextlib import closing
from pathlib import Path

import keras

from sentinode.data.batches import Batches
from sentinode.data.patchset import PatchSet
from sentinode.models.loading import model_from_file
from sentinode.progress import progress_bar
from sentinode.training.config import TrainConfig
from sentinode.training.distributed import ProcessGroup, undistributed
from sentinode.training.logging.examples import Examples
from sentinode.training.logging.history import History, ProgressBar, Row
from sentinode.training.logging.tensorboard import EventWriter
from sentinode.training.recipe.averaging import WeightAverage, some_batches
from sentinode.training.recipe.compile import accelerated, output_count
from sentinode.training.run import ARCHITECTURE, CHECKPOINT, WEIGHTS
from sentinode.training.state.best_weights import BestWeights, save_weights, stops_early
from sentinode.training.state.checkpoint import Checkpoint, Checkpoints, write_variables
from sentinode.training.state.record import class_counts
from sentinode.training.state.stopping import stop_requests
from sentinode.training.validation import Validation


def steps_per_epoch(training: PatchSet, config: TrainConfig, group: ProcessGroup) -> int:
    """Count the steps of an epoch. Several devices drop the last incomplete batch."""
    return len(Batches(training, config.batch_size, drop_remainder=group.devices > 1))


def fit(
    learner: keras.Model,
    network: keras.Model,
    training: PatchSet,
    validation: PatchSet,
    config: TrainConfig,
    folder: Path,
    start: Checkpoint,
    *,
    precision: str,
    group: ProcessGroup,
) -> tuple[list[Row], float]:
    """Train from a checkpoint to the end.

    Parameters
    ----------
    learner : keras.Model
        The compiled model that is trained: the network, with augmentation and teachers around it.
    network : keras.Model
        The network inside.
    training, validation : PatchSet
    config : TrainConfig
    folder : Path
        Where this process writes; the run directory in the first process.
    start : Checkpoint
    precision : {"float32", "bfloat16"}
    group : ProcessGroup

    Returns
    -------
    history : list of dict
        One row per epoch.
    duration_s : float
        Duration of the training, including earlier parts.
    """
    size, outputs, steps = config.batch_size, output_count(network), steps_per_epoch(training, config, group)
    used = min(len(training), steps * size)  # Patches per epoch.
    left = used - start.batch * size
    with undistributed():
        twin = model_from_file(folder / ARCHITECTURE)
    board = folder / "tensorboard"
    # Curves are rewritten from the rows of the checkpoint. Images cannot be, so those of a resumed training are kept.
    for part in ("train", "valid") if start.rows else (".",):
        shutil.rmtree(board / part, ignore_errors=True)
    with (
        accelerated(network, precision),
        stop_requests(group) as request,
        closing(History(folder, start.rows, (left, used))) as history,
        EventWriter(board / "examples") as examples,
        progress_bar("training", total=(config.epochs - start.epoch - 1) * used + left) as advance,
    ):
        if start.batch:  # Keras creates the variables of metrics with the first batch.
            learner.test_on_batch(*Batches(training, group.devices, outputs, share=group)[0])
        write_variables(learner, start.arrays, folder / CHECKPOINT, metrics=False)
        average = WeightAverage(learner, network, lambda: some_batches(training, config))
        checkpoints = Checkpoints(folder / CHECKPOINT, start, history, request, steps, config.checkpoint_minutes)
        validate = Validation(network, validation, config, watchers=[history, checkpoints])
        callbacks = [
            average.callback(restore=False),
            validate,
            history,
            Examples(examples, validation, validate, config.seed),
            BestWeights(folder / WEIGHTS["best"], network, twin, history, config.early_stopping),
            average.callback(restore=True),
            ProgressBar(advance, history, config.epochs, used, size, start.batch),
            checkpoints,
        ]
        # `fit` needs epochs of equal length, so the rest of a resumed epoch is a call of its own.
        first = start.epoch + 1 if start.batch else start.epoch
        for epoch, end, skip in ((start.epoch, first, start.batch), (first, config.epochs, 0)):
            if epoch < end and not stops_early(history.rows, config.early_stopping):
                batches = Batches(training, size, outputs, config.seed, epoch, skip, group, group.devices > 1)
                learner.fit(
                    batches,
                    initial_epoch=epoch,
                    epochs=end,
                    class_weight=config.class_weights(class_counts(training)),
                    shuffle=False,  # The order is that of `Batches`; Keras would shuffle by a global state.
                    callbacks=[batches.epoch_callback(), *callbacks],
                    verbose=0,
                )
        average.load()
        twin.set_weights(network.get_weights())
        save_weights(twin, folder / WEIGHTS["final"])
        return history.rows, checkpoints.duration_s
