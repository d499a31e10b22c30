"""Layers that are equivariant to the eight rotations and reflections of the square, the group D4.

The channels of a feature map form eight orientation blocks of equal size. Rotating or reflecting the image rotates or
reflects the feature map and permutes its blocks, so a mean over positions and blocks does not change. All blocks share
one kernel in its eight orientations: a layer is an ordinary convolution whose kernel is assembled from the shared
weights.

References
----------
T. Cohen and M. Welling (2016), Group equivariant convolutional networks.
"""

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from sentinode.keras_compat.batch_normalization import batch_normalization

ORDER = 8


def _symmetries() -> list[np.ndarray]:
    """Return matrices that act on (row, column): four rotations, then the same after a reflection."""
    quarter, mirror = np.array([[0, -1], [1, 0]]), np.array([[1, 0], [0, -1]])
    return [
        np.linalg.matrix_power(quarter, turns) @ np.linalg.matrix_power(mirror, mirrored)
        for mirrored, turns in itertools.product(range(2), range(4))
    ]


SYMMETRIES = _symmetries()


def _number(matrix: np.ndarray) -> int:
    return next(number for number, other in enumerate(SYMMETRIES) if np.array_equal(matrix, other))


def apply_symmetry(pixels: np.ndarray, symmetry: int) -> np.ndarray:
    """Rotate or reflect square images by one of the eight symmetries.

    Parameters
    ----------
    pixels : ndarray of shape (n, side, side, channels)
    symmetry : int
        0 (identity) to 7. 1 to 3 rotate by multiples of 90°, 4 to 7 reflect first.

    Returns
    -------
    ndarray of shape (n, side, side, channels)

    Examples
    --------
    >>> apply_symmetry(np.array([[[[1], [2]], [[3], [4]]]]), 1)[0, :, :, 0].tolist()
    [[2, 4], [1, 3]]
    """
    side = pixels.shape[1]
    flat = pixels.reshape(len(pixels), side * side, -1)
    return flat[:, _places(side, symmetry)].reshape(pixels.shape)


