"""Logits of a classifier: its output before the sigmoid or softmax."""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from sentinode.errors import ModelError

# Engines other than Keras need the arithmetic of this module only, so Keras is imported where it is used.
if TYPE_CHECKING:
    import keras


def logit_model(model: "keras.Model") -> "keras.Model":
    """Build a model with the same weights that ends before the sigmoid or softmax.

    Parameters
    ----------
    model : keras.Model
        Ends in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.

    Returns
    -------
    keras.Model
        The same input; float logits ``(n, 1)`` or ``(n, 2)`` out. The last layer is a copy, the others are shared.

    Raises
    ------
    ModelError
        The last layer is another one.
    """
    import keras

    from sentinode.keras_compat.graph import node_within

    check_last_layer(model)
    last = model.layers[-1]
    # A functional model refuses two layers of one name.
    # Random initial weights would differ between the processes of a distributed training, which Keras refuses.
    name, zeros = f"{last.name}_logit", keras.initializers.Zeros()
    linear = keras.layers.Dense(last.units, None, last.use_bias, zeros, dtype="float32", name=name)
    logits = keras.Model(model.inputs[0], linear(node_within(model, last).input_tensors[0]))
    linear.set_weights(last.get_weights())
    return logits


def check_last_layer(model: "keras.Model") -> None:
    """Refuse what is no Keras model, or does not end in ``Dense(1, "sigmoid")`` or ``Dense(2, "softmax")``.

    Raises
    ------
    ModelError
        Names the last layer, or the type.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise ModelError(
            f"model must be a keras.Model; got {type(model).__name__}: build_model makes one, and "
            "load_run(PATH).starting_model() starts from a run"
        )
    last = model.layers[-1]
    expected = {1: keras.activations.sigmoid, 2: keras.activations.softmax}
    if not isinstance(last, keras.layers.Dense) or last.activation is not expected.get(last.units):
        raise ModelError(
            f"model {model.name!r} ends in {last.name!r} ({type(last).__name__}), "
            "expected Dense(1, 'sigmoid') or Dense(2, 'softmax')"
        )


def tumour_logit(outputs: np.ndarray) -> np.ndarray:
    """Convert the outputs of a logit model to the logit of tumour.

    Parameters
    ----------
    outputs : ndarray of shape (n, 1) or (n, 2)
        Of two columns, normal comes first; the logit is their difference.

    Returns
    -------
    ndarray of shape (n,)
        float64.

    Examples
    --------
    >>> tumour_logit(np.array([[1.0, 3.0]])).tolist()
    [2.0]
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, 1] - outputs[:, 0]


def probability(logit: Any) -> np.ndarray:
    """Convert logits to probabilities, in float64.

    Examples
    --------
    >>> probability([0.0]).tolist()
    [0.5]
    """
    return expit(np.asarray(logit, dtype=np.float64))
