"""Random changes of a patch that leave its label true: stain, light, placement, borders, orientation, focus.

They wrap a network in training alone (`augmented`); what is saved, exported and predicted with has none of them. Each
layer takes and gives float32 ``(n, rows, columns, 3)`` on the scale of grey levels, draws anew for each patch from a
generator of its own, and does nothing outside training.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from sentinode.data.stain.optical_density import STAIN_MATRIX, UNMIXING_MATRIX
from sentinode.layers.d4 import ORDER


class Augmentation(keras.layers.Layer):
    """What the random layers share.

    Parameters
    ----------
    strength
        1 is what the layer's own limits say; 0.5 half as far.
    seed
        Of the layer's generator; drawn from Python's `random` when left out.
    """

    def __init__(self, strength: float = 1.0, seed: int | None = None, **keywords: Any) -> None:
        super().__init__(dtype="float32", **keywords)
        self.strength = strength
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, pixels: Any, training: bool = False) -> Any:
        """Change the patches in training."""
        return self.change(pixels) if training else pixels

    def change(self, pixels: Any) -> Any:
        """Change the patches."""
        raise NotImplementedError

    def draw(self, *shape: Any) -> Any:
        """Return numbers evenly spread between −strength and strength."""
        return keras.random.uniform(shape, -self.strength, self.strength, seed=self.generator)

    def draw_whole(self, shape: tuple[Any, ...], below: int) -> Any:
        """Return whole numbers from 0 to ``below - 1``, whatever the strength."""
        # `randint` draws no int32 on every backend.
        return ops.cast(keras.random.uniform(shape, 0, below, seed=self.generator), "int32")


class RandomStain(Augmentation):
    """Stain each patch more or less strongly, as another laboratory might.

    The colours are unmixed into haematoxylin, eosin and a rest; each is multiplied by up to 1 ± 0.15 and gets up to
    ± 0.05 optical density more (Tellez et al. 2018, Whole-slide mitosis detection in H&E breast histology).

    Examples
    --------
    >>> grey = np.full((1, 2, 2, 3), 200, "float32")
    >>> bool((RandomStain(seed=0)(grey, training=True) != grey).numpy().any())
    True
    """

    def change(self, pixels: Any) -> Any:
        """Unmix, scale, mix."""
        shape = ops.shape(pixels)
        # 256 levels between 1/256 and 1, so that black has a density; products of fixed matrices are cheap, one a
        # patch would cost as much as a network's convolution.
        density = ops.matmul(ops.reshape(-ops.log((pixels + 1) / 256), (-1, 3)), UNMIXING_MATRIX)
        density = ops.reshape(density, (shape[0], -1, 3))
        density = density * (1 + 0.15 * self.draw(shape[0], 1, 3)) + 0.05 * self.draw(shape[0], 1, 3)
        mixed = ops.matmul(ops.reshape(density, (-1, 3)), STAIN_MATRIX)
        return ops.reshape(256 * ops.exp(-mixed) - 1, shape)


class RandomBrightness(Augmentation):
    """Expose each patch more or less, as another scanner or another white balance does.

    All grey levels are multiplied by one number, up to 1.35 or down to 1 / 1.35, and each colour by one of its own, up
    to 1.05. Without it a network trained at one brightness fails at
    another.

    Examples
    --------
    >>> grey = np.full((1, 2, 2, 3), 100, "float32")
    >>> RandomBrightness(seed=0)(grey, training=True).numpy()[0, 0, 0].std() > 0
    np.True_
    """

    def change(self, pixels: Any) -> Any:
        """Multiply."""
        count = ops.shape(pixels)[0]
        exposure = np.log(1.35) * self.draw(count, 1, 1, 1) + np.log(1.05) * self.draw(count, 1, 1, 3)
        return pixels * ops.exp(exposure)


class RandomAffine(Augmentation):
    """Turn each patch by up to ± 45°, scale it by up to 12 %, shift it by up to 4 px along both axes.

    Half of the patches are only shifted, by whole pixels: turning and scaling blur a little, and a network that never
    sees a sharp patch does not know what to make of one. What is missing is mirrored. The middle moves by 6 px at most,
    so tumour in the central 32 px stays there or near: a few labels are no longer exact, and the network learns that
    the border of that square is not sharp.

    Examples
    --------
    >>> RandomAffine(seed=0)(np.zeros((2, 96, 96, 3), "float32"), training=True).shape
    TensorShape([2, 96, 96, 3])
    """

    def change(self, pixels: Any) -> Any:
        """Look each pixel up at its place before the change."""
        count, centre = ops.shape(pixels)[0], (pixels.shape[1] - 1) / 2
        turned = ops.cast(self.draw_whole((count,), 2), "float32")
        angle, size = np.pi / 4 * self.draw(count) * turned, ops.exp(0.12 * self.draw(count) * turned)
        shifts = (4 * self.draw(count) for _ in range(2))
        down, right = (ops.where(turned > 0, shift, ops.round(shift)) for shift in shifts)
        cos, sin, zero = ops.cos(angle) * size, ops.sin(angle) * size, ops.zeros_like(angle)
        rows = [
            *(cos, -sin, centre - centre * cos + centre * sin + right),
            *(sin, cos, centre - centre * sin - centre * cos + down),
            *(zero, zero),
        ]
        return ops.image.affine_transform(
            pixels, ops.stack(rows, axis=1), fill_mode="reflect", data_format="channels_last"
        )


class RandomCutout(Augmentation):
    """Cover bands at the borders of four patches in ten with the grey of glass, never the central 32 px.

    Examples
    --------
    >>> covered = RandomCutout(seed=0)(np.zeros((64, 96, 96, 3), "float32"), training=True).numpy()
    >>> covered[:, 32:64, 32:64].max(), covered.max() > 0
    (np.float32(0.0), np.True_)
    """

    def change(self, pixels: Any) -> Any:
        """Cover."""
        count, side = ops.shape(pixels)[0], pixels.shape[1]
        widest = int((side - 32) / 2 * 0.75 * min(self.strength, 4 / 3))
        chosen = ops.cast(self.draw_whole((count, 1), 10) < 4, "int32")
        bands = self.draw_whole((count, 4), widest + 1) * chosen
        place = ops.arange(side)[None]
        rows, columns = (
            ops.logical_and(place >= bands[:, first : first + 1], place < side - bands[:, first + 1 : first + 2])
            for first in (0, 2)
        )
        seen = ops.cast(ops.logical_and(rows[:, :, None], columns[:, None, :]), "float32")[..., None]
        return pixels * seen + 230 * (1 - seen)


class RandomSymmetry(Augmentation):
    """Turn and mirror each patch by one of the eight symmetries of the square: for networks that do not know them.

    Examples
    --------
    >>> patch = np.arange(12, dtype="float32").reshape(1, 2, 2, 3)
    >>> sorted(RandomSymmetry(seed=0)(patch, training=True).numpy().ravel().tolist()) == list(range(12))
    True
    """

    def change(self, pixels: Any) -> Any:
        """Mirror and turn those whose number says so; the three bits of a number are the group's generators."""
        number = self.draw_whole((ops.shape(pixels)[0], 1, 1, 1), ORDER)
        for bit, changed in (
            (1, lambda x: ops.flip(x, axis=1)),
            (2, lambda x: ops.flip(x, axis=2)),
            (4, lambda x: ops.transpose(x, (0, 2, 1, 3))),
        ):
            pixels = ops.where(ops.bitwise_and(number, bit) > 0, changed(pixels), pixels)
        return pixels


