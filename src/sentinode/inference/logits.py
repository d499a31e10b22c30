"""The logit of any of our classifiers, before sigmoid or softmax flattens it."""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from sentinode.errors import ModelError

# Engines other than Keras need the numbers of this module alone, so Keras is imported where it is used.
if TYPE_CHECKING:
    import keras


def logit_model(model: "keras.Model") -> "keras.Model":
    """Return a model with the same weights that ends before the sigmoid or softmax.

    Parameters
    ----------
    model
        Ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.

    Returns
    -------
    keras.Model
        The same input; float ``(n, 1)`` or ``(n, 2)`` out. The weights are copies.

    Raises
    ------
    ModelError
        The last layer is another one.
    """
    import keras

    check_last_layer(model)
    last = model.layers[-1]
    # The name differs, since a functional model refuses two layers of one name.
    # It begins with zeros: random weights would differ between the processes of one training, which Keras refuses.
    name, zeros = f"{last.name}_logit", keras.initializers.Zeros()
    linear = keras.layers.Dense(last.units, None, last.use_bias, zeros, dtype="float32", name=name)
    logits = keras.Model(model.inputs[0], linear(last.input))
    linear.set_weights(last.get_weights())
    return logits


def check_last_layer(model: "keras.Model") -> None:
    """Refuse a model that does not end in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.

    Raises
    ------
    ModelError
        Names what it ends in.
    """
    import keras

    last = model.layers[-1]
    expected = {1: keras.activations.sigmoid, 2: keras.activations.softmax}
    if not isinstance(last, keras.layers.Dense) or last.activation is not expected.get(last.units):
        raise ModelError(
            f"model {model.name!r} ends in {last.name!r} ({type(last).__name__}), "
            "where Dense(1, 'sigmoid') or Dense(2, 'softmax') is expected"
        )


def tumour_logit(outputs: np.ndarray) -> np.ndarray:
    """Return the log-odds of tumour from a logit model's outputs.

    Parameters
    ----------
    outputs
        ``(n, 1)``, or ``(n, 2)`` with normal first: then it is the difference of the two.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(n,)``.

    Examples
    --------
    >>> tumour_logit(np.array([[1.0, 3.0]])).tolist()
    [2.0]
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, 1] - outputs[:, 0]


def probability(logit: Any) -> np.ndarray:
    """Return P(tumour) in float64 from log-odds.

    Examples
    --------
    >>> probability([0.0]).tolist()
    [0.5]
    """
    return expit(np.asarray(logit, dtype=np.float64))
