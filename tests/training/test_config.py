"""Settings: validation, JSON, and one command-line option for each."""

import argparse
import json
import math
from dataclasses import MISSING, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from sentinode import TrainConfig
from sentinode.cli.main import build_parser
from sentinode.cli.train import config_of
from sentinode.errors import ConfigError
from sentinode.training.config import AUGMENTATIONS
from sentinode.training.setting_checks import parse_class_weight

FIELDS = fields(TrainConfig)
NUMBERS = [setting for setting in FIELDS if {"at_least", "above"} & set(setting.metadata)]
CHOICES = [setting for setting in FIELDS if "choices" in setting.metadata]


def refusal(**settings) -> str:
    with pytest.raises(ConfigError) as refused:
        TrainConfig(**settings)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_numbers_of_numpy_are_plain_numbers_afterwards():
    config = TrainConfig(epochs=np.int64(4), learning_rate=np.logspace(-2, -1, 2)[0], nesterov=np.bool_(True))
    assert config == TrainConfig(epochs=4, learning_rate=0.01, nesterov=True)
    assert [type(value) for value in (config.epochs, config.learning_rate, config.nesterov)] == [int, float, bool]


def test_an_integer_becomes_a_float_where_keras_needs_one():
    config = TrainConfig(momentum=0, learning_rate=1)
    assert [type(value) for value in (config.momentum, config.learning_rate, config.epochs)] == [float, float, int]
    assert config == TrainConfig(momentum=0.0, learning_rate=1.0)


@pytest.mark.parametrize("setting", FIELDS, ids=lambda setting: setting.name)
def test_every_setting_has_a_default_and_a_help_text(setting):
    assert setting.default is not MISSING
    assert setting.metadata["help"]


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
@pytest.mark.parametrize("value", [-1, -1e-9, math.nan, math.inf, -math.inf])
def test_a_number_out_of_bounds_is_refused(setting, value):
    message = refusal(**{setting.name: value})
    assert setting.name in message
    assert str(value) in message


@pytest.mark.parametrize("name", ["epochs", "batch_size", "learning_rate"])
def test_zero_is_refused_where_something_is_needed(name):
    assert f"{name} must be" in refusal(**{name: 0})


@pytest.mark.parametrize("name", ["momentum", "label_smoothing"])
def test_a_share_is_less_than_one(name):
    assert f"{name} must be below 1; got 1" in refusal(**{name: 1})
    assert getattr(TrainConfig(**{name: 0.999}), name) == 0.999


@pytest.mark.parametrize("setting", CHOICES, ids=lambda setting: setting.name)
def test_a_word_that_is_no_choice_is_refused(setting):
    bad = ("nonsense",) if isinstance(setting.default, tuple) else "nonsense"
    message = refusal(**{setting.name: bad})
    assert setting.name in message
    assert "nonsense" in message
    assert all(choice in message for choice in setting.metadata["choices"])


def test_a_training_without_metrics_is_refused():
    assert "metrics must be one of accuracy, auc; got nothing" in refusal(metrics=())


@pytest.mark.parametrize("setting", FIELDS, ids=lambda setting: setting.name)
@pytest.mark.parametrize("value", [None, {}, object])
def test_a_value_of_another_type_is_refused(setting, value):
    if setting.name == "class_weight" and value is None:
        return
    assert setting.name in refusal(**{setting.name: value})


@pytest.mark.parametrize("name", ["epochs", "batch_size", "early_stopping", "seed"])
def test_a_count_is_a_whole_number(name):
    message = refusal(**{name: 2.5})
    assert name in message
    assert "2.5" in message


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_a_number_is_not_a_text(setting):
    assert setting.name in refusal(**{setting.name: "1"})


@pytest.mark.parametrize("value", ["yes", 2])
def test_a_switch_is_true_or_false(value):
    assert "nesterov" in refusal(nesterov=value)


@pytest.mark.parametrize("value", ["accuracy", ["accuracy"]])
def test_metrics_in_another_form_are_the_same_or_refused(value):
    try:
        config = TrainConfig(metrics=value)
    except ConfigError as error:
        assert "metrics" in str(error)
    else:
        assert config == TrainConfig(metrics=("accuracy",))
        assert config.to_json()["metrics"] == ["accuracy"]


@pytest.mark.parametrize(
    "value", ["none", "1,3", {}, {0: 1}, {0: 1, 2: 1}, {0: 1, 1: -3}, {0: math.nan, 1: 1}, {0: "1", 1: 1}, [1, 3]]
)
def test_a_class_weight_without_two_positive_numbers_is_refused(value):
    message = refusal(class_weight=value)
    assert "class_weight" in message
    assert repr(value) in message


@pytest.mark.parametrize("text", ["", "heavy", "1", "1,2,3", "1,-3", "nan,1", "1,inf", "1;3", "a,b"])
def test_a_class_weight_of_the_command_line_in_another_form_is_refused(text):
    with pytest.raises(ConfigError, match="class_weight"):
        parse_class_weight(text)


