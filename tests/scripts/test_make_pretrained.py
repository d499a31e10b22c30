"""`make_pretrained.py` uses the settings of the published weights."""

import json
from pathlib import Path

from sentinode import TrainConfig
from sentinode.samples import pretrained_path

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_the_settings_equal_those_recorded_with_the_weights(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import make_pretrained

    config = json.loads((pretrained_path("d4net-m") / "config.json").read_text())
    recorded = [config["settings"], *config["averaged_with"]]
    requested = [make_pretrained.FIRST["d4net-m"], *make_pretrained.TUNINGS["d4net-m"]]
    for settings, changes in zip(recorded, requested, strict=True):
        before = {**TrainConfig().to_json(), **settings}
        now = TrainConfig.recipe("flagship", **changes).to_json()
        without_effect = {"metrics"} | ({"momentum"} if before["optimizer"] == "adamw" else set())
        assert {name for name in now if now[name] != before[name]} <= without_effect
