"""The classic recipe and every setting, as passed to Keras."""

import keras
import numpy as np
import pytest

from sentinode import TrainConfig, build_model, train
from sentinode.data.batches import epoch_order
from sentinode.errors import ModelError
from sentinode.keras_compat.optimizers import Muon
from sentinode.training.recipe.compile import compile_model, logit_loss

STEPS = 10
SGD = {
    "name": "sgd",
    "learning_rate": pytest.approx(0.01, rel=1e-6),
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
    "momentum": 0.95,
    "nesterov": False,
}


def compiled(output: str = "sigmoid", **settings) -> keras.Model:
    model = build_model("cnn", first_filters=1, second_filters=1, dense_units=1, output=output)
    compile_model(model, TrainConfig(**settings), steps_per_epoch=STEPS)
    return model


def rate_at(model: keras.Model, step: int) -> float:
    model.optimizer.iterations.assign(step)
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def loss_of(model: keras.Model, truth: list, given: list) -> float:
    return float(keras.ops.mean(keras.losses.get(model.loss)(np.float32(truth), np.float32(given))))


@pytest.mark.parametrize(("output", "loss"), [("sigmoid", "binary"), ("softmax", "categorical")])
def test_the_defaults_are_the_classic_recipe(output, loss):
    model = build_model("cnn", output=output)
    compile_model(model, TrainConfig(), steps_per_epoch=STEPS)
    told = model.get_compile_config()
    told.pop("jit_compile")  # Keras decides that by backend and device.
    optimizer = told.pop("optimizer")
    assert (optimizer["module"], optimizer["class_name"]) == ("keras.optimizers", "SGD")
    assert optimizer["config"] == {**SGD, "name": optimizer["config"]["name"]}
    assert told == {
        "loss": f"{loss}_crossentropy",
        "loss_weights": None,
        "metrics": ["accuracy"],
        "weighted_metrics": None,
        "run_eagerly": False,
        "steps_per_execution": 1,
    }


