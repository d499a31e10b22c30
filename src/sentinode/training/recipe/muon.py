"""The optimiser of the flagship: steps of one length in all directions of a kernel."""

from typing import Any

import keras
from keras import ops

# The learning rate of what is no matrix, as a part of the others'.
ADAM_PART = 0.03


class Muon(keras.optimizers.Muon):
    """Momentum whose singular values are made alike before a kernel takes the step (Jordan et al. 2024, Muon).

    Keras' own takes matrices alone and gives convolutions to AdamW. Here every kernel is a matrix, its last axis
    against all others, and a step is as long as the rate says relative to what He et al. 2015 draw the kernel from: a
    rate of 0.1 changes each layer by about 7 % a step, whatever its size. Biases, scales and layers of one or two
    outputs are left to AdamW with 0.03 of the rate.

    Parameters
    ----------
    learning_rate
        Number or schedule.
    momentum
        Part of the last steps that is kept.
    weight_decay
        Part of each kernel that is taken off a step, times the rate.

    Examples
    --------
    >>> kernel = keras.Variable(ops.zeros((3, 3, 8, 4)))
    >>> gradient = keras.random.normal(kernel.shape, seed=0)
    >>> Muon(learning_rate=0.1, momentum=0.9).apply([gradient], [kernel])
    >>> bool(0.1 < ops.norm(ops.reshape(kernel, (-1,))) < 0.3)  # 0.1 for each of four directions, √4 · 0.1 in all.
    True
    """

    def __init__(self, learning_rate: Any, momentum: float, weight_decay: float = 0.0, **keywords: Any) -> None:
        super().__init__(
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            adam_weight_decay=weight_decay * ADAM_PART,
            adam_lr_ratio=ADAM_PART,
            adam_beta_2=0.99,
            ns_steps=4,
            rms_rate=None,
            **keywords,
        )

    def _should_use_adamw(self, variable: Any) -> bool:
        # One or two outputs have hardly any directions to make alike.
        return len(variable.shape) < 2 or variable.shape[-1] <= 2

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign(m, ops.add(gradient, m * self.momentum))
        ahead = ops.reshape(gradient + self.momentum * m, (-1, variable.shape[-1]))
        step = self.zeropower_via_newtonschulz5(ahead, self.ns_steps)
        self.assign_sub(variable, ops.reshape(step, variable.shape) * ops.cast(lr, variable.dtype))