def test_class_weights_of_the_command_line_become_python_values():
    assert [parse_class_weight(text) for text in ("none", "balanced", "1,3")] == [None, "balanced", {0: 1.0, 1: 3.0}]


def test_a_warm_up_needs_a_schedule():
    assert "warmup_epochs needs schedule 'cosine' or 'linear'" in refusal(warmup_epochs=1)


@pytest.mark.parametrize("names", [("stain", "stain"), ("color",)])
def test_augmentations_are_named_once_and_exist(names):
    assert "augment" in refusal(augment=names)


def test_the_augmentations_of_the_settings_are_those_of_the_layers():
    from sentinode.layers.augmentation import AUGMENTATIONS as LAYERS

    assert tuple(LAYERS) == AUGMENTATIONS


def test_a_setting_missing_in_an_older_run_has_its_default():
    before = TrainConfig().to_json()
    del before["ema"]
    assert TrainConfig().differences(before) == []
    assert TrainConfig(ema=0.9).differences(before) == ["ema 0.0, now 0.9"]


@pytest.mark.parametrize("warmup", [3, 3.5])
def test_a_warm_up_ends_before_the_training(warmup):
    assert f"got {warmup}" in refusal(warmup_epochs=warmup, schedule="cosine", epochs=3)


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "epochs": st.integers(1, 1000),
        "batch_size": st.integers(1, 4096),
        "optimizer": st.sampled_from(["sgd", "adam", "adamw", "nadam", "rmsprop", "muon"]),
        "learning_rate": st.floats(0, 1e9, exclude_min=True),
        "momentum": st.floats(0, 1, exclude_max=True),
        "nesterov": st.booleans(),
        "weight_decay": st.floats(0, 1e9),
        "schedule": st.sampled_from(["constant", "cosine", "linear"]),
        "loss": st.sampled_from(["crossentropy", "focal"]),
        "label_smoothing": st.floats(0, 1, exclude_max=True),
        "metrics": st.sampled_from([("accuracy",), ("auc",), ("accuracy", "auc")]),
        "class_weight": st.sampled_from([None, "balanced", {0: 1, 1: 3}, {0: 0.5, 1: 0.25}]),
        "early_stopping": st.integers(0, 100),
        "seed": st.integers(0, 2**40),
        "valid_split": st.text(min_size=1, max_size=8),
    },
)


@given(SETTINGS)
@given_settings(max_examples=60, deadline=None, derandomize=True)
def test_settings_come_back_from_json_as_they_were(values):
    config = TrainConfig(**values)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert set(config.to_json()) == {setting.name for setting in FIELDS}


def test_an_unknown_setting_is_refused():
    with pytest.raises(ConfigError, match="unknown settings: color, size; available: augment"):
        TrainConfig.from_json({"epochs": 2, "size": 1, "color": "red"})


def test_a_bad_value_in_json_is_refused():
    with pytest.raises(ConfigError, match="epochs must be at least 1; got 0"):
        TrainConfig.from_json({"epochs": 0})


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(AttributeError):
        TrainConfig().epochs = 5


def train_options() -> dict[str, argparse.Action]:
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {action.dest: action for action in commands.choices["train"]._actions}


@pytest.mark.parametrize("setting", FIELDS, ids=lambda setting: setting.name)
def test_every_setting_is_an_option_of_the_command_line(setting):
    option = train_options()[setting.name]
    expected = setting.metadata.get("flag", "--" + setting.name.replace("_", "-"))
    assert option.option_strings[0] == expected
    assert option.default is argparse.SUPPRESS
    assert option.help.startswith(setting.metadata["help"])
    if option.choices:
        assert tuple(option.choices) == setting.metadata["choices"]


def test_options_of_the_command_line_become_settings():
    said = "train DATA --model cnn --out RUN --epochs 5 --learning-rate 0.1 --nesterov --metrics accuracy,auc"
    said += " --valid-split v"
    parsed = build_parser().parse_args(said.split())
    changed = {"epochs": 5, "learning_rate": 0.1, "nesterov": True, "metrics": ("accuracy", "auc"), "valid_split": "v"}
    assert config_of(parsed) == TrainConfig(**changed)
    flagship = build_parser().parse_args([*said.split(), "--recipe", "flagship"])
    assert config_of(flagship) == TrainConfig.recipe("flagship", **changed)


def test_the_classic_recipe_is_the_default():
    assert TrainConfig.recipe("classic") == TrainConfig()


def test_settings_override_a_recipe():
    config = TrainConfig.recipe("flagship", epochs=5)
    assert (config.optimizer, config.schedule, config.epochs, config.seed) == ("muon", "linear", 5, 0)


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ConfigError, match="classic, flagship; got 'secret'"):
        TrainConfig.recipe("secret")