@pytest.mark.slow
def test_training_ends_with_the_weights_that_keras_alone_ends_with(mini, tmp_path):
    few = mini.select(range(0, len(mini), 20))
    training = few.split("train")
    model = build_model("cnn", seed=1)
    layers = keras.layers
    alone = keras.Sequential(
        [
            keras.Input((96, 96, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(4),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(4),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    alone.set_weights(model.get_weights())
    alone.compile(keras.optimizers.SGD(0.01, momentum=0.95), "binary_crossentropy", metrics=["accuracy"])
    losses = []
    for epoch in range(3):
        order = epoch_order(len(training), seed=0, epoch=epoch)
        pixels, labels = training.read(order).astype("float32"), training.labels[order][:, None]
        losses += alone.fit(pixels, labels, batch_size=32, shuffle=False, verbose=0).history["loss"]
    run = train(model, few, out=tmp_path / "run")
    assert run.history["loss"].to_numpy() == pytest.approx(losses, abs=1e-5)
    for ours, theirs in zip(run.load_model("final").get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_other_defaults_are_those_of_the_classic_recipe():
    settings = TrainConfig().to_json()
    chosen = ("epochs", "batch_size", "learning_rate", "momentum", "nesterov", "schedule", "class_weight")
    assert [settings[name] for name in chosen] == [3, 32, 0.01, 0.95, False, "constant", None]
    assert (settings["early_stopping"], settings["label_smoothing"], settings["weight_decay"]) == (0, 0, 0)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_the_layers_are_configured_as_a_student_would_write_them(output):
    layers = keras.layers
    written = [
        layers.Rescaling(1 / 255, name="scale"),
        layers.Conv2D(32, (3, 3), padding="same", activation="relu", name="conv_1"),
        layers.MaxPooling2D(pool_size=(4, 4), name="pool_1"),
        layers.Conv2D(64, (3, 3), padding="same", activation="relu", name="conv_2"),
        layers.MaxPooling2D(pool_size=(4, 4), name="pool_2"),
        layers.Flatten(name="flatten"),
        layers.Dense(64, activation="relu", name="dense"),
        layers.Dense(1 if output == "sigmoid" else 2, activation=output, name="probability"),
    ]
    model = build_model("cnn", output=output)
    assert [layer.get_config() for layer in model.layers] == [layer.get_config() for layer in written]
    assert [type(layer) for layer in model.layers] == [type(layer) for layer in written]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sgd", "SGD"),
        ("adam", "Adam"),
        ("adamw", "AdamW"),
        ("nadam", "Nadam"),
        ("rmsprop", "RMSprop"),
        ("muon", "ours"),
    ],
)
def test_every_optimizer_is_the_one_it_is_called(name, kind):
    optimizer = compiled(optimizer=name, learning_rate=0.002, weight_decay=0.1).optimizer
    assert type(optimizer) is getattr(keras.optimizers, kind, Muon)
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(0.002)
    assert optimizer.weight_decay == 0.1


@pytest.mark.parametrize("name", ["sgd", "adam", "nadam", "rmsprop"])
def test_weights_do_not_decay_unless_asked(name):
    assert compiled(optimizer=name).optimizer.weight_decay is None


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_default_weight_decay_of_keras_is_off(name):
    optimizer = compiled(optimizer=name).optimizer
    assert optimizer.weight_decay == 0
    assert getattr(optimizer, "adam_weight_decay", 0) == 0


def test_momentum_and_nesterov_reach_the_optimizer():
    assert compiled(momentum=0.5).optimizer.momentum == 0.5
    assert compiled(optimizer="rmsprop", momentum=0.5).optimizer.momentum == 0.5
    assert compiled(optimizer="muon", momentum=0.5).optimizer.momentum == 0.5
    assert compiled(nesterov=True).optimizer.nesterov is True


def test_a_constant_rate_is_a_number():
    rate = compiled(learning_rate=0.3).get_compile_config()["optimizer"]["config"]["learning_rate"]
    assert rate == pytest.approx(0.3)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_schedule_starts_at_the_rate_and_ends_at_zero(schedule):
    model = compiled(schedule=schedule, epochs=4, learning_rate=0.2)
    last = 4 * STEPS
    assert rate_at(model, 0) == pytest.approx(0.2)
    assert rate_at(model, last // 2) == pytest.approx(0.1, rel=1e-5)
    assert 0 < rate_at(model, last - 1) < 0.2 / last + 1e-6
    assert rate_at(model, last) == pytest.approx(0, abs=1e-7)
    rates = [rate_at(model, step) for step in range(last + 1)]
    assert rates == sorted(rates, reverse=True)


def test_cosine_and_linear_schedules_differ_at_a_quarter():
    quarter = {name: rate_at(compiled(schedule=name, epochs=4), STEPS) for name in ("cosine", "linear")}
    assert quarter["linear"] == pytest.approx(0.01 * 0.75, rel=1e-5)
    assert quarter["cosine"] == pytest.approx(0.01 * (1 + np.cos(np.pi / 4)) / 2, rel=1e-5)


def test_a_warm_up_rises_from_zero_to_the_rate():
    model = compiled(schedule="cosine", warmup_epochs=1.5, epochs=4, learning_rate=0.2)
    assert rate_at(model, 0) == 0
    assert rate_at(model, 5) == pytest.approx(0.2 / 3, rel=1e-5)
    assert rate_at(model, 15) == pytest.approx(0.2, rel=1e-5)
    assert rate_at(model, 27) + rate_at(model, 28) == pytest.approx(0.2, rel=1e-5)  # Symmetric about the middle.
    assert rate_at(model, 40) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_warm_up_of_nearly_all_steps_leaves_one_to_fall(schedule):
    model = compiled(schedule=schedule, epochs=1, warmup_epochs=0.99, learning_rate=0.2)
    assert rate_at(model, STEPS - 1) == pytest.approx(0.2)
    assert rate_at(model, STEPS) == pytest.approx(0, abs=1e-7)


def test_a_linear_rate_rises_to_the_top_and_falls_to_zero():
    model = compiled(schedule="linear", warmup_epochs=1, epochs=4, learning_rate=0.2)
    assert rate_at(model, 0) == 0
    assert rate_at(model, STEPS // 2) == pytest.approx(0.1)
    assert rate_at(model, STEPS) == pytest.approx(0.2)
    assert rate_at(model, 5 * STEPS // 2) == pytest.approx(0.1)
    assert rate_at(model, 4 * STEPS) == pytest.approx(0, abs=1e-7)


def test_biases_do_not_decay():
    model = compiled(optimizer="sgd", weight_decay=0.5, learning_rate=1.0, momentum=0.0)
    model.optimizer.build(model.trainable_variables)
    for weight in model.trainable_variables:
        weight.assign(keras.ops.ones_like(weight))
    model.optimizer.apply([keras.ops.zeros_like(weight) for weight in model.trainable_variables])
    for weight in model.trainable_variables:
        assert float(keras.ops.max(weight)) == pytest.approx(1.0 if len(weight.shape) == 1 else 0.5)


def test_a_focal_loss_gives_easy_patches_less_weight():
    model = compiled(loss="focal")
    easy, hard = loss_of(model, [[1]], [[0.9]]), loss_of(model, [[1]], [[0.1]])
    assert easy == pytest.approx(-np.log(0.9) * 0.1**2, rel=1e-4)
    assert hard == pytest.approx(-np.log(0.1) * 0.9**2, rel=1e-4)


@pytest.mark.parametrize("probability", [0.1, 0.9])
def test_a_focal_loss_of_a_softmax_is_that_of_a_sigmoid(probability):
    sigmoid = loss_of(compiled(loss="focal"), [[1]], [[probability]])
    softmax = loss_of(compiled("softmax", loss="focal"), [[0, 1]], [[1 - probability, probability]])
    assert softmax == pytest.approx(sigmoid, rel=1e-4)
    logit = np.log(probability / (1 - probability))
    assert float(logit_loss(TrainConfig(loss="focal"), 2)([[0, 1]], [[0.0, logit]])) == pytest.approx(sigmoid, rel=1e-4)


@pytest.mark.parametrize("soft", [False, True])
def test_the_auc_of_a_softmax_is_that_of_its_last_column(soft):
    model = build_model("mlp", dense_units=1, output="softmax")
    compile_model(model, TrainConfig(metrics=("auc",)), steps_per_epoch=STEPS, soft=soft)
    tumour = np.array([0.9, 0.8, 0.7, 0.95])  # The normal patch has the highest value.
    targets = np.array([[0, 1], [0, 1], [0, 1], [1, 0]])
    model.compute_metrics(None, targets, np.stack([1 - tumour, tumour], axis=1).astype(np.float32))
    assert float(model.get_metrics_result()["auc"]) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("loss", ["crossentropy", "focal"])
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_label_smoothing_moves_targets_to_one_half(output, loss):
    smooth, plain = compiled(output, loss=loss, label_smoothing=0.2), compiled(output, loss=loss)
    hard, soft = ([[1]], [[0.9]]) if output == "sigmoid" else ([[0, 1]], [[0.1, 0.9]])
    given = [[0.7]] if output == "sigmoid" else [[0.3, 0.7]]
    assert loss_of(smooth, hard, given) == pytest.approx(loss_of(plain, soft, given), rel=1e-5)


def test_metrics_are_those_that_were_asked_for():
    assert compiled(metrics=("accuracy", "auc")).get_compile_config()["metrics"][0] == "accuracy"
    (auc,) = compiled(metrics=("auc",)).get_compile_config()["metrics"]
    assert (auc["class_name"], auc["config"]["name"]) == ("AUC", "auc")


def test_class_weights_are_those_of_the_setting():
    assert TrainConfig().class_weights((30, 10)) is None
    assert TrainConfig(class_weight={0: 1, 1: 3}).class_weights((30, 10)) == {0: 1, 1: 3}
    balanced = TrainConfig(class_weight="balanced").class_weights((30, 10))
    assert balanced[0] * 30 == pytest.approx(balanced[1] * 10)
    assert balanced[0] * 30 + balanced[1] * 10 == pytest.approx(40)


@pytest.mark.parametrize("units", [3, 10])
def test_a_model_with_another_output_is_refused(units):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)], name="wide")
    with pytest.raises(ModelError, match=rf"'wide' has the output shape \(None, {units}\)"):
        compile_model(model, TrainConfig(), steps_per_epoch=STEPS)
