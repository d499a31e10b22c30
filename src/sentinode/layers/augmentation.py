"""Random augmentation of patches in training: symmetry, affine, blur, stain, brightness, cutout.

`augmented` wraps a network for training; saved and exported models do not contain these layers. Each layer takes and
returns float32 pixels of shape (n, rows, columns, 3) from 0 to 255, draws a new change for each patch from its own
generator, and does nothing outside training.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from sentinode.data.stain.optical_density import STAIN_MATRIX, UNMIXING_MATRIX
from sentinode.layers.d4 import ORDER


class Augmentation(keras.layers.Layer):
    """Base class of the augmentation layers.

    Parameters
    ----------
    strength : float, default 1.0
        Factor on the limits of the layer.
    seed : int, optional
        Seed of the generator of the layer. By default it is drawn from Python's `random`.
    **kwargs
        Passed to `keras.layers.Layer`.
    """

    def __init__(self, strength: float = 1.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.strength = strength
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, pixels: Any, training: bool = False) -> Any:
        """Apply the change in training, and nothing otherwise."""
        return self.change(pixels) if training else pixels

    def change(self, pixels: Any) -> Any:
        """Return changed pixels."""
        raise NotImplementedError

    def draw(self, *shape: Any) -> Any:
        """Draw uniformly between -strength and strength."""
        return keras.random.uniform(shape, -self.strength, self.strength, seed=self.generator)

    def draw_integers(self, shape: tuple[Any, ...], below: int) -> Any:
        """Draw integers from 0 to ``below - 1``, independent of the strength."""
        # `keras.random.randint` does not support int32 on every backend.
        return ops.cast(keras.random.uniform(shape, 0, below, seed=self.generator), "int32")


class RandomStain(Augmentation):
    """Vary the strength of the stains.

    Separates the optical density into hematoxylin, eosin and a residual, multiplies each by up to 1 ± 0.15 and adds up
    to ± 0.05.

    References
    ----------
    D. Tellez et al. (2018), Whole-slide mitosis detection in H&E breast histology.

    Examples
    --------
    >>> gray = np.full((1, 2, 2, 3), 200, "float32")
    >>> bool((RandomStain(seed=0)(gray, training=True) != gray).numpy().any())
    True
    """

    def change(self, pixels: Any) -> Any:
        """Separate, scale and recombine the stains."""
        shape = ops.shape(pixels)
        # Transmittance from 1/256 to 1, so that black has a finite density. The matrices are the same for all patches:
        # one product per patch would be as slow as a convolution.
        density = ops.matmul(ops.reshape(-ops.log((pixels + 1) / 256), (-1, 3)), UNMIXING_MATRIX)
        density = ops.reshape(density, (shape[0], -1, 3))
        density = density * (1 + 0.15 * self.draw(shape[0], 1, 3)) + 0.05 * self.draw(shape[0], 1, 3)
        mixed = ops.matmul(ops.reshape(density, (-1, 3)), STAIN_MATRIX)
        return ops.reshape(256 * ops.exp(-mixed) - 1, shape)


class RandomBrightness(Augmentation):
    """Vary exposure and white balance.

    Multiplies all pixels of a patch by a factor of up to 1.35 or down to 1 / 1.35, and each color channel by a further
    factor of up to 1.05 or down to 1 / 1.05.

    Examples
    --------
    >>> gray = np.full((1, 2, 2, 3), 100, "float32")
    >>> RandomBrightness(seed=0)(gray, training=True).numpy()[0, 0, 0].std() > 0
    np.True_
    """

    def change(self, pixels: Any) -> Any:
        """Multiply by random factors."""
        count = ops.shape(pixels)[0]
        exposure = np.log(1.35) * self.draw(count, 1, 1, 1) + np.log(1.05) * self.draw(count, 1, 1, 3)
        return pixels * ops.exp(exposure)


class RandomAffine(Augmentation):
    """Rotate by up to ± 45°, scale by up to 12 % and shift by up to 4 px along both axes.

    Half of the patches are only shifted, by whole pixels: interpolation blurs, and the network has to see sharp patches
    as well. Borders are filled by reflection. The center moves by 6 px at most, so tumour in the central 32 px stays
    near it, and only few labels become inexact.

    Examples
    --------
    >>> RandomAffine(seed=0)(np.zeros((2, 96, 96, 3), "float32"), training=True).shape
    TensorShape([2, 96, 96, 3])
    """

    def change(self, pixels: Any) -> Any:
        """Resample each patch by a random affine transform."""
        count, center = ops.shape(pixels)[0], (pixels.shape[1] - 1) / 2
        rotated = ops.cast(self.draw_integers((count,), 2), "float32")
        angle, size = np.pi / 4 * self.draw(count) * rotated, ops.exp(0.12 * self.draw(count) * rotated)
        shifts = (4 * self.draw(count) for _ in range(2))
        down, right = (ops.where(rotated > 0, shift, ops.round(shift)) for shift in shifts)
        cos, sin, zero = ops.cos(angle) * size, ops.sin(angle) * size, ops.zeros_like(angle)
        rows = [
            *(cos, -sin, center - center * cos + center * sin + right),
            *(sin, cos, center - center * sin - center * cos + down),
            *(zero, zero),
        ]
        return ops.image.affine_transform(
            pixels, ops.stack(rows, axis=1), fill_mode="reflect", data_format="channels_last"
        )


class RandomCutout(Augmentation):
    """Fill bands at the borders of 40 % of the patches with the gray of glass, never the central 32 px.

    Examples
    --------
    >>> covered = RandomCutout(seed=0)(np.zeros((64, 96, 96, 3), "float32"), training=True).numpy()
    >>> covered[:, 32:64, 32:64].max(), covered.max() > 0
    (np.float32(0.0), np.True_)
    """

    def change(self, pixels: Any) -> Any:
        """Fill random bands."""
        count, side = ops.shape(pixels)[0], pixels.shape[1]
        widest = int((side - 32) / 2 * 0.75 * min(self.strength, 4 / 3))
        chosen = ops.cast(self.draw_integers((count, 1), 10) < 4, "int32")
        bands = self.draw_integers((count, 4), widest + 1) * chosen
        place = ops.arange(side)[None]
        rows, columns = (
            ops.logical_and(place >= bands[:, first : first + 1], place < side - bands[:, first + 1 : first + 2])
            for first in (0, 2)
        )
        visible = ops.cast(ops.logical_and(rows[:, :, None], columns[:, None, :]), "float32")[..., None]
        return pixels * visible + 230 * (1 - visible)


class RandomSymmetry(Augmentation):
    """Rotate or reflect each patch by one of the eight symmetries of the square.

    For networks that are not equivariant by construction.

    Examples
    --------
    >>> patch = np.arange(12, dtype="float32").reshape(1, 2, 2, 3)
    >>> sorted(RandomSymmetry(seed=0)(patch, training=True).numpy().ravel().tolist()) == list(range(12))
    True
    """

    def change(self, pixels: Any) -> Any:
        """Apply three generators of the group, each to the patches whose bit is set."""
        number = self.draw_integers((ops.shape(pixels)[0], 1, 1, 1), ORDER)
        for bit, changed in (
            (1, lambda x: ops.flip(x, axis=1)),
            (2, lambda x: ops.flip(x, axis=2)),
            (4, lambda x: ops.transpose(x, (0, 2, 1, 3))),
        ):
            pixels = ops.where(ops.bitwise_and(number, bit) > 0, changed(pixels), pixels)
        return pixels


class RandomBlur(Augmentation):
    """Blur half of the patches slightly.

    Mixes the patch with its 3 × 3 binomial blur by a random fraction of up to the strength.

    Examples
    --------
    >>> RandomBlur(seed=0)(np.ones((1, 5, 5, 3), "float32"), training=True).numpy().round(3).min()
    np.float32(1.0)
    """

    def change(self, pixels: Any) -> Any:
        """Mix with the blurred patch."""
        fraction = ops.clip(self.draw(ops.shape(pixels)[0], 1, 1, 1), 0, 1)
        blurred = pixels
        for axis in (1, 2):
            last = pixels.shape[axis] - 1
            before = ops.take(blurred, [0, *range(last)], axis=axis)
            after = ops.take(blurred, [*range(1, last + 1), last], axis=axis)
            blurred = (before + 2 * blurred + after) / 4
        return pixels + fraction * (blurred - pixels)


AUGMENTATIONS: Mapping[str, type[Augmentation]] = {
    "symmetry": RandomSymmetry,
    "affine": RandomAffine,
    "blur": RandomBlur,
    "stain": RandomStain,
    "brightness": RandomBrightness,
    "cutout": RandomCutout,
}


def augmented(model: keras.Model, names: tuple[str, ...], strength: float) -> keras.Model:
    """Wrap a network with augmentation layers for training.

    Parameters
    ----------
    model : keras.Model
        Takes uint8 patches. Its layers and weights are shared, not copied.
    names : tuple of str
        Keys of `AUGMENTATIONS`. They are applied in the order of that mapping.
    strength : float
        Factor on the limits of all augmentations.

    Returns
    -------
    keras.Model
        Takes uint8 patches. The model itself when `names` is empty.

    Examples
    --------
    >>> from sentinode import build_model
    >>> model = build_model("cnn")
    >>> wrapped = augmented(model, ("stain", "affine"), 1.0)
    >>> wrapped.count_params() == model.count_params(), [layer.name for layer in wrapped.layers][1:3]
    (True, ['as_float', 'random_affine'])
    """
    if not names:
        return model
    patches = keras.Input(model.input_shape[1:], dtype="uint8", name="augmented_patches")
    x = ToFloat(name="as_float")(patches)
    for name, layer in AUGMENTATIONS.items():
        if name in names:
            x = layer(strength, name=f"random_{name}")(x)
    return keras.Model(patches, model(ToPixels(name="as_pixels")(x)), name=f"augmented_{model.name}")


class ToFloat(keras.layers.Layer):
    """Convert uint8 pixels to float32."""

    def call(self, pixels: Any) -> Any:
        """Cast."""
        return ops.cast(pixels, "float32")


class ToPixels(keras.layers.Layer):
    """Convert float32 pixels to uint8, the input type of all networks."""

    def call(self, pixels: Any) -> Any:
        """Round and clip to 0–255."""
        return ops.cast(ops.clip(ops.round(pixels), 0, 255), "uint8")
