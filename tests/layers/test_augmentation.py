"""Augmentation: limits of each layer, and that it acts in training only."""

import keras
import numpy as np
import pytest

from sentinode import TrainConfig, build_model, train
from sentinode.layers.augmentation import AUGMENTATIONS, RandomAffine, RandomStain, augmented
from sentinode.layers.d4 import ORDER, apply_symmetry

NAMES = tuple(AUGMENTATIONS)


@pytest.fixture(scope="module")
def pixels(mini) -> np.ndarray:
    return mini.read(range(48)).astype("float32")


def changed(name: str, pixels: np.ndarray, strength: float = 1.0, seed: int = 0) -> np.ndarray:
    return keras.ops.convert_to_numpy(AUGMENTATIONS[name](strength, seed)(pixels, training=True))


@pytest.mark.parametrize("name", NAMES)
def test_patches_are_changed_in_training_alone_and_each_on_its_own(name, pixels):
    layer = AUGMENTATIONS[name](seed=0)
    assert np.array_equal(keras.ops.convert_to_numpy(layer(pixels)), pixels)
    same = np.repeat(pixels[:1], 64, axis=0)
    after = changed(name, same)
    assert after.shape == same.shape
    assert len({patch.tobytes() for patch in after}) >= (ORDER if name == "symmetry" else 10)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_changes_and_another_seed_others(name, pixels):
    assert np.array_equal(changed(name, pixels, seed=3), changed(name, pixels, seed=3))
    assert not np.array_equal(changed(name, pixels, seed=3), changed(name, pixels, seed=4))


@pytest.mark.parametrize("name", ["affine", "blur", "stain", "brightness"])
def test_a_strength_near_zero_hardly_changes_patches(name, pixels):
    assert np.abs(changed(name, pixels, strength=1e-5) - pixels).max() < 0.5
    assert np.abs(changed(name, pixels) - pixels).mean() > 0.5


def test_a_symmetry_is_one_of_the_eight_and_all_are_as_frequent(pixels):
    one = pixels[:1, :16, :16]
    after = changed("symmetry", np.repeat(one, 800, axis=0))
    counts = [sum(np.array_equal(patch, apply_symmetry(one, number)[0]) for patch in after) for number in range(ORDER)]
    assert sum(counts) == 800
    assert min(counts) > 60


def test_brightness_keeps_the_order_of_gray_levels_and_its_limits():
    levels = np.arange(1, 256, dtype="float32").reshape(1, 15, 17, 1).repeat(3, axis=3).repeat(400, axis=0)
    times = changed("brightness", levels) / levels
    assert np.ptp(times, axis=(1, 2)).max() < 1e-4  # One number a patch and color.
    assert 1 / (1.35 * 1.05) <= times.min() < 0.8 and 1.25 < times.max() <= 1.35 * 1.05 + 1e-6


def test_stain_augmentation_follows_the_beer_lambert_law():
    # Twice the density of every stain is the square of the light that comes through.
    layer, drawn = RandomStain(seed=0), iter([1 / 0.15, 0.0])
    layer.draw = lambda *shape: np.full((1, 1, 3), next(drawn), "float32")
    light = np.random.default_rng(0).integers(20, 250, (1, 4, 4, 3)).astype("float32")
    after = keras.ops.convert_to_numpy(layer(light, training=True))
    assert np.allclose((after + 1) / 256, ((light + 1) / 256) ** 2, atol=1e-4)


def test_cutout_never_hides_the_center(pixels):
    after = changed("cutout", pixels, strength=5.0)
    assert np.array_equal(after[:, 32:64, 32:64], pixels[:, 32:64, 32:64])
    covered = (after != pixels).any(axis=(1, 2, 3))
    assert 8 <= covered.sum() <= 30
    assert set(np.unique(after[after != pixels])) == {230.0}


def test_affine_augmentation_moves_the_center_by_few_pixels():
    # A white dot in the middle of black: 4 px in both directions, turned, at the smallest scale, is 6.4 px in one.
    dot = np.zeros((200, 97, 97, 3), "float32")
    dot[:, 48, 48] = 255
    rows, columns = np.unravel_index(changed("affine", dot)[..., 0].reshape(200, -1).argmax(axis=1), (97, 97))
    assert 3 <= np.abs([rows - 48, columns - 48]).max() <= 6


def test_half_of_the_patches_are_shifted_by_whole_pixels_and_stay_sharp():
    noise = np.random.default_rng(0).integers(0, 256, (200, 96, 96, 3)).astype("float32")
    middle = changed("affine", noise)[:, 30:66, 30:66]
    shifts = [(down, right) for down in range(-4, 5) for right in range(-4, 5)]
    sharp = [
        any(np.allclose(after, before[30 + d : 66 + d, 30 + r : 66 + r], atol=0.1) for d, r in shifts)
        for before, after in zip(noise, middle, strict=True)
    ]
    assert 70 <= sum(sharp) <= 130


def test_affine_augmentation_without_change_is_the_identity(pixels):
    layer = RandomAffine(seed=0)
    layer.draw = lambda *shape: keras.ops.zeros(shape)
    assert np.allclose(keras.ops.convert_to_numpy(layer(pixels, training=True)), pixels, atol=1e-2)


@pytest.mark.parametrize("model", ["cnn", "d4net"])
def test_the_wrapped_network_predicts_as_the_network_does(model, pixels):
    network = build_model(model)
    patches = pixels[:4].astype("uint8")
    inside, outside = augmented(network, NAMES, 1.0), network.predict(patches, verbose=0)
    assert np.allclose(inside.predict(patches, verbose=0), outside, atol=1e-6)
    assert [id(weight) for weight in inside.trainable_variables] == [id(w) for w in network.trainable_variables]


def test_without_augmentation_the_network_is_not_wrapped():
    network = build_model("cnn")
    assert augmented(network, (), 1.0) is network


SETTINGS = {
    "epochs": 2,
    "batch_size": 8,
    "augment": ("symmetry", "affine", "blur", "stain", "brightness", "cutout"),
    "ema": 0.9,
    "optimizer": "adamw",
    "learning_rate": 0.003,
    "schedule": "linear",
    "warmup_epochs": 0.5,
    "weight_decay": 0.05,
}


@pytest.fixture(scope="module")
def run(mini, tmp_path_factory):
    few = mini.select(range(0, len(mini), 20))
    return train(build_model("d4net"), few, TrainConfig(**SETTINGS), out=tmp_path_factory.mktemp("augmented") / "run")


@pytest.mark.slow
def test_saved_models_have_no_augmentation_and_predict_as_validated(run, mini):
    assert [layer.name for layer in run.model.layers] == [layer.name for layer in build_model("d4net").layers]
    assert not any("random" in layer.name for layer in keras.saving.load_model(run.path / "model.keras").layers)
    assert run.summary["valid_auc"] == pytest.approx(run.history["val_auc"][run.summary["best_epoch"] - 1], abs=1e-6)
