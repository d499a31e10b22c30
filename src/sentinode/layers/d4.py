"""Layers that know that tissue has no up: equivariant to the eight symmetries of the square, the group D4.

A feature map has its channels in eight blocks of the same size, one for each symmetry. When the image is turned or
mirrored, the map is turned or mirrored with it, and its blocks change places; a mean over positions and blocks then
stays what it was. Kernels of all blocks are one kernel, turned and mirrored, so a layer is an ordinary convolution
whose kernel is put together anew from its few free weights in every step (Cohen & Welling 2016, Group equivariant
convolutional networks).
"""

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from sentinode.layers.fused import normalise

ORDER = 8


def _symmetries() -> list[np.ndarray]:
    """Return the matrices that act on (row, column): four turns, then the same after a mirror."""
    quarter, mirror = np.array([[0, -1], [1, 0]]), np.array([[1, 0], [0, -1]])
    return [
        np.linalg.matrix_power(quarter, turns) @ np.linalg.matrix_power(mirror, mirrored)
        for mirrored, turns in itertools.product(range(2), range(4))
    ]


SYMMETRIES = _symmetries()


def _number(matrix: np.ndarray) -> int:
    return next(number for number, other in enumerate(SYMMETRIES) if np.array_equal(matrix, other))


def apply_symmetry(pixels: np.ndarray, symmetry: int) -> np.ndarray:
    """Turn and mirror images of shape ``(n, side, side, channels)`` by one of the eight symmetries.

    Examples
    --------
    >>> apply_symmetry(np.array([[[[1], [2]], [[3], [4]]]]), 1)[0, :, :, 0].tolist()
    [[2, 4], [1, 3]]
    """
    side = pixels.shape[1]
    flat = pixels.reshape(len(pixels), side * side, -1)
    return flat[:, _places(side, symmetry)].reshape(pixels.shape)


