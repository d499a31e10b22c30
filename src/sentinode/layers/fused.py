"""Batch normalisation in one operation of the backend, where it has one.

`keras.ops` puts it together from means, differences and products, each a pass over the largest arrays of a training
step. TensorFlow and PyTorch each have a fused operation, also for bfloat16; on JAX the compiler fuses.
"""

from importlib import import_module
from typing import Any

import keras
from keras import ops


def normalise(x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalise each channel to mean 0 and variance 1 over the batch and all positions, then scale and shift it.

    Parameters
    ----------
    x
        ``(n, rows, columns, channels)``, float32 or bfloat16.
    scale, offset
        float32, ``(channels,)``.
    epsilon
        Added to the variance.

    Returns
    -------
    tuple
        The normalised array, and the means and variances of the channels, float32.

    Examples
    --------
    >>> y, mean, variance = normalise(ops.reshape(ops.arange(4.0), (4, 1, 1, 1)), ops.ones(1), ops.zeros(1), 0.0)
    >>> float(mean[0]), [round(float(value), 2) for value in ops.reshape(y, (4,))]
    (1.5, [-1.34, -0.45, 0.45, 1.34])
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow(x, scale, offset, epsilon)
    if backend == "torch" and x.numel() > x.shape[-1]:  # PyTorch's own refuses one value a channel.
        return _torch(x, scale, offset, epsilon)
    mean, variance = ops.moments(ops.cast(x, "float32"), axes=(0, 1, 2))
    factor = scale * ops.rsqrt(variance + epsilon)
    y = ops.cast(x, "float32") * factor + (offset - mean * factor)
    return ops.cast(y, x.dtype), mean, variance


def _tensorflow(x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, Any, Any]:
    tf = import_module("tensorflow")
    empty = tf.zeros([0])
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=empty, variance=empty, epsilon=epsilon, is_training=True
    )
    count = ops.cast(ops.prod(ops.shape(x)[:3]), "float32")
    return y, mean, variance * (count - 1) / count  # It gives the unbiased estimate.


def _torch(x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, Any, Any]:
    torch = import_module("torch")
    mean, variance = torch.zeros_like(scale), torch.ones_like(scale)
    # Channels come second in PyTorch's view; in memory they stay last. Momentum 1: what is kept is this batch's.
    y = torch.nn.functional.batch_norm(x.permute(0, 3, 1, 2), mean, variance, scale, offset, True, 1.0, epsilon)
    count = x.numel() // x.shape[-1]
    return y.permute(0, 2, 3, 1), mean, variance * (count - 1) / count
