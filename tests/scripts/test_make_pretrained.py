"""The script for pretrained weights uses the settings that the weights record."""

import json
from pathlib import Path

from sentinode import TrainConfig
from sentinode.samples import pretrained_path

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_its_settings_are_those_that_the_weights_record(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import make_pretrained

    config = json.loads((pretrained_path("d4net-m") / "config.json").read_text())
    recorded = [config["settings"], *config["soup"]]
    asked = [make_pretrained.FIRST["d4net-m"], *make_pretrained.FINE_TUNINGS["d4net-m"]]
    for settings, changes in zip(recorded, asked, strict=True):
        had = {**TrainConfig().to_json(), **settings}
        now = TrainConfig.recipe("flagship", **changes).to_json()
        without_effect = {"metrics"} | ({"momentum"} if had["optimizer"] == "adamw" else set())
        assert {name for name in now if now[name] != had[name]} <= without_effect
