import json
import runpy
from pathlib import Path

from sentinode import TrainConfig

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "flagship.py"


def test_the_committed_results_have_the_settings_of_their_variants():
    script = runpy.run_path(str(SCRIPT))
    settings = {("parts", name): {**script["SHORT"], **changes} for name, changes in script["PARTS"].items()}
    settings |= {("reach", name): case["settings"] for name, case in script["REACH"].items()}
    for row in map(json.loads, script["RESULTS"].read_text(encoding="utf-8").splitlines()):
        config = TrainConfig.recipe("flagship", **settings[row["what"], row["variant"]], seed=row["seed"])
        assert config.differences({**row["settings"], "precision": config.precision}) == []
