"""Knowledge distillation: the predictions of teachers replace the labels."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
from keras import ops

from sentinode.models.precision import mixed_precision


class Distillation(keras.layers.Layer):
    """Add the cross-entropy between student and teachers on the same pixels to the loss.

    Teachers see the same augmented patches as the student.

    Parameters
    ----------
    teachers : sequence of keras.Model
        Networks from pixels to probabilities. The target is the probability of the mean of their logits.
    **kwargs
        Passed to `keras.layers.Layer`.

    References
    ----------
    G. Hinton et al. (2015), Distilling the knowledge in a neural network.
    L. Beyer et al. (2022), Knowledge distillation: A good teacher is patient and consistent.
    """

    def __init__(self, teachers: Sequence[keras.Model], **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        # In a closure Keras does not find their weights, which are neither trained nor saved.
        self._teachers = lambda: teachers

    def call(self, pixels: Any, outputs: Any, training: bool = False) -> Any:
        """Return the outputs of the student; add the loss in training."""
        if training:
            # A probability that rounds to 0 or 1 would have an infinite logit.
            predictions = [
                ops.clip(tumour_probability(teacher(pixels, training=False)), 1e-6, 1 - 1e-6)
                for teacher in self._teachers()
            ]
            logits = [ops.log(prediction / (1 - prediction)) for prediction in predictions]
            target = ops.stop_gradient(ops.sigmoid(sum(logits) / len(logits)))
            self.add_loss(ops.mean(ops.binary_crossentropy(target, tumour_probability(outputs))))
        return outputs


def tumour_probability(outputs: Any) -> Any:
    """Return P(tumour), of shape (n,), from the outputs of one sigmoid or two softmax units."""
    return ops.cast(outputs[:, -1], "float32")


@contextmanager
def distilled(student: keras.Model, teachers: Sequence[keras.Model], precision: str) -> Iterator[keras.Model]:
    """Wrap a student with its teachers for training.

    Parameters
    ----------
    student : keras.Model
        Takes uint8 patches. Its layers and weights are shared, not copied.
    teachers : sequence of keras.Model
        They are not trained.
    precision : {"float32", "bfloat16"}
        Precision of the teachers while the block runs.

    Yields
    ------
    keras.Model
        The student itself when there are no teachers.
    """
    if not teachers:
        yield student
        return
    with ExitStack() as stack:
        for teacher in teachers:
            stack.enter_context(mixed_precision(teacher, precision))
        pixels = keras.Input(student.input_shape[1:], dtype="uint8", name="distillation_patches")
        outputs = Distillation(teachers, name="distillation")(pixels, student(pixels))
        yield keras.Model(pixels, outputs, name=student.name)