class RandomBlur(Augmentation):
    """Blur half of the patches a little, as JPEG, another scanner or another focus does.

    A mean of the patch and of its neighbours (weights 1, 2, 1 along both axes), by a share of up to the strength.

    Examples
    --------
    >>> RandomBlur(seed=0)(np.ones((1, 5, 5, 3), "float32"), training=True).numpy().round(3).min()
    np.float32(1.0)
    """

    def change(self, pixels: Any) -> Any:
        """Mix with the blurred patch."""
        share = ops.clip(self.draw(ops.shape(pixels)[0], 1, 1, 1), 0, 1)
        blurred = pixels
        for axis in (1, 2):
            last = pixels.shape[axis] - 1
            before = ops.take(blurred, [0, *range(last)], axis=axis)
            after = ops.take(blurred, [*range(1, last + 1), last], axis=axis)
            blurred = (before + 2 * blurred + after) / 4
        return pixels + share * (blurred - pixels)


AUGMENTATIONS: Mapping[str, type[Augmentation]] = {
    "symmetry": RandomSymmetry,
    "affine": RandomAffine,
    "blur": RandomBlur,
    "stain": RandomStain,
    "brightness": RandomBrightness,
    "cutout": RandomCutout,
}


def augmented(model: keras.Model, names: tuple[str, ...], strength: float) -> keras.Model:
    """Wrap a network for training: its patches are changed at random before it sees them.

    Parameters
    ----------
    model
        uint8 patches in. Its layers and weights are shared, not copied.
    names
        Of `AUGMENTATIONS`; applied in their order there. With none, the model itself is returned.
    strength
        How far patches are changed.

    Returns
    -------
    keras.Model
        uint8 patches in, what the model gives out.

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
    """Grey levels as float32."""

    def call(self, pixels: Any) -> Any:
        """Cast."""
        return ops.cast(pixels, "float32")


class ToPixels(keras.layers.Layer):
    """Whole grey levels again: networks take uint8, and so do the files that they will meet."""

    def call(self, pixels: Any) -> Any:
        """Round, and keep within 0 and 255."""
        return ops.cast(ops.clip(ops.round(pixels), 0, 255), "uint8")
