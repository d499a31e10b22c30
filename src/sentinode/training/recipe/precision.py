"""Choose the precision of a training run."""

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
from sentinode.training.recipe.averaging import recompute_batch_statistics, some_batches
from sentinode.training.recipe.compile import accelerated, compile_model, output_count

log = logging.getLogger("sentinode")

# bfloat16 is used from this speed-up on, and up to this increase of the validation loss. Below the third value, the
# trial ends early.
MIN_SPEEDUP, MAX_LOSS_INCREASE, HOPELESS_SPEEDUP = 1.1, 0.02, 0.5
ROUNDS, STEPS, LIMIT_S = 3, 8, 20.0
VALIDATION_PATCHES, VALIDATION_BATCH = 256, 64
# Batches on which batch statistics are recomputed.
STATISTICS_BATCHES = 4


def choose_precision(
    model: keras.Model, training: PatchSet, validation: PatchSet, config: TrainConfig
) -> dict[str, Any]:
    """Choose the precision; ``auto`` runs a short trial.

    Two copies of the model take the same steps from the same weights, alternately in float32 and bfloat16. bfloat16 is
    used when it is at least 1.1 times as fast in every round of steps and on every process, and its validation loss
    after the trial is at most 0.02 higher. If its second step takes more than twice as long, the trial ends at once.
    Other load on the machine can influence the result.

    Parameters
    ----------
    model : keras.Model
    training, validation : PatchSet
    config : TrainConfig

    Returns
    -------
    dict
        ``used`` is ``"float32"`` or ``"bfloat16"``. After a trial also ``speed_ratio``, ``valid_loss`` of both
        precisions (None if it is not finite or was not needed) and ``steps``.
    """
    if config.precision != "auto":
        return {"used": config.precision}
    log.info("precision auto: comparing float32 and bfloat16 for a few steps")
    group = ProcessGroup.current()
    trials = {precision: _Trial(model, precision, training, config, group) for precision in ("float32", "bfloat16")}
    for trial in trials.values():
        trial.step(1)  # Includes tracing and compiling.
    ratio = _speedup([{precision: trial.step(1) for precision, trial in trials.items()}], group)
    if ratio < HOPELESS_SPEEDUP:
        log.info("precision auto: float32, since bfloat16 has only %.2f times its speed", ratio)
        return {"used": "float32", "speed_ratio": ratio, "valid_loss": dict.fromkeys(trials), "steps": 2}
    began = time.monotonic()
    rounds: list[dict[str, float]] = []
    late = False
    while len(rounds) < 2 or (len(rounds) < ROUNDS and not late):
        order = sorted(trials, reverse=bool(len(rounds) % 2))
        rounds.append({precision: trials[precision].step(STEPS) for precision in order})
        late = bool(group.max(time.monotonic() - began > LIMIT_S))  # All processes run the same number of rounds.
    steps = 2 + len(rounds) * STEPS
    loss = {precision: trial.loss(validation) for precision, trial in trials.items()}
    ratio = _speedup(rounds, group)
    harmless = math.isfinite(loss["bfloat16"]) and loss["bfloat16"] - loss["float32"] <= MAX_LOSS_INCREASE
    used = "bfloat16" if ratio >= MIN_SPEEDUP and harmless else "float32"
    log.info(
        "precision auto: %s; bfloat16 has %.2f times the speed of float32, and a validation loss of %.3f against %.3f "
        "after %d steps",
        used,
        ratio,
        loss["bfloat16"],
        loss["float32"],
        steps,
    )
    finite = {precision: value if math.isfinite(value) else None for precision, value in loss.items()}
    return {"used": used, "speed_ratio": ratio, "valid_loss": finite, "steps": steps}


def _speedup(rounds: list[dict[str, float]], group: ProcessGroup) -> float:
    """Return the smallest speed-up of bfloat16 over all rounds and processes."""
    ratio = min(seconds["float32"] / seconds["bfloat16"] for seconds in rounds)
    return -group.max(-round(1000 * ratio)) / 1000


class _Trial:
    """A copy of a model that is trained for a few steps in one precision."""

    def __init__(
        self, model: keras.Model, precision: str, training: PatchSet, config: TrainConfig, group: ProcessGroup
    ) -> None:
        self._precision, self._group, self._training, self._config = precision, group, training, config
        self._outputs = output_count(model)
        distributed = group.devices > 1
        self._batches = Batches(
            training, config.batch_size, self._outputs, config.seed, share=group, drop_remainder=distributed
        )
        self._done = 0
        with seeded_initializers(config.seed):
            self._model = keras.models.clone_model(model)
        self._model.set_weights(model.get_weights())
        compile_model(self._model, config, len(self._batches))

    def step(self, count: int) -> float:
        """Take some steps; return their duration in seconds, without reading patches."""
        batches = [self._batches[(self._done + step) % len(self._batches)] for step in range(count)]
        self._done += count
        started = time.perf_counter()
        with accelerated(self._model, self._precision):
            for x, y in batches:
                self._model.train_on_batch(x, y)
        return time.perf_counter() - started

    def loss(self, validation: PatchSet) -> float:
        """Return the loss on a random selection of validation patches."""
        count = min(len(validation), VALIDATION_PATCHES)
        size = max(VALIDATION_BATCH // self._group.devices, 1) * self._group.devices
        count -= count % size if count > size else 0  # Full batches only: the loss is a mean over batches.
        chosen = np.random.default_rng(0).permutation(len(validation))[:count]
        batches = Batches(validation.select(np.sort(chosen)), size, self._outputs, share=self._group)
        with mixed_precision(self._model, self._precision):
            # The moving statistics of training would need more steps than a trial has.
            recompute_batch_statistics(self._model, some_batches(self._training, self._config, STATISTICS_BATCHES))
            return float(self._model.evaluate(batches, verbose=0, return_dict=True)["loss"])
