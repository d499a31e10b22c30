"""Measure the pretrained weights on PatchCamelyon's official test split, with intervals clustered by slide.

    sentinode data fetch pcam --out pcam
    python benchmarks/pcam_official.py pcam

Needs ``camelyonpatch_level_2_split_test_{x,y}.h5`` (or ``.h5.gz``) and ``…_test_meta.csv``, which names the slide of
each patch. Nothing is fitted on the test split: threshold and calibration are those of the model.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from sentinode import load_run, open_patches, predict
from sentinode.machine import keep_freed_memory, processor_count, processor_name
from sentinode.metrics import auc, average_precision, calibration_error, operating_point
from sentinode.samples import DEFAULT_MODEL


def main() -> None:
    """Predict, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder with PatchCamelyon's HDF5 files and csv of slides")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a run directory, or the name of pretrained weights")
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    keep_freed_memory()
    run, patches = load_run(arguments.model), open_patches(arguments.data, split=arguments.split)
    slides = patches.table["slide"]
    if slides.isna().any():
        raise SystemExit(
            f"{arguments.data}: {slides.isna().sum():,} patches have no slide; intervals need "
            f"camelyonpatch_level_2_split_{arguments.split}_meta.csv next to the HDF5 files"
        )
    table = predict(run, patches).table
    labels, probability, groups = patches.labels, table["probability"].to_numpy(), slides.to_numpy()
    print(f"| {arguments.model} on {arguments.split} | estimate (95 % interval) |\n|---|---|")
    print(f"| patches, slides | {len(patches):,}, {len(np.unique(groups)):,} |")
    print(f"| AUC | {_cell(auc(labels, table['logit'].to_numpy(), groups))} |")
    print(f"| average precision | {_cell(average_precision(labels, table['logit'].to_numpy(), groups))} |")
    for name, threshold in (("0.5", 0.5), (f"the model's threshold, {run.threshold:.3f}", run.threshold)):
        at = operating_point(labels, probability, threshold, groups)
        for metric in ("accuracy", "sensitivity", "specificity"):
            print(f"| {metric} at {name} | {_cell(getattr(at, metric))} |")
    print(f"| expected calibration error | {calibration_error(labels, probability, groups).estimate:.4f} |")
    print(f"| patches with an OOD warning | {np.mean(table['warning'].fillna('') != ''):.1%} |")
    print(f"\nClustered by slide; {time.strftime('%Y-%m-%d')}; {processor_count()} cores, {processor_name()}")


def _cell(metric: object) -> str:
    return f"{metric.estimate:.4f} ({metric.low:.4f}–{metric.high:.4f})"


if __name__ == "__main__":
    main()
