"""Batch normalization in one operation of the backend."""

from importlib import import_module
from typing import Any

import keras
from keras import ops


def batch_normalization(x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalize each channel over the batch and all positions, in one operation where the backend has one.

    Parameters
    ----------
    x : tensor of shape (n, rows, columns, channels)
        float32 or bfloat16.
    scale, offset : tensor of shape (channels,)
        float32.
    epsilon : float
        Added to the variance.

    Returns
    -------
    outputs : tensor of shape (n, rows, columns, channels)
    mean, variance : tensor of shape (channels,)
        Of the batch, float32.

    Examples
    --------
    >>> y, mean, _ = batch_normalization(ops.reshape(ops.arange(4.0), (4, 1, 1, 1)), ops.ones(1), ops.zeros(1), 0.0)
    >>> float(mean[0]), [round(float(value), 2) for value in ops.reshape(y, (4,))]
    (1.5, [-1.34, -0.45, 0.45, 1.34])
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _batch_normalization_tensorflow(x, scale, offset, epsilon)
    if backend == "torch" and x.numel() > x.shape[-1]:  # PyTorch refuses a single value per channel.
        return _batch_normalization_torch(x, scale, offset, epsilon)
    mean, variance = ops.moments(ops.cast(x, "float32"), axes=(0, 1, 2))
    factor = scale * ops.rsqrt(variance + epsilon)
    y = ops.cast(x, "float32") * factor + (offset - mean * factor)
    return ops.cast(y, x.dtype), mean, variance


def _batch_normalization_tensorflow(x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, Any, Any]:
    tf = import_module("tensorflow")
    empty = tf.zeros([0])
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=empty, variance=empty, epsilon=epsilon, is_training=True
    )
    count = ops.cast(ops.prod(ops.shape(x)[:3]), "float32")
    return y, mean, variance * (count - 1) / count  # TensorFlow returns the unbiased estimate.


def _batch_normalization_torch(x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, Any, Any]:
    torch = import_module("torch")
    mean, variance = torch.zeros_like(scale), torch.ones_like(scale)
    # PyTorch takes channels first; with momentum 1 the running statistics are those of this batch.
    y = torch.nn.functional.batch_norm(x.permute(0, 3, 1, 2), mean, variance, scale, offset, True, 1.0, epsilon)
    count = x.numel() // x.shape[-1]
    return y.permute(0, 2, 3, 1), mean, variance * (count - 1) / count
