"""The commands of a report are those that made the run."""

import shlex

import pytest
from PIL import Image

from sentinode import TrainConfig, build_model, open_patches, train
from sentinode.cli.common.start import open_data
from sentinode.cli.main import build_parser
from sentinode.cli.report import use_training_data
from sentinode.cli.train import config_of, parse_options
from sentinode.report.data import load_report_data
from sentinode.report.model_card import write_model_card
from sentinode.report.report import write_report_page
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


@pytest.fixture(scope="module")
def trained_on_a_table(mini, tiny_run, tmp_path_factory):
    """A run on images that a csv describes, all given by absolute paths, with a teacher."""
    folder = tmp_path_factory.mktemp("home")
    few = mini.select(range(0, len(mini), 40))
    (folder / "images").mkdir()
    names = [f"{row}.png" for row in range(len(few))]
    for name, pixels in zip(names, few.read(), strict=True):
        Image.fromarray(pixels).save(folder / "images" / name)
    few.table.assign(path=names)[["path", "label", "split"]].to_csv(folder / "meta.csv", index=False)
    patches = open_patches(folder / "images", table=folder / "meta.csv", gray="rgb")
    model = build_model("mlp", dense_units=1)
    return train(model, patches, TrainConfig(epochs=1), out=folder / "run", teachers=[tiny_run]), patches


def test_commands_name_the_table_and_no_absolute_folder(trained_on_a_table):
    run, patches = trained_on_a_table
    found = dict(commands(load_report_data(run, patches)))
    for command in found.values():
        parsed = build_parser().parse_args(shlex.split(command)[1:])
        assert (parsed.data, parsed.table, parsed.gray) == ("images", "meta.csv", "rgb")
    assert "--teacher tiny " in found["Training"]


def test_the_page_and_the_card_have_no_absolute_folder(trained_on_a_table, tiny_run):
    run, patches = trained_on_a_table
    data = load_report_data(run, patches)
    write_report_page(data, run.path / "report.html")
    write_model_card(data, run.path / "card.md")
    for name in ("report.html", "card.md"):
        text = (run.path / name).read_text(encoding="utf-8")
        assert str(run.path.parent) not in text and str(tiny_run.path.parent) not in text


def test_a_report_without_data_reads_the_table_of_the_training(trained_on_a_table):
    run, patches = trained_on_a_table
    arguments = build_parser().parse_args(["report", str(run.path)])
    use_training_data(arguments, run.config["data"])
    assert open_data(arguments, quiet=True).cached().fingerprint == patches.cached().fingerprint
