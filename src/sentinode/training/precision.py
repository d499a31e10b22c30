"""Whether a network is trained in bfloat16: asked for, or decided by a short trial."""

import logging
import math
import time
from typing import Any

import keras
import numpy as np

from sentinode.data.batches import Batches
from sentinode.data.patchset import PatchSet
from sentinode.models.build import initial_weights_from
from sentinode.models.precision import computing_in
from sentinode.training.compiling import compile_model, output_count
from sentinode.training.config import TrainConfig
from sentinode.training.devices import Crew

log = logging.getLogger("sentinode")

FASTER, WORSE = 1.1, 0.02
ROUNDS, STEPS, LIMIT_S = 4, 8, 20.0
VALIDATION_PATCHES, VALIDATION_BATCH = 256, 64


def choose_precision(
    model: keras.Model, training: PatchSet, validation: PatchSet, config: TrainConfig
) -> dict[str, Any]:
    """Say which precision a training uses; ``auto`` is decided by a short trial of both.

    Two copies of the network take the same steps from the same weights, in turn. bfloat16 is used when it is at least
    1.1 times as fast in every round but the first, in every process, and the validation loss after them is not more
    than 0.02 above that of float32. What else the machine does meanwhile has a part in it.

    Returns
    -------
    dict
        ``used``: ``"float32"`` or ``"bfloat16"``; after a trial also ``speed_ratio``, ``valid_loss`` of both, and
        ``steps``. A loss that is not finite is None.
    """
    if config.precision != "auto":
        return {"used": config.precision}
    crew = Crew.now()
    trials = {precision: _Trial(model, precision, training, config, crew) for precision in ("float32", "bfloat16")}
    began = time.monotonic()
    rounds, late = 0, False
    while rounds < 3 or (rounds < ROUNDS and not late):
        for precision in sorted(trials, reverse=bool(rounds % 2)):
            trials[precision].go_on()
        rounds += 1
        late = bool(crew.largest(time.monotonic() - began > LIMIT_S))  # Clocks differ; all take as many rounds.
    loss = {precision: trial.loss(validation) for precision, trial in trials.items()}
    # The first round pays for tracing and compiling.
    pairs = zip(trials["float32"].seconds[1:], trials["bfloat16"].seconds[1:], strict=True)
    ratio = min(single / half for single, half in pairs)
    ratio = -crew.largest(-round(1000 * ratio)) / 1000  # The smallest: all have to decide alike.
    harmless = math.isfinite(loss["bfloat16"]) and loss["bfloat16"] - loss["float32"] <= WORSE
    used = "bfloat16" if ratio >= FASTER and harmless else "float32"
    log.info(
        "precision auto: bfloat16 is %.2f times as fast as float32, validation loss after %d steps %.3f against %.3f; "
        "%s is used",
        ratio,
        rounds * STEPS,
        loss["bfloat16"],
        loss["float32"],
        used,
    )
    finite = {precision: value if math.isfinite(value) else None for precision, value in loss.items()}
    return {"used": used, "speed_ratio": ratio, "valid_loss": finite, "steps": rounds * STEPS}


class _Trial:
    """A copy of a network, trained for a few steps in one precision."""

    def __init__(self, model: keras.Model, precision: str, training: PatchSet, config: TrainConfig, crew: Crew) -> None:
        self._precision, self._crew = precision, crew
        self._outputs = output_count(model)
        self._batches = Batches(training, config.batch_size, self._outputs, config.seed, share=crew)
        self._done = 0
        self.seconds: list[float] = []
        with initial_weights_from(config.seed):
            self._model = keras.models.clone_model(model)
        self._model.set_weights(model.get_weights())
        compile_model(self._model, config, len(self._batches))

    def go_on(self) -> None:
        """Take some steps; the clock counts them without their input."""
        picked = [self._batches[(self._done + step) % len(self._batches)] for step in range(STEPS)]
        started = time.perf_counter()
        with computing_in(self._model, self._precision):
            for x, y in picked:
                self._model.train_on_batch(x, y)
        self.seconds.append(time.perf_counter() - started)
        self._done += STEPS

    def loss(self, validation: PatchSet) -> float:
        """Return the loss on the first validation patches in an order of their own."""
        count = min(len(validation), VALIDATION_PATCHES)
        # Batches of one size: where devices cannot share them evenly, all are repeated alike, and the mean is right.
        count -= count % VALIDATION_BATCH if count > VALIDATION_BATCH else 0
        some = np.random.default_rng(0).permutation(len(validation))[:count]
        batches = Batches(validation.select(np.sort(some)), VALIDATION_BATCH, self._outputs, share=self._crew)
        with computing_in(self._model, self._precision):
            return float(self._model.evaluate(batches, verbose=0, return_dict=True)["loss"])