def _places(side: int, symmetry: int) -> np.ndarray:
    """Return for each pixel of the transformed square, in row-major order, the index of its source pixel."""
    # Twice the distance from the center is an integer for even sides too.
    doubled = np.array(list(itertools.product(range(side), repeat=2))) * 2 - (side - 1)
    rows, columns = ((doubled @ SYMMETRIES[symmetry] + side - 1) // 2).T
    return rows * side + columns


def kernel_table(side: int, blocks_in: int) -> np.ndarray:
    """Map each entry of the full kernel to a row of the shared weights.

    Parameters
    ----------
    side : int
        Side of the kernel, in px.
    blocks_in : int
        Orientation blocks of the input: 1 for an image, 8 for a feature map.

    Returns
    -------
    ndarray of shape (side * side, blocks_in, 8)
        int32 row numbers, indexed by position, input block and output block.

    Examples
    --------
    >>> kernel_table(1, 8)[0, :, 0].tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    table = np.empty((side * side, blocks_in, ORDER), dtype=np.int32)
    for out, matrix in enumerate(SYMMETRIES):
        # A block of the output equals the first block for the image transformed by the inverse.
        inverse = matrix.T
        blocks = [_number(inverse @ SYMMETRIES[block]) if blocks_in > 1 else 0 for block in range(blocks_in)]
        table[:, :, out] = _places(side, out)[:, None] * blocks_in + np.array(blocks)
    return table


@keras.saving.register_keras_serializable("sentinode")
class D4Conv(keras.layers.Layer):
    """Convolution without padding that is equivariant to rotations by 90° and reflections.

    Parameters
    ----------
    filters : int
        Channels of each of the eight output blocks.
    kernel_size, strides : int
        In px. ``(side - kernel_size) / strides`` must be an integer; otherwise the last rows and columns would be
        ignored, which breaks the equivariance.
    lift : bool, default False
        True for an image as input, False for a feature map with eight blocks.
    use_bias : bool, default False
        Whether to add one bias per filter, shared by the blocks.
    zero_sum : bool, default False
        Whether the mean of each kernel is subtracted from it: a constant that is added to the input changes nothing.
    **kwargs
        Passed to `keras.layers.Layer`.

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
        zero_sum: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides
        self.lift, self.use_bias, self.zero_sum = lift, use_bias, zero_sum

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the shared weights."""
        blocks, side = 1 if self.lift else ORDER, self.kernel_size
        self._channels = channels_per_block(input_shape[-1], blocks)
        fan_in = side * side * blocks * self._channels
        # He et al. (2015); Keras' own initializer would derive another fan-in from this shape.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(side * side * blocks, self._channels, self.filters),
            initializer=keras.initializers.RandomNormal(stddev=(2 / fan_in) ** 0.5),
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros") if self.use_bias else None
        self._table = kernel_table(side, blocks)

    def full_kernel(self) -> Any:
        """Return the kernel of the equivalent ordinary convolution: (side, side, channels, 8 * filters)."""
        side = self.kernel_size
        places, blocks, _ = self._table.shape
        kernel = ops.take(ops.cast(self.kernel, self.compute_dtype), self._table.ravel(), axis=0)
        kernel = ops.reshape(kernel, (places, blocks, ORDER, self._channels, self.filters))
        kernel = ops.transpose(kernel, (0, 1, 3, 2, 4))
        kernel = ops.reshape(kernel, (side, side, blocks * self._channels, ORDER * self.filters))
        return kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True) if self.zero_sum else kernel

    def full_bias(self) -> Any:
        """Return the bias of the equivalent ordinary convolution: (8 * filters,)."""
        return ops.tile(ops.cast(self.bias, self.compute_dtype), (ORDER,))

    def call(self, inputs: Any) -> Any:
        """Convolve images or feature maps of shape (n, rows, columns, channels)."""
        outputs = ops.conv(inputs, self.full_kernel(), self.strides, padding="valid", data_format="channels_last")
        return outputs if self.bias is None else outputs + self.full_bias()

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape."""
        sides = [None if side is None else self._side(side) for side in input_shape[1:3]]
        return (input_shape[0], *sides, ORDER * self.filters)

    def _side(self, side: int) -> int:
        whole, rest = divmod(side - self.kernel_size, self.strides)
        if rest or whole < 0:
            raise ValueError(
                f"{self.name}: a side of {side} px does not fit a kernel of {self.kernel_size} px with a stride of "
                f"{self.strides} px; side - kernel must be a multiple of the stride"
            )
        return whole + 1

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        own = ["filters", "kernel_size", "strides", "lift", "use_bias"]
        own += ["zero_sum"] if self.zero_sum else []  # Networks saved before it existed are to compare equal.
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def channels_per_block(channels: int | None, blocks: int = ORDER) -> int:
    """Return the number of channels of each orientation block.

    Parameters
    ----------
    channels : int or None
        Channels of the feature map.
    blocks : int, default 8

    Raises
    ------
    ValueError
        The number of channels is not a multiple of the number of blocks.
    """
    if not channels or channels % blocks:
        raise ValueError(f"{channels} channels cannot be divided into {blocks} blocks of equal size")
    return channels // blocks


@keras.saving.register_keras_serializable("sentinode")
class D4Norm(keras.layers.Layer):
    """Batch normalization with scale, offset and moving statistics shared by the eight blocks.

    In training, each channel is normalized by its own batch statistics, which allows a fused operation; in expectation
    they are equal in all blocks. The moving statistics are means over the blocks, so inference is exactly equivariant.

    Parameters
    ----------
    momentum : float, default 0.99
        Part of the moving statistics that is kept per step.
    epsilon : float, default 1e-3
        Added to the variance.
    **kwargs
        Passed to `keras.layers.Layer`.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create scale, offset and moving statistics, which always stay float32."""
        shape = (channels_per_block(input_shape[-1]),)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", autocast=False)
        fixed: dict[str, Any] = {"shape": shape, "trainable": False, "autocast": False}
        self.mean = self.add_weight(name="mean", initializer="zeros", **fixed)
        self.variance = self.add_weight(name="variance", initializer="ones", **fixed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Normalize a feature map of shape (n, rows, columns, channels)."""
        if training and self.trainable:
            scale, offset = (ops.tile(ops.convert_to_tensor(weight), (ORDER,)) for weight in (self.gamma, self.beta))
            outputs, mean, variance = batch_normalization(inputs, scale, offset, self.epsilon)
            for moving, new in ((self.mean, mean), (self.variance, variance)):
                shared = ops.mean(ops.reshape(new, (ORDER, -1)), axis=0)
                moving.assign(moving * self.momentum + shared * (1 - self.momentum))
            return outputs
        factor, shift = (ops.cast(ops.tile(each, (ORDER,)), inputs.dtype) for each in self.affine())
        return inputs * factor + shift

    def affine(self) -> tuple[Any, Any]:
        """Return factor and offset that inference applies to each channel of a block."""
        factor = self.gamma * ops.rsqrt(self.variance + self.epsilon)
        return factor, self.beta - self.mean * factor

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable("sentinode")
class D4Pool(keras.layers.Layer):
    """Average over the eight orientation blocks, which is invariant to rotations and reflections.

    Examples
    --------
    >>> D4Pool()(np.arange(16, dtype=np.float32)[None]).numpy().tolist()
    [[7.0, 8.0]]
    """

    def call(self, inputs: Any) -> Any:
        """Average; the last axis becomes eight times shorter."""
        shape = ops.shape(inputs)
        blocks = ops.reshape(inputs, (*shape[:-1], ORDER, channels_per_block(inputs.shape[-1])))
        return ops.mean(blocks, axis=-2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape."""
        return (*input_shape[:-1], channels_per_block(input_shape[-1]))


@keras.saving.register_keras_serializable("sentinode")
class D4Concatenate(keras.layers.Layer):
    """Concatenate feature maps of equal size block by block.

    Examples
    --------
    >>> one, other = np.zeros((1, 8), np.float32), np.ones((1, 16), np.float32)
    >>> D4Concatenate()([one, other]).numpy()[0, :6].tolist()
    [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
    """

    def call(self, inputs: list[Any]) -> Any:
        """Concatenate a list of feature maps."""
        shape = ops.shape(inputs[0])
        blocks = [ops.reshape(each, (*shape[:-1], ORDER, channels_per_block(each.shape[-1]))) for each in inputs]
        return ops.reshape(ops.concatenate(blocks, axis=-1), (*shape[:-1], sum(each.shape[-1] for each in inputs)))

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return the output shape."""
        return (*input_shape[0][:-1], ORDER * sum(channels_per_block(shape[-1]) for shape in input_shape))
