"""The moving average of the weights is validated and saved, and training continues with the weights themselves."""

import keras
import numpy as np
import pytest

from sentinode import TrainConfig, build_model, train
from sentinode.data.batches import Batches
from sentinode.inference.logits import logit_model
from sentinode.training.recipe.averaging import WeightAverage, recompute_batch_statistics
from sentinode.training.recipe.compile import compile_model


def arrays(model: keras.Model) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.variables]


@pytest.fixture
def learner(mini):
    model = build_model("d4net", seed=1)
    compile_model(model, TrainConfig(ema=0.5, learning_rate=0.1), steps_per_epoch=40)
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.slow
def test_the_mean_is_that_of_the_weights_after_every_step(learner, mini):
    batches, means = Batches(mini, 16, seed=0), None
    for index in range(3):
        learner.train_on_batch(*batches[index])
        now = [np.array(weight) for weight in learner.get_weights()]
        means = now if means is None else [0.5 * mean + 0.5 * new for mean, new in zip(means, now, strict=True)]
    WeightAverage(learner, learner, list).load()
    by_name = dict(zip([weight.path for weight in learner.weights], means, strict=True))
    for weight in learner.trainable_variables:
        np.testing.assert_allclose(weight.numpy(), by_name[weight.path], atol=1e-6)


@pytest.mark.parametrize(("steps", "kept"), [(3, 0.0), (50, 0.9), (250, 0.98), (5000, 0.998)])
def test_no_more_than_a_tenth_of_a_training_is_remembered(steps, kept):
    model = build_model("mlp")
    compile_model(model, TrainConfig(epochs=2, ema=0.998), steps_per_epoch=steps)
    assert model.optimizer.ema_momentum == pytest.approx(kept)


def test_restoring_leaves_everything_as_it_was(learner, mini):
    learner.train_on_batch(*Batches(mini, 16, seed=0)[0])
    before = arrays(learner)
    mean = WeightAverage(learner, learner, lambda: [mini.read(range(16))])
    mean.load()
    assert any(not np.array_equal(one, two) for one, two in zip(before, arrays(learner), strict=True))
    mean.restore()
    for one, two in zip(before, arrays(learner), strict=True):
        assert np.array_equal(one, two)


def test_without_a_mean_nothing_is_changed(mini):
    model = build_model("d4net")
    compile_model(model, TrainConfig(), steps_per_epoch=1)
    before = arrays(model)
    mean = WeightAverage(model, model, lambda: pytest.fail("nothing is to be measured"))
    mean.load()
    mean.restore()
    assert all(np.array_equal(one, two) for one, two in zip(before, arrays(model), strict=True))


@pytest.mark.parametrize("kind", ["ours", "keras"])
def test_statistics_are_those_of_the_batches(kind, mini):
    pixels = mini.read(range(0, 320, 10))
    if kind == "ours":
        model = build_model("d4net")
        seen, norm = keras.Model(model.inputs[0], model.get_layer("conv_1").output), model.get_layer("norm_1")
    else:
        inputs = keras.Input((96, 96, 3), dtype="uint8")
        x = keras.layers.Rescaling(1 / 255)(inputs)
        norm = keras.layers.BatchNormalization(momentum=0.7)
        model = keras.Model(inputs, norm(x))
        seen = keras.Model(inputs, x)
    momentum = norm.momentum
    recompute_batch_statistics(model, [pixels[:16], pixels[16:]])
    assert norm.momentum == momentum
    maps = [seen.predict_on_batch(part) for part in (pixels[:16], pixels[16:])]
    mean = np.mean([each.mean(axis=(0, 1, 2)) for each in maps], axis=0)
    variance = np.mean([each.var(axis=(0, 1, 2)) for each in maps], axis=0)
    found = [np.asarray(weight) for weight in norm.non_trainable_variables]
    if kind == "ours":
        mean, variance = (each.reshape(8, -1).mean(axis=0) for each in (mean, variance))
    np.testing.assert_allclose(found[0], mean, atol=1e-3)
    np.testing.assert_allclose(found[1], variance, rtol=1e-2)


@pytest.mark.slow
def test_the_average_is_validated_and_saved_and_the_weights_are_trained(mini, tmp_path):
    few = mini.select(range(0, len(mini), 20))
    config = TrainConfig(epochs=2, batch_size=8, ema=0.95, optimizer="adamw", learning_rate=0.003)
    model = build_model("d4net")
    run = train(model, few, config, out=tmp_path / "run")
    assert run.summary["valid_auc"] == pytest.approx(run.history["val_auc"][run.summary["best_epoch"] - 1], abs=1e-6)
    pixels = few.read(range(8))
    final = run.load_model("final")
    np.testing.assert_allclose(final.predict_on_batch(pixels), model.predict_on_batch(pixels), atol=1e-6)
    plain = train(
        build_model("d4net"), few, TrainConfig(**{**config.to_json(), "ema": 0.0}), out=tmp_path / "plain"
    ).load_model("final")
    # The same steps were taken; what was kept differs.
    assert list(run.history["loss"]) == list(load_history(tmp_path / "plain"))
    assert not np.allclose(logit_model(plain).predict_on_batch(pixels), logit_model(final).predict_on_batch(pixels))


def load_history(folder) -> list[float]:
    from sentinode import load_run

    return list(load_run(folder).history["loss"])
