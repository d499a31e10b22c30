"""Measure time and memory of a full evaluation at the size of PCam's test split.

    python benchmarks/evaluation.py [--patches 32768 --slides 130]

Predictions are simulated: slides of different sizes, each with an offset of its own. Only metrics, intervals, figures
and files are timed; no network runs.
"""

import argparse
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.evaluation.evaluate import PREVALENCE
from sentinode.evaluation.evaluation import Evaluation
from sentinode.inference.predictions import Predictions
from sentinode.metrics import ConformalSets


def main() -> None:
    """Simulate predictions, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=32768)
    parser.add_argument("--slides", type=int, default=130)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    predictions, centre = drawn(arguments.patches, arguments.slides)
    before_mb = resident_mb()
    rows = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            found = Evaluation.from_predictions(
                predictions,
                "drawn",
                "test",
                {"0.5": 0.5, "validation": 0.4, "sensitivity>=0.95": 0.2},
                prevalences=(PREVALENCE,),
                groups={"centre": centre, "slide": predictions.table["slide"]},
                conformal=ConformalSets(0.05, 0.1, 0.1),
            )
            measured = time.perf_counter()
            found.save(Path(folder))
            rows.append((measured - began, time.perf_counter() - measured))
    numbers, files = (sorted(column) for column in zip(*rows, strict=True))
    print(f"| {arguments.patches:,} patches, {arguments.slides} slides | seconds, median (min–max) |\n|---|---|")
    for name, seconds in (("all metrics with intervals", numbers), ("figures and files", files)):
        print(f"| {name} | {seconds[len(seconds) // 2]:.1f} ({seconds[0]:.1f}–{seconds[-1]:.1f}) |")
    print(f"\nPeak memory {resident_mb():.0f} MB, of which {before_mb:.0f} MB before the first metric; ", end="")
    print(f"{arguments.rounds} rounds; {time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {platform.machine()}")


def drawn(patches: int, slides: int) -> tuple[Predictions, pd.Series]:
    """Return simulated predictions, and the centre of each patch."""
    rng = np.random.default_rng(0)
    slide = rng.choice(slides, patches, p=rng.dirichlet(np.full(slides, 2.0)))
    label = rng.integers(0, 2, patches)
    logit = 3 * (label - 0.5) + rng.normal(0, 0.5, slides)[slide] + rng.normal(0, 1.2, patches)
    table = pd.DataFrame({"id": [f"patch{number:07d}" for number in range(patches)]})
    table = table.assign(label=pd.array(label, "Int8"), slide=[f"slide_{number:03d}" for number in slide])
    table = table.assign(patient=None, centre=[f"centre_{number % 2}" for number in slide])
    return Predictions.from_logits(table, logit, {"threshold": 0.4}), table["centre"]


def resident_mb() -> float:
    """Return the peak resident memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
