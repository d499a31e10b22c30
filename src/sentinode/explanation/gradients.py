"""The one place where a gradient is asked of a backend: `keras.ops` has none."""

from importlib import import_module
from typing import Any

import keras
import numpy as np
from keras import ops


def gradient(network: keras.Model, values: np.ndarray) -> np.ndarray:
    """Return how the log-odds of tumour change with each value that goes into a network.

    Parameters
    ----------
    network
        float32 ``(n, …)`` in; logits ``(n, 1)`` or ``(n, 2)`` out.
    values
        float32, ``(n, …)``.

    Returns
    -------
    numpy.ndarray
        float32, the shape of `values`.

    Examples
    --------
    >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    >>> gradient(network, np.array([[3.0, 4.0]], np.float32)).tolist()
    [[1.0, 1.0]]
    """
    ask = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    return np.asarray(ops.convert_to_numpy(ask(network, values)), dtype=np.float32)


def _log_odds(network: keras.Model, values: Any) -> Any:
    """Return their sum: a patch's own are the only ones that its values change."""
    logits = network(values, training=False)
    return ops.sum(logits[:, -1] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0])


def _tensorflow(network: keras.Model, values: np.ndarray) -> Any:
    tf = import_module("tensorflow")
    tensor = tf.convert_to_tensor(values)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        found = _log_odds(network, tensor)
    return tape.gradient(found, tensor)


def _jax(network: keras.Model, values: np.ndarray) -> Any:
    return import_module("jax").grad(lambda tensor: _log_odds(network, tensor))(ops.convert_to_tensor(values))


def _torch(network: keras.Model, values: np.ndarray) -> Any:
    tensor = ops.convert_to_tensor(values).detach().requires_grad_(True)
    return import_module("torch").autograd.grad(_log_odds(network, tensor), tensor)[0]
