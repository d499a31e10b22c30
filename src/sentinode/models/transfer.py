"""Transfer learning with backbones of `keras.applications` or EfficientNet-Lite."""

import inspect
from pathlib import Path
from typing import Any

import keras
from keras import layers

from sentinode.data.types import PATCH_SHAPE
from sentinode.errors import ModelError, first_line
from sentinode.layers.preprocessing import BackbonePreprocessing
from sentinode.models.cnn import Output, output_layer
from sentinode.models.efficientnet_lite import VARIANTS, build_efficientnet_lite
from sentinode.models.imagenet import load_imagenet_weights


def build_transfer(
    *,
    backbone: str = "MobileNetV2",
    weights: str | None = None,
    trainable: str | None = None,
    dropout: float = 0.5,
    output: Output = "sigmoid",
) -> keras.Model:
    """Build a classifier on an EfficientNet-Lite backbone or one of `keras.applications`.

    Parameters
    ----------
    backbone : str
        ``"efficientnet-lite0"``, ``-lite1``, ``-lite2``, or the name of a model in `keras.applications`.
    weights : str, optional
        Path of a ``.weights.h5`` or ``.h5`` file for this backbone without its top, or ``"imagenet"``: for
        EfficientNet-Lite from the packages of the extra ``imagenet``, without a download; for other backbones Keras
        downloads them to ``~/.keras/models``. By default the weights are random.
    trainable : str, optional
        ``"all"``: all layers are trained. ``"frozen"``: only the new layers are trained. The name of a backbone layer:
        this layer and all later ones are trained. Default: ``"frozen"`` with weights, ``"all"`` without.
    dropout : float
        Fraction of the pooled features that is dropped in training.
    output : {"sigmoid", "softmax"}
        One unit, P(tumour), or two units, P(normal) and P(tumour).

    Returns
    -------
    keras.Model
        Includes the preprocessing of the backbone.

    Raises
    ------
    ModelError
        The backbone or the layer is unknown, or the weights cannot be downloaded or do not fit.

    Examples
    --------
    >>> build_transfer(dropout=0.2).output_shape
    (None, 1)
    """
    scale, body = (
        _efficientnet_lite(backbone, weights) if backbone in VARIANTS else _keras_application(backbone, weights)
    )
    _set_trainable(body, trainable or ("all" if weights is None else "frozen"))
    patches = keras.Input(PATCH_SHAPE, dtype="uint8", name="patches")
    x = body(scale(patches))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(patches, output_layer(output)(x), name="transfer")


def backbone_names() -> list[str]:
    """List the backbones that `build_transfer` accepts.

    Examples
    --------
    >>> "MobileNetV2" in backbone_names()
    True
    """
    return [*VARIANTS, *(name for name, value in vars(keras.applications).items() if inspect.isfunction(value))]


def _efficientnet_lite(backbone: str, weights: str | None) -> tuple[keras.layers.Layer, keras.Model]:
    body = build_efficientnet_lite(backbone, PATCH_SHAPE)
    if weights == "imagenet":
        load_imagenet_weights(body, backbone)
    elif weights is not None:
        try:
            body.load_weights(weights)
        except (OSError, ValueError) as error:
            raise ModelError(_why_not(backbone, weights, error)) from error
    return layers.Rescaling(1 / 128, offset=-127 / 128, name="scale"), body


def _keras_application(backbone: str, weights: str | None) -> tuple[keras.layers.Layer, keras.Model]:
    make, module = _find(backbone)
    try:
        body = make(include_top=False, weights=weights, input_shape=PATCH_SHAPE, name="backbone")
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise ModelError(_why_not(backbone, weights, error)) from error
    return BackbonePreprocessing(module, name="scale"), body


def _find(backbone: str) -> tuple[Any, str]:
    if backbone not in backbone_names():
        raise ModelError(f"unknown backbone {backbone!r}; available: {', '.join(backbone_names())}")
    make = getattr(keras.applications, backbone)
    return make, make.__module__.rsplit(".", 1)[-1]


def _why_not(backbone: str, weights: str | None, error: Exception) -> str:
    reason = first_line(error)
    if weights == "imagenet":
        return (
            f"the ImageNet weights of {backbone} could not be downloaded ({reason}); download them on a "
            "machine with network access (Keras stores them in ~/.keras/models) and pass the path as weights"
        )
    if weights is not None and not Path(weights).is_file():
        return f"weights {weights!r}: file not found; pass a path, imagenet, or nothing for random weights"
    return f"{backbone} cannot be built with weights {weights!r}: {reason}"


def _set_trainable(body: keras.Model, trainable: str) -> None:
    if trainable in ("all", "frozen"):
        body.trainable = trainable == "all"
        return
    names = [layer.name for layer in body.layers]
    if trainable not in names:
        raise ModelError(
            f"the backbone has no layer {trainable!r}; trainable is 'frozen', 'all' or a layer's name, "
            f"such as {', '.join(names[-3:])} (the last 3 of {len(names)})"
        )
    for layer in body.layers[: names.index(trainable)]:
        layer.trainable = False
