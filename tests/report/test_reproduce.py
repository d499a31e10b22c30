"""The commands of a report are those that made the run."""

import shlex

from sentinode import TrainConfig, build_model, train
from sentinode.cli.main import build_parser
from sentinode.cli.train import config_of, parse_options
from sentinode.report.data import load_report_data
from sentinode.report.sections.reproduce import commands, provenance


def test_the_command_of_the_training_has_its_settings_and_options(mini, tmp_path):
    few = mini.select(range(0, len(mini), 40))
    settings = {
        "epochs": 2,
        "nesterov": True,
        "augment": ("symmetry", "blur"),
        "schedule": "cosine",
        "metrics": ("auc",),
    }
    config = TrainConfig(**settings, warmup_epochs=0.5, class_weight={0: 1, 1: 3}, seed=3)
    model = build_model("mlp", dense_units=2, output="softmax", seed=3)
    run = train(model, few, config, out=tmp_path / "a run")
    found = dict(commands(load_report_data(run, few)))
    for command in found.values():
        assert build_parser().parse_args(shlex.split(command)[1:])
    parsed = build_parser().parse_args(shlex.split(found["Training"])[1:])
    assert config_of(parsed) == config
    assert {"dense_units": 2, "output": "softmax"}.items() <= parse_options(parsed.option).items()
    assert (parsed.model, parsed.data, parsed.out) == ("mlp", mini.path, "a run")
    assert parsed.threads == run.config["environment"]["threads"]


def test_starting_weights_are_named_without_their_folder(mini, tiny_run, tmp_path):
    few = mini.select(range(0, len(mini), 40))
    run = train(tiny_run.starting_model(), few, TrainConfig(epochs=1), out=tmp_path / "run")
    data = load_report_data(run, few)
    assert build_parser().parse_args(shlex.split(dict(commands(data))["Training"])[1:]).model == tiny_run.path.name
    last, first = provenance(data)
    assert last.startswith("run: trained on") and f"starting from {tiny_run.path.name}" in last
    assert first.startswith(f"{tiny_run.path.name}: trained on")
    assert str(tmp_path) not in "".join([*dict(commands(data)).values(), last, first])