def _places(side: int, symmetry: int) -> np.ndarray:
    """Return from which place of a square each place of the turned square takes its value; both in row-major order."""
    # Twice the distance from the centre, so that an even side has whole numbers too.
    doubled = np.array(list(itertools.product(range(side), repeat=2))) * 2 - (side - 1)
    rows, columns = ((doubled @ SYMMETRIES[symmetry] + side - 1) // 2).T
    return rows * side + columns


def kernel_table(side: int, blocks_in: int) -> np.ndarray:
    """Return which row of the free weights stands at each place of the whole kernel.

    Parameters
    ----------
    side
        Of the kernel, in px.
    blocks_in
        1 for a kernel on an image, 8 for one on a feature map.

    Returns
    -------
    numpy.ndarray
        int32, shape ``(side * side, blocks_in, 8)``: by place, block that comes in, block that goes out. A row number
        counts the places of the free kernel and, within one, its blocks.

    Examples
    --------
    >>> kernel_table(1, 8)[0, :, 0].tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    table = np.empty((side * side, blocks_in, ORDER), dtype=np.int32)
    for out, matrix in enumerate(SYMMETRIES):
        # What a block sees is what the first block sees of the image that is turned back.
        inverse = matrix.T
        blocks = [_number(inverse @ SYMMETRIES[block]) if blocks_in > 1 else 0 for block in range(blocks_in)]
        table[:, :, out] = _places(side, out)[:, None] * blocks_in + np.array(blocks)
    return table


@keras.saving.register_keras_serializable("sentinode")
class D4Conv(keras.layers.Layer):
    """A convolution without padding that is equivariant to turns by 90° and mirrors.

    Parameters
    ----------
    filters
        Channels of each of the eight blocks that go out.
    kernel_size, strides
        In px. Where ``(side - kernel_size) / strides`` is not whole, the last rows and columns would be left out, and
        the symmetry lost: that is refused.
    lift
        True for an image; False for a feature map of eight blocks.
    use_bias
        One number a filter, shared by the blocks.

    Examples
    --------
    >>> D4Conv(4, 3, lift=True)(np.zeros((1, 9, 9, 3), np.float32)).shape[1:]
    TensorShape([7, 7, 32])
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        lift: bool = False,
        use_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides
        self.lift, self.use_bias = lift, use_bias

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the free weights."""
        blocks, side = 1 if self.lift else ORDER, self.kernel_size
        self._channels = channels_a_block(input_shape[-1], blocks)
        fan_in = side * side * blocks * self._channels
        # Of He et al. 2015; Keras' own would take this shape's fan for another.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(side * side * blocks, self._channels, self.filters),
            initializer=keras.initializers.RandomNormal(stddev=(2 / fan_in) ** 0.5),
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros") if self.use_bias else None
        self._table = kernel_table(side, blocks)

    def whole_kernel(self) -> Any:
        """Return the kernel of the ordinary convolution that this layer is: ``(side, side, channels, 8 * filters)``."""
        side = self.kernel_size
        places, blocks, _ = self._table.shape
        kernel = ops.take(ops.cast(self.kernel, self.compute_dtype), self._table.ravel(), axis=0)
        kernel = ops.reshape(kernel, (places, blocks, ORDER, self._channels, self.filters))
        kernel = ops.transpose(kernel, (0, 1, 3, 2, 4))
        return ops.reshape(kernel, (side, side, blocks * self._channels, ORDER * self.filters))

    def whole_bias(self) -> Any:
        """Return the bias of that convolution, ``(8 * filters,)``."""
        return ops.tile(ops.cast(self.bias, self.compute_dtype), (ORDER,))

    def call(self, inputs: Any) -> Any:
        """Convolve."""
        outputs = ops.conv(inputs, self.whole_kernel(), self.strides, padding="valid", data_format="channels_last")
        return outputs if self.bias is None else outputs + self.whole_bias()

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape that comes out."""
        sides = [None if side is None else self._side(side) for side in input_shape[1:3]]
        return (input_shape[0], *sides, ORDER * self.filters)

    def _side(self, side: int) -> int:
        whole, rest = divmod(side - self.kernel_size, self.strides)
        if rest or whole < 0:
            raise ValueError(
                f"{self.name}: a side of {side} px is not {self.kernel_size} px and a multiple of {self.strides} px"
            )
        return whole + 1

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = ("filters", "kernel_size", "strides", "lift", "use_bias")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def channels_a_block(channels: int | None, blocks: int = ORDER) -> int:
    """Return how many channels each block has.

    Raises
    ------
    ValueError
        They cannot be shared out evenly.
    """
    if not channels or channels % blocks:
        raise ValueError(f"{channels} channels are not {blocks} blocks of the same size")
    return channels // blocks


@keras.saving.register_keras_serializable("sentinode")
class D4Norm(keras.layers.Layer):
    """Batch normalisation whose scale, offset and running statistics are shared by the eight blocks.

    While training, each channel is normalised by its own statistics of the batch, which one fused operation gives; in
    the mean over batches those of the eight blocks are the same. What is kept for predicting is their mean, so a
    prediction is exactly symmetric.

    Parameters
    ----------
    momentum
        Part of the running statistics that is kept in every step.
    epsilon
        Added to the variance.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make scale, offset and running statistics; they are never cast to bfloat16."""
        shape = (channels_a_block(input_shape[-1]),)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", autocast=False)
        fixed: dict[str, Any] = {"shape": shape, "trainable": False, "autocast": False}
        self.mean = self.add_weight(name="mean", initializer="zeros", **fixed)
        self.variance = self.add_weight(name="variance", initializer="ones", **fixed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Normalise."""
        if training and self.trainable:
            scale, offset = (ops.tile(ops.convert_to_tensor(weight), (ORDER,)) for weight in (self.gamma, self.beta))
            outputs, mean, variance = normalise(inputs, scale, offset, self.epsilon)
            for kept, new in ((self.mean, mean), (self.variance, variance)):
                shared = ops.mean(ops.reshape(new, (ORDER, -1)), axis=0)
                kept.assign(kept * self.momentum + shared * (1 - self.momentum))
            return outputs
        factor, shift = (ops.cast(ops.tile(each, (ORDER,)), inputs.dtype) for each in self.affine())
        return inputs * factor + shift

    def affine(self) -> tuple[Any, Any]:
        """Return the factor and the shift that predicting applies to each channel of a block."""
        factor = self.gamma * ops.rsqrt(self.variance + self.epsilon)
        return factor, self.beta - self.mean * factor

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable("sentinode")
class D4Pool(keras.layers.Layer):
    """The mean over the eight blocks, which no symmetry changes.

    Examples
    --------
    >>> D4Pool()(np.arange(16, dtype=np.float32)[None]).numpy().tolist()
    [[7.0, 8.0]]
    """

    def call(self, inputs: Any) -> Any:
        """Take the mean; the last axis gets an eighth as long."""
        shape = ops.shape(inputs)
        blocks = ops.reshape(inputs, (*shape[:-1], ORDER, channels_a_block(inputs.shape[-1])))
        return ops.mean(blocks, axis=-2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape that comes out."""
        return (*input_shape[:-1], channels_a_block(input_shape[-1]))


@keras.saving.register_keras_serializable("sentinode")
class D4Concatenate(keras.layers.Layer):
    """Feature maps of the same side as one: its first block is made of their first blocks, and so on.

    Examples
    --------
    >>> one, other = np.zeros((1, 8), np.float32), np.ones((1, 16), np.float32)
    >>> D4Concatenate()([one, other]).numpy()[0, :6].tolist()
    [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
    """

    def call(self, inputs: list[Any]) -> Any:
        """Concatenate block by block."""
        shape = ops.shape(inputs[0])
        blocks = [ops.reshape(each, (*shape[:-1], ORDER, channels_a_block(each.shape[-1]))) for each in inputs]
        return ops.reshape(ops.concatenate(blocks, axis=-1), (*shape[:-1], sum(each.shape[-1] for each in inputs)))

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return the shape that comes out."""
        return (*input_shape[0][:-1], ORDER * sum(channels_a_block(shape[-1]) for shape in input_shape))
