"""Muon for convolution kernels, and the average of weights that optimizers keep."""

from typing import Any

import keras
from keras import ops

# Part of the learning rate that `Muon` gives to AdamW for parameters that are not kernels.
ADAM_LEARNING_RATE_RATIO = 0.03


class Muon(keras.optimizers.Muon):
    """Muon for convolution kernels: momentum, orthogonalized before each step.

    Keras' own Muon handles matrices and leaves convolution kernels to AdamW. Here each kernel is reshaped to a matrix
    with its last axis as columns. The step is not rescaled by the shape of the kernel. Biases, normalization
    parameters and kernels with one or two output channels are left to AdamW with 0.03 of the learning rate.

    Parameters
    ----------
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule
        Length of the step in each singular direction of a kernel.
    momentum : float
        Part of the previous momentum that is kept.
    weight_decay : float, default 0.0
        Part of each kernel that is subtracted per step, times the learning rate.
    **kwargs
        Passed to `keras.optimizers.Muon`.

    References
    ----------
    K. Jordan et al. (2024), Muon: An optimizer for hidden layers in neural networks.

    Examples
    --------
    >>> kernel = keras.Variable(ops.zeros((3, 3, 8, 4)))
    >>> gradient = keras.random.normal(kernel.shape, seed=0)
    >>> Muon(learning_rate=0.1, momentum=0.9).apply([gradient], [kernel])
    >>> bool(0.1 < ops.norm(ops.reshape(kernel, (-1,))) < 0.3)  # Four singular values of about 0.1.
    True
    """

    def __init__(self, learning_rate: Any, momentum: float, weight_decay: float = 0.0, **kwargs: Any) -> None:
        super().__init__(
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            adam_weight_decay=weight_decay * ADAM_LEARNING_RATE_RATIO,
            adam_lr_ratio=ADAM_LEARNING_RATE_RATIO,
            adam_beta_2=0.99,
            ns_steps=4,
            rms_rate=None,
            **kwargs,
        )

    def _should_use_adamw(self, variable: Any) -> bool:
        # A kernel with one or two output channels has too few directions to orthogonalize.
        return len(variable.shape) < 2 or variable.shape[-1] <= 2

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign(m, ops.add(gradient, m * self.momentum))
        lookahead = ops.reshape(gradient + self.momentum * m, (-1, variable.shape[-1]))
        step = self.zeropower_via_newtonschulz5(lookahead, self.ns_steps)
        self.assign_sub(variable, ops.reshape(step, variable.shape) * ops.cast(lr, variable.dtype))


def keep_average_separate(optimizer: keras.optimizers.Optimizer) -> None:
    """Prevent `fit` from replacing the weights by their exponential moving average when it ends."""
    optimizer.finalize_variable_values = lambda variables: None


def load_average(optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]) -> None:
    """Assign the exponential moving average that an optimizer keeps to the trained variables."""
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(variables, averages, strict=True):
        # A copy: on JAX the next training step donates the memory of the variable.
        variable.assign(ops.convert_to_numpy(average).copy())
