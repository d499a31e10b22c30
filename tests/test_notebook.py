import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "run_notebook.py"


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom_and_ends_with_a_roc_curve(tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # Jupyter chooses its own.
    script = runpy.run_path(str(SCRIPT))
    notebook = script["run_notebook"](script["NOTEBOOK"], tmp_path)
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2
