"""Layers and nodes of a model."""

from typing import Any

import keras


def flatten_layers(model: keras.Model, *, include_models: bool = True) -> list[Any]:
    """List all layers of a model, including those of nested models and composite layers.

    Parameters
    ----------
    model : keras.Model
        Any model.
    include_models : bool, default True
        Whether the model itself and nested models are listed as well.

    Returns
    -------
    list of keras.layers.Layer

    Examples
    --------
    >>> from sentinode import build_model
    >>> [layer.name for layer in flatten_layers(build_model("mlp"), include_models=False)]
    ['patches', 'scale', 'flatten', 'dense', 'probability']
    """
    found = model._flatten_layers(include_self=include_models)
    return found if include_models else [layer for layer in found if not isinstance(layer, keras.Model)]


def node_within(model: keras.Model, layer: keras.layers.Layer) -> Any:
    """Return a layer's place in the graph of a model, with its `input_tensors` and `output_tensors`.

    `layer.input` and `layer.output` are those of the layer's first use, which belongs to another model if the layer was
    taken from there.

    Parameters
    ----------
    model : keras.Model
        A functional or sequential model.
    layer : keras.layers.Layer
        One of its layers; of several uses in this model the first is returned.

    Returns
    -------
    keras.Node

    Examples
    --------
    >>> image = keras.Input((4,))
    >>> dense = keras.layers.Dense(1)
    >>> first, second = keras.Model(image, dense(image)), keras.Model(image, dense(2 * image))
    >>> node_within(second, dense).input_tensors[0] is dense.input
    False
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model
    within = {id(node) for nodes in graph._nodes_by_depth.values() for node in nodes}
    return next(node for node in layer._inbound_nodes if id(node) in within)
