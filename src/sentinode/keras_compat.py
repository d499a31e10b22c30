"""Everything that depends on Keras internals, in one module.

Keras has no public API for what is collected here: private attributes are read, and the `call` of some layers is
replaced while a network is trained. Each function is tested with Keras 3.15.1, hence ``keras<3.16`` in
``pyproject.toml``: Keras changes internals in minor versions. To allow a new version, run
``tests/test_keras_compat.py`` with it and raise the bound. 3.13 is the first version whose Muon has a `rms_rate`.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import keras
from keras import layers, ops

# Part of the learning rate that `Muon` gives to AdamW for parameters that are not kernels.
ADAM_LEARNING_RATE_RATIO = 0.03


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
    >>> dense = layers.Dense(1)
    >>> first, second = keras.Model(image, dense(image)), keras.Model(image, dense(2 * image))
    >>> node_within(second, dense).input_tensors[0] is dense.input
    False
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model
    within = {id(node) for nodes in graph._nodes_by_depth.values() for node in nodes}
    return next(node for node in layer._inbound_nodes if id(node) in within)


def use_own_generators(model: keras.Model) -> None:
    """Make layers that were given no seed draw from their own generators on every backend.

    On TensorFlow and JAX they always do. On PyTorch, Keras lets dropout without a seed draw from the global generator,
    whose state differs between processes and is not part of a checkpoint.

    Parameters
    ----------
    model : keras.Model
        Changed in place. The states of its generators are kept.
    """
    for layer in flatten_layers(model):
        for generator in layer._seed_generators:
            if generator._initial_seed is None:  # The condition for which Keras checks.
                generator._initial_seed = int(ops.convert_to_numpy(generator.state)[0])


def seed_generators(model: keras.Model, seed: int) -> None:
    """Seed the generators of layers that were given no seed, such as dropout of a model that was loaded from a file.

    Parameters
    ----------
    model : keras.Model
        Changed in place.
    seed : int
    """
    seeds = random.Random(seed)
    for layer in flatten_layers(model):
        for generator in layer._seed_generators:
            if generator._initial_seed is None:
                generator.state.assign(ops.convert_to_tensor([seeds.randrange(1, 10**9), 0], generator.state.dtype))


def keep_average_separate(optimizer: keras.optimizers.Optimizer) -> None:
    """Prevent `fit` from replacing the weights by their exponential moving average when it ends."""
    optimizer.finalize_variable_values = lambda variables: None


def load_average(optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]) -> None:
    """Assign the exponential moving average that an optimizer keeps to the trained variables."""
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(variables, averages, strict=True):
        # A copy: on JAX the next training step donates the memory of the variable.
        variable.assign(ops.convert_to_numpy(average).copy())


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


@contextmanager
def activation_after_pooling(model: keras.Model) -> Iterator[None]:
    """Apply bias and ReLU after max pooling instead of before it while the block runs.

    Both orders give the same outputs and gradients, since adding a constant and ReLU are monotonic. After pooling over
    4 × 4 px there are sixteen times fewer values to compute, which makes training of the `cnn` network faster.

    Parameters
    ----------
    model : keras.Model
        A `keras.Sequential` with pairs of a ReLU convolution and a max pooling. Other models, and layers that are used
        more than once or have an activity regularizer, are left unchanged. Compile inside the block, and again after
        it: a compiled model keeps the functions that it was traced with.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model = build_model("cnn")
    >>> with activation_after_pooling(model):
    ...     model.get_layer("conv_1").activation.__name__, model.get_layer("conv_1").use_bias
    ('linear', False)
    >>> model.get_layer("conv_1").activation.__name__, model.get_layer("conv_1").use_bias
    ('relu', True)
    """
    pairs = [
        (conv, pool)
        for conv, pool in zip(model.layers, model.layers[1:], strict=False)
        if isinstance(model, keras.Sequential)
        and type(conv) is layers.Conv2D
        and type(pool) is layers.MaxPooling2D
        and conv.activation is keras.activations.relu
        and conv.activity_regularizer is None
        and conv.data_format == pool.data_format == "channels_last"
        and all(model.layers.count(layer) == 1 and len(layer._inbound_nodes) == 1 for layer in (conv, pool))
    ]
    with ExitStack() as stack:
        for conv, pool in pairs:
            stack.enter_context(_replaced_call(pool, _pool_then_activate(pool.call, conv.bias)))
            stack.callback(setattr, conv, "activation", conv.activation)
            stack.callback(setattr, conv, "use_bias", conv.use_bias)
            conv.activation, conv.use_bias = keras.activations.linear, False
        yield


def _pool_then_activate(pool: Callable[..., Any], bias: Any) -> Callable[..., Any]:
    if bias is None:
        return lambda inputs: ops.relu(pool(inputs))
    return lambda inputs: ops.relu(ops.add(pool(inputs), bias))


@contextmanager
def fused_batch_normalization(model: keras.Model) -> Iterator[None]:
    """Use the backend's fused batch normalization for Keras' layers while the block runs.

    Keras composes batch normalization of several operations, each a pass over the feature maps: two fifths of a
    training step of MobileNetV2 (``benchmarks/profile_step.py``). On JAX the compiler fuses them, and nothing changes.

    Parameters
    ----------
    model : keras.Model
        Any model. Affects its 2D batch normalization layers over the last axis, in training only. Compile inside the
        block, and again after it.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model = build_model("resnet18", width=8)
    >>> with fused_batch_normalization(model):
    ...     model.compile("sgd", "binary_crossentropy")
    """
    with ExitStack() as stack:
        if keras.backend.backend() in ("tensorflow", "torch"):
            for layer in filter(_can_be_fused, flatten_layers(model)):
                stack.enter_context(_replaced_call(layer, _fused_call(layer, layer.call)))
        yield


def _can_be_fused(layer: Any) -> bool:
    return (
        type(layer) is layers.BatchNormalization
        and layer.built
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and not layer.synchronized
        and not getattr(layer, "renorm", False)
        and layer.compute_dtype in ("float32", "bfloat16")
    )


def _fused_call(layer: layers.BatchNormalization, call: Callable[..., Any]) -> Callable[..., Any]:
    def fused(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        floating = keras.backend.standardize_dtype(inputs.dtype) in ("float32", "bfloat16")
        if not training or not layer.trainable or mask is not None or not floating:
            return call(inputs, training=training, mask=mask)
        ones = ops.ones_like(layer.moving_variance)
        scale = ops.convert_to_tensor(layer.gamma) if layer.scale else ones
        offset = ops.convert_to_tensor(layer.beta) if layer.center else ones * 0
        outputs, mean, variance = batch_normalization(inputs, scale, offset, layer.epsilon)
        for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + new * (1 - layer.momentum))
        return outputs

    return fused


@contextmanager
def _replaced_call(layer: Any, call: Callable[..., Any]) -> Iterator[None]:
    layer.call = call
    try:
        yield
    finally:
        del layer.call


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
