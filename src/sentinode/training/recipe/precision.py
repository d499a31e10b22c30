"""Whether a network is trained in bfloat16: asked for, or decided by a short trial."""

import logging
import math
import time
from typing import Any

import keras
import numpy as np

from sentinode.data.batches import Batches
from sentinode.data.patchset import PatchSet
from sentinode.models.build import seeded_initializers
from sentinode.models.precision import mixed_precision
from sentinode.training.config import TrainConfig
from sentinode.training.distributed import ProcessGroup
from sentinode.training.recipe.activation_after_pooling import activation_after_pooling
from sentinode.training.recipe.averaging import recompute_batch_statistics, some_batches
from sentinode.training.recipe.compile import compile_model, output_count
from sentinode.training.recipe.fused_batch_normalization import fused_batch_normalization

log = logging.getLogger("sentinode")

FASTER, HOPELESS, WORSE = 1.1, 0.5, 0.02
ROUNDS, STEPS, LIMIT_S = 3, 8, 20.0
VALIDATION_PATCHES, VALIDATION_BATCH = 256, 64
# Batches that the statistics of normalisations are measured on.
MEASURED = 4


def choose_precision(
    model: keras.Model, training: PatchSet, validation: PatchSet, config: TrainConfig
) -> dict[str, Any]:
    """Say which precision a training uses; ``auto`` is decided by a short trial of both.

    Two copies of the network take the same steps from the same weights, in turn. bfloat16 is used when it is at least
    1.1 times as fast in every round of steps, in every process, and the validation loss after them is not more than
    0.02 above that of float32. Where its second step takes more than twice as long, as on a processor that has no
    instructions for it, the trial ends there. What else the machine does meanwhile has a part in it.

    Returns
    -------
    dict
        ``used``: ``"float32"`` or ``"bfloat16"``; after a trial also ``speed_ratio``, ``valid_loss`` of both, and
        ``steps``. A loss that is not finite, or was not needed, is None.
    """
    if config.precision != "auto":
        return {"used": config.precision}
    group = ProcessGroup.now()
    trials = {precision: _Trial(model, precision, training, config, group) for precision in ("float32", "bfloat16")}
    for trial in trials.values():
        trial.go_on(1)  # Pays for tracing and compiling.
    ratio = _times_as_fast([{precision: trial.go_on(1) for precision, trial in trials.items()}], group)
    if ratio < HOPELESS:
        log.info("precision auto: bfloat16 is %.2f times as fast as float32; float32 is used", ratio)
        return {"used": "float32", "speed_ratio": ratio, "valid_loss": dict.fromkeys(trials), "steps": 2}
    began = time.monotonic()
    rounds: list[dict[str, float]] = []
    late = False
    while len(rounds) < 2 or (len(rounds) < ROUNDS and not late):
        in_turn = sorted(trials, reverse=bool(len(rounds) % 2))
        rounds.append({precision: trials[precision].go_on(STEPS) for precision in in_turn})
        late = bool(group.largest(time.monotonic() - began > LIMIT_S))  # Clocks differ; all take as many rounds.
    steps = 2 + len(rounds) * STEPS
    loss = {precision: trial.loss(validation) for precision, trial in trials.items()}
    ratio = _times_as_fast(rounds, group)
    harmless = math.isfinite(loss["bfloat16"]) and loss["bfloat16"] - loss["float32"] <= WORSE
    used = "bfloat16" if ratio >= FASTER and harmless else "float32"
    log.info(
        "precision auto: bfloat16 is %.2f times as fast as float32, validation loss after %d steps %.3f against %.3f; "
        "%s is used",
        ratio,
        steps,
        loss["bfloat16"],
        loss["float32"],
        used,
    )
    finite = {precision: value if math.isfinite(value) else None for precision, value in loss.items()}
    return {"used": used, "speed_ratio": ratio, "valid_loss": finite, "steps": steps}


def _times_as_fast(rounds: list[dict[str, float]], group: ProcessGroup) -> float:
    """Return how many times as fast bfloat16 is, in the round and the process in which it gains least."""
    ratio = min(seconds["float32"] / seconds["bfloat16"] for seconds in rounds)
    return -group.largest(-round(1000 * ratio)) / 1000  # All have to decide alike.


class _Trial:
    """A copy of a network, trained for a few steps in one precision."""

    def __init__(
        self, model: keras.Model, precision: str, training: PatchSet, config: TrainConfig, group: ProcessGroup
    ) -> None:
        self._precision, self._crew, self._training, self._config = precision, group, training, config
        self._outputs = output_count(model)
        self._batches = Batches(training, config.batch_size, self._outputs, config.seed, share=group)
        self._done = 0
        with seeded_initializers(config.seed):
            self._model = keras.models.clone_model(model)
        self._model.set_weights(model.get_weights())
        compile_model(self._model, config, len(self._batches))

    def go_on(self, steps: int) -> float:
        """Take some steps; return how many seconds they took without their input."""
        picked = [self._batches[(self._done + step) % len(self._batches)] for step in range(steps)]
        self._done += steps
        started = time.perf_counter()
        with (
            mixed_precision(self._model, self._precision),
            activation_after_pooling(self._model),
            fused_batch_normalization(self._model),
        ):
            for x, y in picked:
                self._model.train_on_batch(x, y)
        return time.perf_counter() - started

    def loss(self, validation: PatchSet) -> float:
        """Return the loss on the first validation patches in an order of their own."""
        count = min(len(validation), VALIDATION_PATCHES)
        # Batches of one size: where devices cannot share them evenly, all are repeated alike, and the mean is right.
        count -= count % VALIDATION_BATCH if count > VALIDATION_BATCH else 0
        some = np.random.default_rng(0).permutation(len(validation))[:count]
        batches = Batches(validation.select(np.sort(some)), VALIDATION_BATCH, self._outputs, share=self._crew)
        with mixed_precision(self._model, self._precision):
            # Those kept while training are of far more steps than a trial has.
            recompute_batch_statistics(self._model, some_batches(self._training, self._config, MEASURED))
            return float(self._model.evaluate(batches, verbose=0, return_dict=True)["loss"])
