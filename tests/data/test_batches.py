"""Batches: every patch once an epoch, in an order that seed and epoch alone decide."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import forms

from sentinode import PatchSet, build_model
from sentinode.data.batches import Batches, epoch_order

SEEDS = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 40))


def seen(batches: Batches) -> list[str]:
    """Return the hashes of an epoch's patches in the order of the batches."""
    return [forms.sha1(pixels) for number in range(len(batches)) for pixels in batches[number][0]]


@given(st.integers(1, 500), SEEDS, st.integers(0, 50))
def test_an_epoch_is_a_permutation(count, seed, epoch):
    assert np.array_equal(np.sort(epoch_order(count, seed, epoch)), np.arange(count))


@given(SEEDS, st.integers(0, 50))
def test_the_order_is_a_pure_function_of_seed_and_epoch(seed, epoch):
    first = epoch_order(100, seed, epoch)
    np.random.default_rng().random(3)
    assert np.array_equal(epoch_order(100, seed, epoch), first)
    assert not np.array_equal(epoch_order(100, seed, epoch + 1), first)
    assert not np.array_equal(epoch_order(100, seed + 1, epoch), first)


def test_the_order_of_a_seed_and_epoch_is_fixed():
    assert epoch_order(12, seed=3, epoch=5).tolist() == [7, 0, 4, 10, 5, 8, 2, 6, 3, 1, 9, 11]


def test_without_a_seed_the_order_is_that_of_the_source(few):
    batches = Batches(few, batch_size=8)
    for epoch in range(2):
        batches.set_epoch(epoch)
        assert seen(batches) == few.table["sha1"].tolist()


def test_each_epoch_shows_every_patch_once_in_its_own_order(few):
    batches = Batches(few, batch_size=8, seed=7)
    for epoch in range(3):
        batches.set_epoch(epoch)
        assert seen(batches) == few.table["sha1"][epoch_order(len(few), 7, epoch)].tolist()


@pytest.mark.parametrize(("batch_size", "sizes"), [(8, [8] * 5 + [2]), (21, [21, 21]), (100, [42]), (1, [1] * 42)])
def test_the_last_batch_is_what_is_left(few, batch_size, sizes):
    batches = Batches(few, batch_size=batch_size, seed=0)
    assert [len(batches[number][0]) for number in range(len(batches))] == sizes
    assert [len(batches[number][1]) for number in range(len(batches))] == sizes


@pytest.mark.parametrize("outputs", [1, 2])
def test_labels_stay_with_their_pixels(few, outputs):
    batches = Batches(few, batch_size=8, outputs=outputs, seed=1)
    label_of = dict(zip(few.table["sha1"], few.labels, strict=True))
    for number in range(len(batches)):
        pixels, labels = batches[number]
        assert pixels.dtype == np.uint8 and pixels.shape[1:] == (96, 96, 3)
        assert labels.dtype == np.float32 and labels.shape == (len(pixels), outputs)
        expected = [label_of[forms.sha1(patch)] for patch in pixels]
        assert labels.tolist() == ([[label] for label in expected] if outputs == 1 else np.eye(2)[expected].tolist())


def test_without_outputs_there_are_pixels_alone_and_no_label_is_needed(few):
    unlabeled = Batches(few, batch_size=8, outputs=0)
    assert [len(batch) for batch in (unlabeled[0], unlabeled[5])] == [1, 1]
    assert seen(unlabeled) == few.table["sha1"].tolist()


class Record(keras.layers.Layer):
    """Lets patches through and notes their hashes; only eager execution shows it pixels."""

    def __init__(self) -> None:
        super().__init__(trainable=False)
        self.epochs: list[list[str]] = []

    def compute_output_spec(self, pixels):
        return keras.KerasTensor(pixels.shape, dtype=pixels.dtype)

    def call(self, pixels):
        self.epochs[-1] += [forms.sha1(patch) for patch in keras.ops.convert_to_numpy(pixels).astype(np.uint8)]
        return pixels


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="eager fitting shows pixels on TensorFlow")
def test_fit_reads_each_patch_once_per_epoch_in_a_new_order(few):
    record = Record()
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: record.epochs.append([]))
    model = keras.Sequential(
        [
            keras.layers.Input((96, 96, 3), dtype="uint8"),
            record,
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile("sgd", "binary_crossentropy", run_eagerly=True)
    # As `train` does: Keras would shuffle the batches once more, by Python's global state.
    batches = Batches(few, batch_size=8, seed=3)
    model.fit(batches, epochs=2, callbacks=[batches.epoch_callback(), begin], shuffle=False, verbose=0)
    orders = [few.table["sha1"][epoch_order(len(few), 3, epoch)].tolist() for epoch in (0, 1)]
    assert record.epochs == orders and orders[0] != orders[1]


class Recorded(Batches):
    """Notes the hashes of what Keras asks for in each epoch, on every backend."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.epochs: list[list[str]] = []

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        if self.epochs:  # Before the first epoch Keras looks at batches to learn their shape.
            self.epochs[-1] += [forms.sha1(pixels) for pixels in batch[0]]
        return batch


@pytest.mark.parametrize(("outputs", "output"), [(1, "sigmoid"), (2, "softmax")])
def test_fit_reads_each_patch_once_per_epoch_in_the_order_of_the_seed(few, outputs, output):
    model = build_model("cnn", output=output)
    model.compile("sgd", "binary_crossentropy")
    batches, valid = Recorded(few, 8, outputs, seed=3), Batches(few.select(range(9)), 8, outputs)
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.epochs.append([]))
    callbacks = [batches.epoch_callback(), begin]
    model.fit(batches, validation_data=valid, epochs=3, callbacks=callbacks, shuffle=False, verbose=0)
    assert batches.epochs == [few.table["sha1"][epoch_order(len(few), 3, epoch)].tolist() for epoch in range(3)]
