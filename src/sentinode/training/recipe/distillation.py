"""Learning from other networks: what they say of a patch takes the place of its label."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
from keras import ops

from sentinode.models.precision import mixed_precision


class Distillation(keras.layers.Layer):
    """Hands on what a network says, and adds to the loss how far it is from what its teachers say of the same pixels.

    A teacher says more than a label: how sure it is, also of patches that were changed at random (Hinton et al. 2015,
    Distilling the knowledge in a neural network; Beyer et al. 2022, Knowledge distillation: a good teacher is patient
    and consistent).

    Parameters
    ----------
    teachers
        Networks that take the pixels and give probabilities; the mean of what they say is the target.
    """

    def __init__(self, teachers: Sequence[keras.Model], **keywords: Any) -> None:
        super().__init__(dtype="float32", **keywords)
        # Where Keras does not look for weights: those of teachers are neither learned nor kept with the network's.
        self._teachers = lambda: teachers

    def call(self, pixels: Any, said: Any, training: bool = False) -> Any:
        """Add the loss in training."""
        if training:
            targets = [tumour(teacher(pixels, training=False)) for teacher in self._teachers()]
            target = ops.stop_gradient(sum(targets) / len(targets))
            self.add_loss(ops.mean(ops.binary_crossentropy(target, tumour(said))))
        return said


def tumour(outputs: Any) -> Any:
    """Return P(tumour), ``(n,)``, of one sigmoid or two softmax units."""
    return ops.cast(outputs[:, -1], "float32")


@contextmanager
def distilled(network: keras.Model, teachers: Sequence[keras.Model], precision: str) -> Iterator[keras.Model]:
    """Wrap a network for training: its teachers see what it sees, and their mean is what it learns.

    Parameters
    ----------
    network
        uint8 patches in. Its layers and weights are shared, not copied.
    teachers
        The same in; they stay as they are. With none, the network itself is given.
    precision
        That teachers compute in inside the block.
    """
    if not teachers:
        yield network
        return
    with ExitStack() as computing:
        for teacher in teachers:
            computing.enter_context(mixed_precision(teacher, precision))
        pixels = keras.Input(network.input_shape[1:], dtype="uint8", name="taught_patches")
        yield keras.Model(pixels, Distillation(teachers, name="teaching")(pixels, network(pixels)), name=network.name)
